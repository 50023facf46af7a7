"""What changed about dirty logging from one release of Linux to the next."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from mmusim.base.errors import ConfigError
from mmusim.policies.axes import Large, Lock, Mmu
from mmusim.policies.history import HISTORY


class Disable(Enum):
    """What disabling does to the small sptes."""

    KEEP_SMALL = "nothing: a later fault that may map large replaces them"
    ZAP_SMALL = "zap them where a large one is allowed; their tables stay"
    ZAP_TABLES = "zap their tables"
    RECOVER = "put a large spte with the bits of their first child in the place of their tables"


class EnableWalk(Enum):
    """How enabling walks a slot; this decides the cost of the walk."""

    ACTIVE_TABLES = "512 entries of every shadow page of the slot"
    RMAP = "one rmap head per gfn and level"
    PRESENT = "only what the paging structures hold"


class GetWalk(Enum):
    """Which sptes a get or a clear re-arms."""

    ALL = "every spte of the slot, if one bit is set"
    CHEAPER = "the dirty gfns, or every spte where there are fewer shadow pages than dirty gfns"
    DIRTY = "the dirty gfns, through their rmap"


@dataclass(frozen=True, slots=True)
class Kernel:
    """A release of Linux. Each method is one change, at the release that brought it."""

    release: tuple[int, ...]  # (6, 1); (2, 6, 37) in the old scheme

    @property
    def name(self) -> str:
        """The release as people write it: ``linux-6.1``."""
        return "linux-" + ".".join(map(str, self.release))

    def mmu(self) -> Mmu:
        """The MMU of a host with EPT or NPT; the TDP MMU is the default since 71ba3f3189c7."""
        return Mmu.TDP if self.release >= (5, 15) else Mmu.LEGACY

    def lock(self) -> Lock:
        """mmu_lock is a rwlock since 531810caa9f4 (5.12)."""
        return Lock.RWLOCK if self.release >= (5, 12) else Lock.SPINLOCK

    def large(self, mmu: Mmu) -> Large:
        """c126d94f2c90 (3.16); a3fe5dbda0a4 (5.18, TDP) and ada51a9de737 (6.0, nested)."""
        if self.release < (3, 16):
            return Large.ZAP
        eager_since = {Mmu.TDP: (5, 18), Mmu.NESTED: (6, 0)}.get(mmu)
        if eager_since is not None and self.release >= eager_since:
            return Large.EAGER_SPLIT
        return Large.READ_ONLY

    def splits_on_fault(self, mmu: Mmu) -> bool:
        """The TDP MMU splits a large spte where it must map below it (c4b33d28ea51, 6.2)."""
        return mmu is Mmu.TDP and self.release >= (6, 2)

    def disable(self, mmu: Mmu) -> Disable:
        """3ea3b7fa9af0 (4.1); 5ba7c4c6d1c7 (5.19) and 13e2e4f62a4b (6.13) in the TDP MMU."""
        if self.release < (4, 1):
            return Disable.KEEP_SMALL
        if mmu is not Mmu.TDP or self.release < (5, 19):
            return Disable.ZAP_SMALL
        return Disable.ZAP_TABLES if self.release < (6, 13) else Disable.RECOVER

    def flushes_while_disabling(self, mmu: Mmu) -> str:
        """After every `leaf` that the TDP MMU zaps, every `table` since 5ba7c4c6d1c7 (5.19).

        Empty if there is one flush for all: with an rmap, and in the TDP MMU since the series that
        ended in 13e2e4f62a4b (6.13; 131,072 flushes became 76).
        """
        if mmu is not Mmu.TDP or self.release >= (6, 13):
            return ""
        return "leaf" if self.release < (5, 19) else "table"

    def enable_walk(self, mmu: Mmu) -> EnableWalk:
        """Over shadow pages before 3.9, over the rmap since; the TDP MMU has neither."""
        if mmu is Mmu.TDP:
            return EnableWalk.PRESENT
        return EnableWalk.ACTIVE_TABLES if self.release < (3, 9) else EnableWalk.RMAP

    def get_walk(self) -> GetWalk:
        """95d4c16ce78c (3.3) and its successors (3.5)."""
        if self.release < (3, 3):
            return GetWalk.ALL
        return GetWalk.CHEAPER if self.release < (3, 5) else GetWalk.DIRTY

    def breaks_locks(self) -> bool:
        """Walks over a slot may drop mmu_lock on their way; 6b81b05e4494, 9d1beefb7155 (3.9)."""
        return self.release >= (3, 9)

    def flushes_under_lock(self) -> bool:
        """Flush before mmu_lock is dropped; after it since 198c74f43f0f (3.16)."""
        return self.release < (3, 16)

    def flushes_by_bits(self) -> bool:
        """A get or a clear flushes if it cleared a bit, whatever the sptes were.

        198c74f43f0f (3.16); before, if it changed an spte.
        """
        return self.release >= (3, 16)

    def flushes_at_enable(self) -> bool:
        """Switching logging on flushes once in any case; b64d740ea7dd (6.0)."""
        return self.release >= (6, 0)

    def flushes_armed_before_yield(self) -> bool:
        """A walk that takes W or D flushes before it gives mmu_lock up; until 198c74f43f0f (3.16).

        Since then its one flush is that of the ioctl (`flush_on_yield` is false). A walk that zaps
        flushes first in every release.
        """
        return self.release < (3, 16)

    def all_set_protects_large(self) -> bool:
        """Switching logging on takes W of large sptes although all bits of the log are set.

        3c9bd4006bfc (5.7). Since "Not wr-protect huge page with init_all_set dirty log" (5.14) the
        first clear of a range does that.
        """
        return self.release < (5, 14)

    def walks_log_shared(self, mmu: Mmu) -> bool:
        """Walks over a slot in the TDP MMU hold mmu_lock for read; 24ae4cfaaa26 (5.13)."""
        return mmu is Mmu.TDP and self.release >= (5, 13)

    def preempts_at_wakeup(self) -> bool:
        """A thread that wakes up gets its processor at once; until 5e963f2bd465 (6.6, EEVDF)."""
        return self.release < (6, 6)

    def kicks_before_reports(self) -> bool:
        """Gets and clears kick every vCPU, without PML too; a018eba53870 to 3d30bfcbdc26 (6.7)."""
        return (5, 12) <= self.release < (6, 7)

    def preemptions(self) -> tuple[str, ...]:
        """The preemption models that can be had, the usual one first.

        ``lazy`` came with 7c70cb94d29c (6.13). Since 7dadeaa6e851 (7.0) there are only ``full`` and
        ``lazy`` on x86.
        """
        if self.release >= (7, 0):
            return "lazy", "full"
        lazy = ("lazy",) if self.release >= (6, 13) else ()
        return "voluntary", "none", "full", *lazy

    def ages_under_lock(self) -> bool:
        """Who clears A of sptes for page aging holds mmu_lock; until aa34b811650c (6.15)."""
        return self.release < (6, 15)

    def flushes_when_aging(self) -> bool:
        """TLBs are flushed when A of an spte was cleared, if the caller asks; not since 6.13."""
        return self.release < (6, 13)

    def gives_way_to_waiters(self, preemption: str | None, dynamic: bool) -> bool:
        """Tell whether walks give mmu_lock to waiters (spin_needbreak, rwlock_needbreak).

        Without a model of preemption the usual one of the release counts.

        They do in a preemptible kernel. Until c793a62823d1 (6.11) the build decided that: a kernel
        with PREEMPT_DYNAMIC counted as preemptible however it was booted.
        """
        booted = preemption or self.preemptions()[0]
        return booted in ("full", "lazy") or (dynamic and self.release < (6, 11))

    def flushes_before_processing(self) -> bool:
        """A zapped entry is flushed before what was below it is processed; since 6.10."""
        return self.release >= (6, 10)

    def fast_path_is_small_only(self) -> bool:
        """No large spte is fixed without mmu_lock, c126d94f2c90 (3.16); since 5.17 if it logs."""
        return (3, 16) <= self.release < (5, 17)

    def clears_by_one_and(self) -> bool:
        """Gets, clears and ring resets take bits of the TDP MMU by AND; 89c313f20c1e (6.4)."""
        return self.release >= (6, 4)

    def takes_w_of_nested_by_bit(self) -> bool:
        """Sptes of an L2 lose W and keep D: no host page is marked dirty; 1f4e5fc83a42 (5.4)."""
        return self.release >= (5, 4)

    def counts_mappings(self) -> bool:
        """Each leaf that is added or zapped changes a count of the VM; 71f51d2c3253 (5.15)."""
        return self.release >= (5, 15)

    def drops_lock_to_split(self) -> bool:
        """mmu_lock is dropped before each eager split; cf3ff0ee24d6, 0089c055b560 (6.11).

        The page of the table is allocated without it, so waiters get in.
        """
        return self.release >= (6, 11)

    def fast_page_fault(self, mmu: Mmu) -> bool:
        """c7ba5b48cc8d (3.6), 6e8eb2060cc7 (5.15) in the TDP MMU; only where paging is direct."""
        if mmu in (Mmu.SHADOW, Mmu.NESTED):
            return False
        return self.release >= ((5, 15) if mmu is Mmu.TDP else (3, 6))

    def fast_fault_at_target_level_only(self) -> bool:
        """The lockless walk stops at the level that a new mapping would have.

        So a small read-only spte where a large one is allowed takes the slow path. That is how
        large sptes return in kernels before 4.1. Modern kernels walk down to the leaf.
        """
        return self.release < (4, 10)

    def latest(self) -> str:
        """What came last, in this release or before."""
        release = max(since for since, _ in HISTORY if since <= self.release)
        return ", ".join(text for since, text in HISTORY if since == release)

    def history(self) -> str:
        """The changes about dirty logging that this release has: a line for each, oldest first."""
        lines = [
            f"  {Kernel(release).name.removeprefix('linux-'):<7} {text}"
            for release, text in HISTORY if release <= self.release
        ]  # fmt: skip
        return "\n".join(["It has, with the release that brought it:", *lines])


LAST_TO_WALK_ALL: Final = (2, 6, 37)
"""e49146dce8c3 (2.6.38) ended the zap of all tables at enable and the walk over all levels."""
RELEASES: Final = tuple(
    Kernel(release)
    for release in [
        *((2, 6, minor) for minor in range(28, 40)),
        *((3, minor) for minor in range(20)),
        *((4, minor) for minor in range(21)),
        *((5, minor) for minor in range(20)),
        *((6, minor) for minor in range(20)),
        *((7, minor) for minor in range(4)),
    ]
)
"""Every known release, oldest first. Add a new release here and nowhere else. The oldest is the
first that destroys large sptes instead of write-protecting them (38187c830cab).
"""
OLDEST, NEWEST = RELEASES[0], RELEASES[-1]
DEFAULT_KERNEL: Final = NEWEST.name
"""The release that applies when neither the experiment nor the policy names one."""
PRESETS: Final = tuple(
    Kernel(release)
    for release in [
        LAST_TO_WALK_ALL, (3, 7), (3, 9), (3, 16), (4, 1), (5, 7), (5, 11), (5, 15), (5, 18),
        (6, 1), (6, 2), (6, 13),
    ]
)  # fmt: skip
"""Releases at which something changed. Every other release has a name of the same form."""


def kernel_named(name: str) -> Kernel:
    """Return the kernel with this name; any release, written ``linux-5.4`` or ``linux-2.6.38``.

    Raises
    ------
    ConfigError
        If no known release has the name.
    """
    found = _BY_NAME.get(name)
    if found is None:
        wanted = re.match(r"linux-(\d+\.\d+)", name)
        near = f"linux-{wanted[1]}" if wanted else name
        raise ConfigError.of(
            "vm", "kernel", name,
            f"is not a release of Linux from {OLDEST.name[6:]} to {NEWEST.name[6:]}",
            f"did you mean {near!r}?" if near in _BY_NAME else nearest_release(near),
        )  # fmt: skip
    return found


def nearest_release(name: str) -> str:
    """Return the remedy for an unknown release: the newest release, or the correct spelling."""
    number = re.match(r"linux-(\d{1,9})\.", name)
    if number and int(number[1]) >= NEWEST.release[0]:
        return f"take the newest that is known, {NEWEST.name!r}"
    return f"write e.g. 'linux-6.13' or {OLDEST.name!r}"


_BY_NAME: Final = {kernel.name: kernel for kernel in RELEASES}
