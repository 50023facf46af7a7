"""The trace of a run. Engines write it; everything above the engines reads it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from mmusim.base.histogram import Histogram
from mmusim.base.units import show_ns
from mmusim.trace.checkpoints import CheckpointsTrace
from mmusim.trace.snapshot import SnapshotTrace
from mmusim.trace.waits import told_waits

HOST: Final = -1
"""The actor number of the host thread."""
MAIN_LOOP: Final = -2
REAPER: Final = -3
RATE_THREAD: Final = -4
"""The actor numbers of three other threads of QEMU, in its own locks and in slots_lock."""
FIRST_ACTOR: Final = -5
"""The actor number of the first actor of other packages; those of the next ones lie below it."""
TOLD: Final = 8
FEW: Final = 3 * TOLD
"""Number of rounds of a migration that are told one by one; of more, the first and last 8 are."""


class Round(NamedTuple):
    """One round of a migration: from the end of a sync of the dirty log to the end of the next."""

    start_ns: int
    end_ns: int
    sent_pages: int
    zero_pages: int  # of these, sent as a header only
    sent_bytes: int
    dirty_pages: int  # pages to send after the sync that ends the round
    bandwidth: float  # bytes per second, the last measurement of the migration thread; 0: none yet
    in_vain: int = 0  # pages sent in it that are to be sent again after it
    reported: int = 0  # pages that syncs of the log reported in it
    false_dirty: int = 0  # of these, not written since they were last copied


class Served(NamedTuple):
    """How far an open-loop service is: of all vCPUs, since they began."""

    at_ns: int
    arrived: int  # requests
    served: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationTrace:
    """A migration of the VM."""

    outcome: str  # completed, postcopy, did-not-converge, cancelled
    start_ns: int
    end_ns: int  # the destination runs and has everything, or the migration was given up
    downtime_ns: int  # from the request to stop the vCPUs until they ran at the destination
    rounds: tuple[Round, ...]
    sent_pages: int
    zero_pages: int
    distinct_pages: int  # sent at least once
    sent_bytes: int
    spent: Mapping[str, int]  # what the migration thread did -> ns; sums to end_ns - start_ns
    throttle: tuple[tuple[int, float], ...]  # auto-converge: when, share of time taken away
    dirty_limit: tuple[tuple[int, int, int], ...]  # when, vCPU, sleep per full ring in ns
    seconds: tuple[tuple[int, float], ...] = ()
    """Of each second up to the switch-over: its length in ns (the last is shorter), and the share
    of it that the vCPUs were in the guest."""
    waits_for_log: Mapping[str, int] = field(default_factory=dict)
    """Log operation -> ns that vCPUs waited for mmu_lock while it held it."""
    blocked: Histogram = field(default_factory=Histogram)
    """Post-copy: how long each fault waited for its page, in ns."""
    syncs: int = 0  # dirty_sync_count
    vcpu_blocktime: tuple[int, ...] = ()  # post-copy: ns that each vCPU waited for pages
    blocktime_ns: int = 0  # post-copy: time in which all vCPUs waited for pages
    service: tuple[Served, ...] = ()
    """Of an open-loop service, in a phase that has a lead or a tail: at equal intervals."""
    service_marks: tuple[Served, ...] = ()
    """Of the same: when vCPUs began, at the request, when the migration ended, and the tail."""

    def story(self) -> tuple[str, ...]:
        """Tell what happened, round by round; of many rounds the middle ones together."""
        lines = [
            f"round {number}: {show_ns(r.end_ns - r.start_ns)}, {r.sent_pages:,} pages sent, "
            f"{r.in_vain:,} in vain, {r.reported:,} reported ({r.false_dirty:,} false dirty), "
            f"{r.dirty_pages:,} to be sent after it"
            for number, r in enumerate(self.rounds, 1)
        ]
        if len(lines) > FEW:
            lines[TOLD:-TOLD] = [self._told_together(TOLD, len(lines) - TOLD)]
        lines += [
            f"{show_ns(when - self.start_ns)}: vCPUs are throttled by {share:.0%}"
            for when, share in self.throttle
        ]
        end = f"{self.outcome} after {show_ns(self.end_ns - self.start_ns)}"
        downtime = f", downtime {show_ns(self.downtime_ns)}" if self.downtime_ns else ""
        return (*lines, *told_waits(self.waits_for_log, self.blocked), end + downtime)

    def _told_together(self, first: int, last: int) -> str:
        """Tell what happened in rounds `first` + 1 to `last`."""
        rounds = self.rounds[first:last]
        return (
            f"rounds {first + 1} to {last}: {show_ns(rounds[-1].end_ns - rounds[0].start_ns)}, "
            f"{sum(r.sent_pages for r in rounds):,} pages sent, "
            f"{sum(r.in_vain for r in rounds):,} in vain"
        )


class Operation(NamedTuple):
    """A log operation on the slot, in a phase of its own or as a part of a migration."""

    do: str
    name: str
    start_ns: int
    end_ns: int
    late_ns: int  # behind its schedule, when it began
    armed: int  # pages whose next write is noticed because of it
    dirty: int  # pages that it reported, and
    false_dirty: int  # of these, not written since they were last copied
    waited_ns: int = 0  # by vCPUs for mmu_lock, while it held it
    spent: Mapping[str, int] = {}  # cost or wait -> ns, as far as it is known of this operation


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseTrace:
    """One phase of the driver, or a window of the run that is measured (`do` is "window")."""

    do: str
    name: str
    start_ns: int
    end_ns: int
    guest: bool
    counters: Mapping[str, int]  # changes from this phase's start to the next one's
    dirty: int | None = None  # get: pages reported
    false_dirty: int | None = None  # get: of these, not written since they were last copied
    guest_end_ns: int = 0  # guest phases: when the last vCPU finished, also in the background
    vcpu_ns: int = 0  # guest phases: sum over vCPUs of the time each needed
    ledger: Mapping[str, int] = field(default_factory=dict)  # cause -> ns; sums to vcpu_ns
    reads: Histogram = field(default_factory=Histogram)  # latency of each access, think time apart
    writes: Histogram = field(default_factory=Histogram)
    requests: Histogram = field(default_factory=Histogram)  # from intended arrival to completion
    outcome: str = ""  # of write-page-table (progress, livelock, internal-error) or a migration
    story: tuple[str, ...] = ()  # of these: what happened, line by line
    read_before_drop: tuple[int, ...] = ()  # per dropped large spte: pages read without a fault
    spent: Mapping[str, int] = field(default_factory=dict)  # log operations: cost or wait -> ns
    migration: MigrationTrace | None = None
    checkpoints: CheckpointsTrace | None = None
    snapshot: SnapshotTrace | None = None
    stalls: Histogram = field(default_factory=Histogram)  # each from leaving the guest to entering
    worst_loss: Mapping[int, int] = field(default_factory=dict)
    """Window in ns -> most ns that a vCPU lost within any window of that length; a window that no
    vCPU ran for is missing (:mod:`mmusim.trace.stall_windows`)."""
    late_ns: int = 0  # scheduled operations: how long after its time it began
    lock_busy_ns: int = 0  # of guest phases and windows: mmu_lock was held exclusively or handed on
    leftover_faults: int = 0  # of the same: faults on what operations before it had left behind


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeStats:
    """Statistics of mmu_lock over a whole run in one mode, in nanoseconds."""

    waits: Histogram  # of the acquisitions that waited, measured by the waiters
    holds: Histogram  # of each acquisition
    queue_ns: int  # area under the number of waiters, measured by the lock
    busy_ns: int  # at least one held it in this mode

    @property
    def acquisitions(self) -> int:
        """Number of acquisitions."""
        return self.holds.count


@dataclass(frozen=True, slots=True, kw_only=True)
class LockStats:
    """Statistics of mmu_lock over a whole run, in nanoseconds."""

    shared: ModeStats  # for read
    exclusive: ModeStats  # for write; a spinlock knows no other
    handoff_ns: int  # handing the lock over, while it cannot be used
    breaks: int = 0  # walks that gave up the lock on their way

    @property
    def acquisitions(self) -> int:
        """Number of acquisitions in both modes."""
        return self.shared.acquisitions + self.exclusive.acquisitions

    @property
    def longest_hold_ns(self) -> int:
        """The longest hold in either mode."""
        return max(self.shared.holds.maximum, self.exclusive.holds.maximum)

    @property
    def wait_ns(self) -> int:
        """Sum of the waits, measured by the waiters."""
        return self.shared.waits.total_ns + self.exclusive.waits.total_ns

    @property
    def queue_ns(self) -> int:
        """Area under the queue length, measured by the lock."""
        return self.shared.queue_ns + self.exclusive.queue_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """The result of a run."""

    policy: str
    seed: int
    end_ns: int
    phases: tuple[PhaseTrace, ...]
    measured: int  # index of the phase that the experiment compares
    counters: Mapping[str, int]  # at the end
    lock: LockStats
    fingerprint: str  # hash of the trajectory: every fault, host operation and counter
    windows: tuple[PhaseTrace, ...] = ()  # that are measured, in the order of the driver
    window: str = ""  # the one that the experiment compares; empty: the measured phase
    operations: tuple[Operation, ...] = ()  # log operations in the order of their ends
    logs: bool = True  # the policy logs dirty pages
    vcpus: int = 0

    @property
    def compared(self) -> PhaseTrace:
        """The window or phase that the experiment compares."""
        if self.window:
            return next(window for window in self.windows if window.name == self.window)
        return self.phases[self.measured]


class Fingerprint:
    """Hash of a trajectory as it happens. Equal trajectories have equal digests."""

    def __init__(self) -> None:
        """Start empty."""
        self._hash = hashlib.blake2b(digest_size=12)
        self.numbers: list[int] = []

    def add(self, *numbers: int) -> None:
        """Append whole numbers to the trajectory."""
        self.numbers += numbers
        if len(self.numbers) > 65_536:
            self._drain()

    def _drain(self) -> None:
        self._hash.update(np.array(self.numbers, "<i8").tobytes())
        self.numbers.clear()

    def digest(self) -> str:
        """Return the hash so far in hexadecimal."""
        self._drain()
        return self._hash.hexdigest()


NEVER_NS: Final = 1 << 62


class Probe:
    """Events that a run reports. Override the hooks that you need; the others do nothing.

    The compiled engine tells of what is spent and of mmu_lock a little later, in the same order. It
    has no hooks for single accesses and copies: a probe with these runs on SimPy.
    """

    from_ns: int = 0
    until_ns: int = NEVER_NS
    """When periods and holds are of interest; the compiled engine leaves out all others."""
    next_change_ns: int = 0
    """When the probe is next interested in a change by a vCPU; the compiled engine waits for it."""

    def accessed(self, cpu: int, gfns: list[int], writes: list[bool], end_ns: int) -> None:
        """The vCPU completed accesses, the last of them at `end_ns`."""

    def copied(self, gfns: list[int]) -> None:
        """The destination received pages in their present state."""

    def switched(self) -> None:
        """The guest runs at the destination from now on."""

    def locked(self, who: int, asked_ns: int, got_ns: int, released_ns: int, shared: bool) -> None:
        """An acquisition of mmu_lock has ended; `shared` if it was for read."""

    def requested(self, cpu: int, due_ns: int, end_ns: int) -> None:
        """A vCPU has completed a request that was to arrive at `due_ns`."""

    def spent(
        self, cpu: int, start_ns: int, end_ns: int, causes: Mapping[str, int], gfn: int = -1
    ) -> None:
        """A vCPU spends a period on these causes, in ns; they sum to its length.

        `gfn` is the page whose fault it is in; -1: it is in none.

        The periods of a vCPU come in the order of time and leave no gap. A period may be reported
        when it begins.
        """

    def changed(self, who: int, now_ns: int, look: Callable[[], Mapping[str, int]]) -> None:
        """Page tables or the log may have changed. `look` counts sptes and logged pages."""
