"""A run moment by moment: what every vCPU did, who held mmu_lock, and the gauges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from mmusim.base.units import BYTES, PAGE, show_ns
from mmusim.engine import simulate
from mmusim.engine.choice import AUTO
from mmusim.engine.run_progress import Reached
from mmusim.plan.make import Plan
from mmusim.trace.records import FIRST_ACTOR, HOST, NEVER_NS, PhaseTrace, Probe
from mmusim.vocabulary.causes import CAUSES, FAULT_FAST, FAULT_SLOW, USEFUL_CAUSES

GUEST: Final = "guest"
"""The state of a vCPU that spends its time on something useful."""
MAX_SLICES: Final = 400_000
"""Default number of records of a timeline: about 60 MB of trace events."""
_FAULTS: Final = (CAUSES.names[FAULT_FAST], CAUSES.names[FAULT_SLOW])
_APART_NS: Final = 5_000  # gauges are read no more often for each GiB, except by the host


class Slice(NamedTuple):
    """A vCPU was in one state."""

    start_ns: int
    end_ns: int
    state: str  # guest, idle or a lost cause
    causes: Mapping[str, int]  # ns, which sum to the length
    gfn: int = -1  # the page whose fault it is; -1: it is none


class Served(NamedTuple):
    """A request of an open loop, from its intended arrival to its completion."""

    cpu: int
    due_ns: int
    end_ns: int


def _due(request: Served) -> tuple[int, int]:
    """Order requests; vCPUs tell of theirs in another order on each engine."""
    return request.due_ns, request.cpu


class Hold(NamedTuple):
    """Somebody held mmu_lock."""

    who: int
    asked_ns: int
    got_ns: int
    released_ns: int
    shared: bool


class Reading(NamedTuple):
    """What there was at an instant."""

    at_ns: int
    values: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """What happened from `start_ns` to `end_ns` of a run."""

    policy: str
    seed: int
    start_ns: int
    end_ns: int
    vcpus: tuple[tuple[Slice, ...], ...]  # (vCPUs,) in the order of time
    holds: tuple[Hold, ...]  # of mmu_lock, in the order in which they ended
    readings: tuple[Reading, ...]
    phases: tuple[PhaseTrace, ...]  # of the host thread
    windows: tuple[PhaseTrace, ...] = ()  # that are measured, in the order of the driver
    requests: tuple[Served, ...] = ()  # by when they were due, then by vCPU
    left_out: str = ""  # a description of what was left out for lack of room


def state_of(causes: Iterable[str]) -> str:
    """Return the state of a vCPU that spends its time on these causes."""
    first = next(iter(causes))
    return GUEST if first in USEFUL_CAUSES else first


class Recorder(Probe):
    """Keeps what happens between two instants, while there is room."""

    def __init__(self, plan: Plan, start_ns: int, end_ns: int | None, most: int) -> None:
        """Keep what overlaps `start_ns` to `end_ns` (None: the end), at most `most` records."""
        self.from_ns, self._most = start_ns, most
        self.until_ns = NEVER_NS if end_ns is None else end_ns  # or when there is no room any more
        self.next_change_ns = start_ns
        self.vcpus: list[list[Slice]] = [[] for _ in range(plan.vcpus)]
        self._apart_ns = _APART_NS * max(1, plan.pages * PAGE // BYTES["GiB"])
        self.holds: list[Hold] = []
        self._faulting = [-1] * plan.vcpus  # page of the fault that each is in
        self.readings: list[Reading] = []
        self.requests: list[Served] = []
        self.kept = 0
        self.full_at: int | None = None  # what began later is left out

    def _keeps(self, start_ns: int, end_ns: int) -> bool:
        if end_ns <= self.from_ns or start_ns >= self.until_ns:
            return False
        if self.full_at is None and self.kept >= self._most:
            self.full_at = self.until_ns = start_ns
            return False
        self.kept += 1  # of what began before, at most a few more a vCPU
        return True

    def spent(
        self, cpu: int, start_ns: int, end_ns: int, causes: Mapping[str, int], gfn: int = -1
    ) -> None:
        """Add to the last slice, or begin another.

        The entry into the guest, which ends a fault, has the page of the fault.
        """
        state, lane = state_of(causes), self.vcpus[cpu]
        if state == GUEST or gfn >= 0:
            self._faulting[cpu] = gfn
        elif state in _FAULTS:
            gfn = self._faulting[cpu]
        last = lane[-1] if lane else None
        goes_on = last is not None and last.state == state and last.end_ns == start_ns
        if last is not None and goes_on and gfn == last.gfn:
            spent = Counter(last.causes) + Counter(causes)
            lane[-1] = Slice(last.start_ns, end_ns, state, spent, gfn)
        elif self._keeps(start_ns, end_ns):
            lane.append(Slice(start_ns, end_ns, state, dict(causes), gfn))

    def requested(self, cpu: int, due_ns: int, end_ns: int) -> None:
        """Keep a request."""
        if self._keeps(due_ns, end_ns):
            self.requests.append(Served(cpu, due_ns, end_ns))

    def locked(self, who: int, asked_ns: int, got_ns: int, released_ns: int, shared: bool) -> None:
        """Keep a hold."""
        if self._keeps(asked_ns, released_ns):
            self.holds.append(Hold(who, asked_ns, got_ns, released_ns, shared))

    def changed(self, who: int, now_ns: int, look: Callable[[], Mapping[str, int]]) -> None:
        """Keep a reading now and then."""
        if who != HOST and now_ns < self.next_change_ns:
            return
        if self._keeps(now_ns, now_ns + 1):
            self.next_change_ns = now_ns + self._apart_ns
            self.readings.append(Reading(now_ns, look()))
        elif now_ns >= self.until_ns:
            self.next_change_ns = NEVER_NS


def record(
    plan: Plan,
    *,
    start_ns: int = 0,
    end_ns: int | None = None,
    most: int = MAX_SLICES,
    engine: str = AUTO,
    tell: Callable[[Reached], None] | None = None,
) -> Timeline:
    """Simulate a plan and record what happens between two instants.

    Parameters
    ----------
    plan : Plan
        The plan. All of it is run.
    start_ns, end_ns : int
        The recorded interval; `end_ns` None is the end of the run.
    most : int
        Largest number of slices, holds and readings. Later ones are left out, and `left_out` says
        so.
    engine : {"auto", "simpy", "compiled"}
        Who simulates it. Both record the same; where a run of hits lies across an end of the
        interval, its slice may begin or end at another access.
    tell : callable, optional
        Is told the progress of the run, as by :func:`mmusim.engine.simulate`.
    """
    recorder = Recorder(plan, start_ns, end_ns, most)
    trace = simulate(plan, probe=recorder, engine=engine, tell=tell)
    end = trace.end_ns if end_ns is None else min(end_ns, trace.end_ns)
    left_out = ""
    if recorder.full_at is not None:
        left_out = (
            f"there was room for {most:,} records: what begins after "
            f"{show_ns(recorder.full_at)} is left out, up to {show_ns(end)}"
        )
        end = min(end, recorder.full_at)
    return Timeline(
        policy=trace.policy,
        seed=trace.seed,
        start_ns=start_ns,
        end_ns=end,
        vcpus=tuple(tuple(_within(lane, start_ns, end)) for lane in recorder.vcpus),
        holds=tuple(hold for hold in recorder.holds if hold.asked_ns < end),
        readings=tuple(recorder.readings),
        requests=tuple(sorted(filter(lambda one: one.due_ns < end, recorder.requests), key=_due)),
        phases=tuple(p for p in trace.phases if p.end_ns >= start_ns and p.start_ns <= end),
        windows=tuple(w for w in trace.windows if w.end_ns > start_ns and w.start_ns < end),
        left_out=left_out,
    )


def _within(lane: Iterable[Slice], start_ns: int, end_ns: int) -> Iterator[Slice]:
    return (s for s in lane if s.start_ns < end_ns and s.end_ns > start_ns)


class Held(NamedTuple):
    """mmu_lock was held, by one or by readers together."""

    start_ns: int
    end_ns: int
    by: tuple[int, ...]  # one for write, or all readers
    shared: bool


def held(holds: Iterable[Hold]) -> Iterator[Held]:
    """Yield when mmu_lock was held. Overlapping holds of readers count as one, so none overlap."""
    readers: list[Hold] = []
    until = 0
    for hold in sorted(holds, key=lambda h: (h.got_ns, h.released_ns)):
        if readers and (not hold.shared or hold.got_ns >= until):
            yield _together(readers)
            readers = []
        if not hold.shared:
            yield Held(hold.got_ns, hold.released_ns, (hold.who,), False)
            continue
        until = max(until, hold.released_ns) if readers else hold.released_ns
        readers.append(hold)
    if readers:
        yield _together(readers)


def _together(readers: list[Hold]) -> Held:
    end_ns = max(hold.released_ns for hold in readers)
    return Held(readers[0].got_ns, end_ns, tuple(sorted({h.who for h in readers})), True)


def queue_lengths(holds: Iterable[Hold]) -> Iterator[tuple[int, int]]:
    """Yield when the number of waiters for mmu_lock changed, and to what."""
    steps: Counter[int] = Counter()
    for hold in holds:
        if hold.got_ns > hold.asked_ns:
            steps[hold.asked_ns] += 1
            steps[hold.got_ns] -= 1
    length = 0
    for at_ns in sorted(steps):
        if steps[at_ns]:
            length += steps[at_ns]
            yield at_ns, length


def name_of(who: int) -> str:
    """Return what an actor is called."""
    if who <= FIRST_ACTOR:
        return f"actor {FIRST_ACTOR - who + 1}"
    return "host thread" if who == HOST else f"vCPU {who}"
