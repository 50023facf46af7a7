"""Work that moves between host and guest, and work that vanishes: a difference by cause and payer.

The host pays in log operations, the guest in its own time. Either side can do the same work: the
host drops a large spte when logging begins, or the guest drops it in the first fault. If one side
pays less for a kind of work and the other side pays more, work has moved. The rest of the
difference has vanished, or is new.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from mmusim.comparison.pairing import paired
from mmusim.metrics.measure import Metrics

Lines = tuple[tuple[str, ...], tuple[str, ...]]
"""What the log operations of the host spend time on, and causes of the guest's ledger."""

OTHER: Final = "anything else"
WORK: Final[dict[str, Lines]] = {
    "dropping large sptes": (("c_zap_large",), ("drop_large",)),
    "splitting large sptes": (("c_split_1G", "c_split_2M", "c_tdp_split_2M"), ("split_large",)),
    "arming entries": (
        (
            "c_scan", "c_head", "c_tdp_visit", "c_wclear", "c_tdp_wclear", "c_tdp_clear_bit",
            "c_dclear", "c_nested_wclear", "c_nested_arm", "c_large_clear", "c_word",
            "c_dirty_word", "c_memset", "c_ring_mask", "t_line_remote",
        ),
        (),
    ),
    "handling faults": ((), ("fault_slow", "fault_fast", "table_alloc")),
    "finding host memory": ((), ("mmap_wait", "clear_wait")),
    "flushing TLBs": (("flush",), ("flush_wait", "flush_exit", "tlb_flush", "tlb_refill")),
    "carrying the log": (
        ("c_get_floor", "c_copy", "c_kick", "c_ring_harvest", "c_bitmap_alloc", "c_user_page"),
        ("pml_log", "pml_drain", "ring_full"),
    ),
    "collapsing small sptes": (
        ("c_collapse", "c_tdp_collapse", "c_slot_zap", "c_host_level"), (),
    ),
    "waiting for locks": (("mmu_lock_wait", "slots_lock_wait"), ("mmu_lock_wait", "bql_wait")),
    "grace periods": (("c_srcu", "srcu_wait"), ()),
    "longer walks": ((), ("walk_4k",)),
    "what the guest is for": ((), ("hits", "think", "pass")),
    "time that the guest has left": ((), ("idle",)),
    "halting": ((), ("halt",)),
    "waiting for a shared processor": (("run_delay",), ("steal",)),
    OTHER: ((), ()),
}  # fmt: skip
"""Kinds of work, with everything that pays for them. What is in no kind is anything else."""
_HOST: Final = {line: kind for kind, (host, _) in WORK.items() for line in host}
_GUEST: Final = {cause: kind for kind, (_, guest) in WORK.items() for cause in guest}


class Part(NamedTuple):
    """One kind of work: what the candidate spends on it, less what the baseline does, in ns."""

    kind: str
    host_ns: float
    guest_ns: float  # of all vCPUs

    @property
    def moved_ns(self) -> float:
        """Time that moved: to the guest if positive, to the host if negative."""
        if self.host_ns * self.guest_ns >= 0:
            return 0
        most = min(abs(self.host_ns), abs(self.guest_ns))
        return most if self.guest_ns > 0 else -most

    @property
    def net_ns(self) -> float:
        """Sum of both sides: negative if time vanished, positive if time is new."""
        return self.host_ns + self.guest_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Decomposition:
    """The difference of two policies by kinds of work; its parts sum to the whole."""

    baseline: str
    candidate: str
    parts: tuple[Part, ...]  # those that differ, in the order of WORK

    @property
    def host_ns(self) -> float:
        """Additional time of the host in log operations, waits included."""
        return sum(part.host_ns for part in self.parts)

    @property
    def guest_ns(self) -> float:
        """Additional time of the vCPUs in the measured window or phase."""
        return sum(part.guest_ns for part in self.parts)

    @property
    def moved_ns(self) -> float:
        """Work that moved to the guest, less what moved to the host."""
        return sum(part.moved_ns for part in self.parts)

    @property
    def vanished_ns(self) -> float:
        """Work that vanished: the sum over the kinds of work that became less."""
        return -sum(part.net_ns for part in self._work() if part.net_ns < 0)

    @property
    def new_ns(self) -> float:
        """New work: the sum over the kinds of work that became more."""
        return sum(part.net_ns for part in self._work() if part.net_ns > 0)

    def _work(self) -> Iterable[Part]:
        own = ("what the guest is for", "time that the guest has left")
        return (part for part in self.parts if part.kind not in own)


def decompose(baseline: Metrics, candidate: Metrics, window: str = "") -> Decomposition:
    """Decompose the difference of two runs of one seed, exactly.

    The parts of the guest sum to the difference of its time in the measured phase, to the
    nanosecond. The parts of the host sum to the difference of the time of its log operations over
    the run. With a window, both are of this window. An operation belongs to the window in which it
    ended.

    Parameters
    ----------
    baseline, candidate : Metrics
        Runs of two policies with one seed.
    window : str
        Name of a window; empty: the measured phase and the whole run.

    Raises
    ------
    KeyError
        If the runs have no such window.
    """
    host = dict.fromkeys(WORK, 0)
    guest = dict.fromkeys(WORK, 0)
    for sign, run in ((-1, baseline), (1, candidate)):
        operations = [run.window_costs[window].host] if window else run.operation_times.values()
        for spent in operations:
            for line, ns in spent.items():
                host[_HOST.get(line, OTHER)] += sign * ns
        for cause, ns in (run.window_costs[window].guest if window else run.ledger).items():
            guest[_GUEST.get(cause, OTHER)] += sign * ns
    parts = [Part(kind, host[kind], guest[kind]) for kind in WORK]
    return Decomposition(
        baseline=baseline.policy,
        candidate=candidate.policy,
        parts=tuple(part for part in parts if part.host_ns or part.guest_ns),
    )


def mean_decomposition(
    baseline: Sequence[Metrics], candidate: Sequence[Metrics], window: str = ""
) -> Decomposition:
    """Return the mean of :func:`decompose` over paired seeds.

    Parameters
    ----------
    baseline, candidate : sequence of Metrics, length seeds
        Runs of one setting on equal seeds.
    window : str
        Name of a window; empty: the measured phase and the whole run.

    Raises
    ------
    UnlikeRunsError
        If the seeds differ.
    KeyError
        If the runs have no such window.
    """
    paired(baseline, candidate)
    each = [decompose(*pair, window) for pair in zip(baseline, candidate, strict=True)]
    sums = {kind: [0.0, 0.0] for kind in WORK}
    for one in each:
        for part in one.parts:
            sums[part.kind][0] += part.host_ns
            sums[part.kind][1] += part.guest_ns
    return Decomposition(
        baseline=each[0].baseline,
        candidate=each[0].candidate,
        parts=tuple(
            Part(kind, host / len(each), guest / len(each))
            for kind, (host, guest) in sums.items()
            if host or guest
        ),
    )
