"""The soft MMU of one vCPU: shadow pages, their hash, the reverse map and lpage_info."""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple

from mmusim.mmu.soft.events import Event
from mmusim.mmu.soft.guest import GuestMemory
from mmusim.mmu.soft.options import Options

COUNTERS: Final = (
    "pf_taken",  # faults that exited
    "pf_fixed",  # installed or repaired an spte
    "pf_emulate",  # write to a page that must stay write-protected
    "pf_spurious",  # the spte was good already
    "pf_guest",  # injected into the guest, whose own tables forbid the access
    "mmu_pte_write",  # emulated stores to shadowed tables
    "mmu_flooded",  # shadow pages zapped because they were written three times in a row
    "mmu_recycled",  # shadow pages zapped because there were too many
    "mmu_unsync",  # shadow pages that went out of sync
    "mmu_shadow_zapped",  # shadow pages zapped, for whatever reason
    "mmu_cache_miss",  # shadow pages made
    "pages_4k",  # small leaves present
    "pages_2m",  # large leaves present
    "remote_tlb_flush",
    "retries",  # faults that changed nothing and let the guest try again; a counter of the model
    "rmap_recycled",  # rmap chains dropped because they were too long; a counter of the model
)
"""Kernel statistics of the soft MMU, with the kernel's meaning where it has them."""


class Role(NamedTuple):
    """What a shadow page translates (union kvm_mmu_page_role)."""

    level: int
    direct: bool
    writable: bool  # access: W of all guest entries above it together


class Leaf(NamedTuple):
    """A last-level spte."""

    gfn: int  # first gfn it maps
    writable: bool


class ShadowPage:
    """A table of sptes (struct kvm_mmu_page). Indirect ones shadow the guest table at `gfn`."""

    __slots__ = ("flooding", "gfn", "parents", "role", "sptes", "unsync")

    def __init__(self, gfn: int, role: Role) -> None:
        """Start with nothing present."""
        self.gfn, self.role = gfn, role
        self.sptes: dict[int, Leaf | ShadowPage] = {}  # by index; absent is non-present
        self.parents: list[tuple[ShadowPage, int]] = []
        self.unsync = False
        self.flooding = 0  # write_flooding_count


class SoftMmu:
    """The state of the soft MMU. The functions of this package are its algorithm.

    `direct`: two-dimensional paging. The hardware walks the guest's tables and the MMU shadows
    none.
    """

    def __init__(
        self, memory: GuestMemory, cr3: int, options: Options | None = None, *,
        direct: bool = False, huge: bool = True,
    ) -> None:  # fmt: skip
        """Start with no shadow page; `huge`: the host backs memory with 2 MiB pages."""
        self.memory, self.cr3, self.direct, self.huge = memory, cr3, direct, huge
        self.options = options or Options()
        self.root: ShadowPage | None = None
        self.hash: dict[int, list[ShadowPage]] = {}  # mmu_page_hash, by gfn
        self.active: list[ShadowPage] = []  # active_mmu_pages, oldest first
        self.rmap: dict[tuple[int, int], list[tuple[ShadowPage, int]]] = {}  # (level, base gfn)
        self.disallow_lpage: Counter[int] = Counter()  # lpage_info of 2 MiB, by gfn >> 9
        self.tracked = False  # the slot logs dirty pages
        self.dirty: set[int] = set()
        self.last_retry: tuple[int, int] | None = None  # last_retry_eip, last_retry_addr
        self.write_fault_to_shadow_pgtable = False
        self.stat: Counter[str] = Counter(dict.fromkeys(COUNTERS, 0))
        self.events: list[Event] = []

    def log(self, event: Event) -> None:
        """Note an event, for its cost and for the story."""
        self.events.append(event)

    def drain(self) -> list[Event]:
        """Return the events since the last call, in order."""
        events, self.events = self.events, []
        return events

    def shadows(self, gfn: int) -> list[ShadowPage]:
        """Return the indirect shadow pages of a gfn (for_each_gfn_indirect_valid_sp)."""
        return [sp for sp in self.hash.get(gfn, ()) if not sp.role.direct]

    def disallowed(self, gfn: int) -> int:
        """Return how many reasons there are against a large spte over `gfn` (disallow_lpage)."""
        return self.disallow_lpage[gfn >> 9]

    def mark_page_dirty(self, gfn: int) -> None:
        """Set the bit of `gfn` in the dirty log, if the slot has one (mark_page_dirty)."""
        if self.tracked:
            self.dirty.add(gfn)

    def snapshot(self) -> tuple[object, ...]:
        """Return the whole state as a value. A scenario that returns to an equal state loops for
        ever.
        """

        def name(spte: Leaf | ShadowPage) -> tuple[object, ...]:
            return (spte.gfn, *spte.role) if isinstance(spte, ShadowPage) else tuple(spte)

        return (
            tuple(
                (sp.gfn, *sp.role, sp.unsync, sp.flooding, len(sp.parents),
                 tuple((i, name(spte)) for i, spte in sorted(sp.sptes.items())))
                for sp in self.active
            ),
            tuple(sorted((k, len(chain)) for k, chain in self.rmap.items())),
            tuple(sorted((k, n) for k, n in self.disallow_lpage.items() if n)),
            self.last_retry, self.root is None, tuple(sorted(self.dirty)),
            tuple(sorted(self.memory._words.items())),
        )  # fmt: skip
