"""What changed about migration from one release of QEMU to the next.

Sources: the commits named below, and ``domain`` K.2 and K.3. A method is one change, at the release
that brought it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from mmusim.base.errors import ConfigError
from mmusim.base.units import BYTES

NUMBER: Final = "([1-9][0-9]?)[.](0|[1-9][0-9]?)"
SNAPSHOTS: Final = 50
"""QEMU calls what comes between 8.2 and the next release 8.2.50, its candidates 8.2.90 and on."""
LogMode = Literal["on", "initially-all-set"]
"""Of KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2: ``on`` or ``initially-all-set``."""


@dataclass(frozen=True, slots=True, order=True)
class Qemu:
    """A release of QEMU."""

    release: tuple[int, int]

    @property
    def name(self) -> str:
        """The release as people write it: ``8.2``."""
        return f"{self.release[0]}.{self.release[1]}"

    # --- the dirty log ------------------------------------------------------------------------

    def log_modes(self) -> tuple[LogMode, ...]:
        """Which modes it asks the kernel for where there are no rings, the best first.

        Manual clear since 4.1 (002cad6b16), with all bits set at first since 5.1 (494cd11d76).
        With rings it asks for neither: manual clear would lose pages (a81a592698).
        """
        if self.release < (4, 1):
            return ()
        return ("on",) if self.release < (5, 1) else ("initially-all-set", "on")

    def has_rings(self) -> bool:
        """Dirty rings since 6.1."""
        return self.release >= (6, 1)

    def clears_while_stopped(self) -> bool:
        """Until 10.0 the last stage clears the log of every chunk it sends (fd0377150d)."""
        return (4, 1) <= self.release < (10, 1)

    def clears_in_postcopy(self) -> bool:
        """Until 10.0 post-copy clears the log of every chunk it sends (adb13d6e42)."""
        return (4, 1) <= self.release < (10, 1)

    # --- convergence --------------------------------------------------------------------------

    def has_auto_converge(self) -> bool:
        """As it is modelled, sleeping for a share of the time, since 2.5."""
        return self.release >= (2, 5)

    def bad_syncs(self) -> int:
        """After how many bad syncs the guest is throttled: 3, since 2.10 2 (b4a3c64b16)."""
        return 3 if self.release < (2, 10) else 2

    def has_threshold(self) -> bool:
        """`throttle-trigger-threshold` is a parameter since 5.0; before it is 50 %."""
        return self.release >= (5, 0)

    def has_tailslow(self) -> bool:
        """`cpu-throttle-tailslow` since 5.1."""
        return self.release >= (5, 1)

    def throttle_ends_at_stop(self) -> bool:
        """Since 4.2 (bd1f7ff4b2) who sleeps for auto-converge wakes up when the VM stops."""
        return self.release >= (4, 2)

    def has_sync_timer(self) -> bool:
        """Since 9.2 (52ac968ab2) a timer reads the log every 5 s from the second pass on."""
        return self.release >= (9, 2)

    def timer_counts(self) -> bool:
        """Until 11.0 a sync of the timer counts as an iteration (9519d3667a)."""
        return self.release < (11, 1)

    def has_dirty_limit(self) -> bool:
        """A limit for each vCPU since 7.1; as a capability of migrations since 8.1."""
        return self.release >= (8, 1)

    # --- sending ------------------------------------------------------------------------------

    def default_max_bandwidth(self) -> int:
        """32 MiB/s until 5.2 (7590a2ae09), then 128 MiB/s; in bytes per second."""
        return (32 if self.release < (5, 2) else 128) * BYTES["MiB"]

    def senders_check_zero(self) -> bool:
        """With multifd the senders look for zero pages since 9.0 (303e6f54f9, 5fdbb1dfcc)."""
        return self.release >= (9, 0)

    # --- the switch-over ----------------------------------------------------------------------

    def completes_at_threshold(self) -> bool:
        """Complete also if exactly as much is left as the limit allows, since 10.1 (7aaa1fc072)."""
        return self.release >= (10, 1)

    def asks_at_threshold(self) -> bool:
        """Ask for the exact number also if the estimate is the limit itself, since 11.1
        (455a6167f2).
        """
        return self.release >= (11, 1)

    def has_switchover_ack(self) -> bool:
        """`switchover-ack` since 8.1."""
        return self.release >= (8, 1)

    def has_switchover_bandwidth(self) -> bool:
        """`avail-switchover-bandwidth` since 8.2."""
        return self.release >= (8, 2)

    def has_postcopy(self) -> bool:
        """Post-copy since 2.5."""
        return self.release >= (2, 5)

    def has_preempt(self) -> bool:
        """`postcopy-preempt` since 7.1 (ce5b0f4afc): a channel of its own for requested pages."""
        return self.release >= (7, 1)

    def has_background_snapshot(self) -> bool:
        """`background-snapshot` since 6.0 (8518278a6a)."""
        return self.release >= (6, 0)

    def jumps_after_request(self) -> bool:
        """With preempt the background goes on behind a requested page since 10.1 (20d8262281)."""
        return self.release >= (10, 1)


RELEASES: Final = tuple(
    Qemu((major, minor))
    for major, minors in {
        2: range(5, 13), 3: range(2), 4: range(3), 5: range(3), 6: range(3), 7: range(3),
        8: range(3), 9: range(3), 10: range(3), 11: range(2),
    }.items()
    for minor in minors
)  # fmt: skip
"""Every release that is modelled. QEMU 2.4 and older throttle in another way."""
DEFAULT_QEMU: Final = "11.0"
"""The newest release whose source was read; of 11.1 it was a candidate (domain, K)."""


def qemu_named(name: str) -> Qemu:
    """Return the release called `name`, such as ``8.2``, ``qemu-8.2`` or ``8.2.1``.

    Raises
    ------
    ConfigError
        If it is no release of QEMU from 2.5 to the newest known.
    """
    match = re.fullmatch(rf"(?:qemu-)?v?{NUMBER}(?:\.([0-9]{{1,3}}))?", name)
    found = Qemu((int(match[1]), int(match[2]))) if match else None
    before_the_next = match is not None and int(match[3] or 0) >= SNAPSHOTS
    if found is None or found not in RELEASES or before_the_next:
        rule = f"is not a known release of QEMU, {RELEASES[0].name} to {RELEASES[-1].name}"
        if before_the_next:
            rule = "is a state between two releases of QEMU"
        raise ConfigError.of("vmm", "qemu", name, rule, _nearest_release(name))
    return found


def _nearest_release(name: str) -> str:
    """Return the remedy for an unknown release: what the name may mean, or the correct spelling."""
    match = re.search(f"(?<![0-9.]){NUMBER}(?![0-9])", name)
    if match is None:
        return f"write e.g. {DEFAULT_QEMU!r}"
    meant = Qemu((int(match[1]), int(match[2])))
    if meant > RELEASES[-1]:
        return f"take the newest that is known, {RELEASES[-1].name!r}"
    if meant < RELEASES[0]:
        return f"take the oldest that is known, {RELEASES[0].name!r}"
    return f"take the release at or before it, {max(r for r in RELEASES if r <= meant).name!r}"


NEWEST_QEMU: Final = qemu_named(DEFAULT_QEMU)
"""That release."""
