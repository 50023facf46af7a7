"""Exposure: the operations of the dirty log that a window or the measured phase of a run met."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from mmusim.trace.records import Operation, PhaseTrace, Trace

BEGINS_LOGGING = ("enable-logging", "recreate-slot")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """The exposure of one window of one run: counts, and times in ns.

    Operations are those on the dirty log. What they armed and reported counts where they ended. One
    that took no time at the start of a window, as without a log, is no part of it.
    """

    length_ns: int
    logged_ns: int  # of the window: logging was on, or was being switched on
    guest_ns: int  # of the window: vCPUs ran programs, mean over vCPUs; a phase is over with them
    begun: int  # operations
    ended: int
    unfinished: int  # operations that went on when the window ended
    armed: int  # pages whose next write is noticed
    reported: int  # pages that the guest had written
    false: int  # pages that were reported all the same
    accesses: int  # that began in the window
    requests: int  # that arrived in it
    lock_busy_ns: int  # of the window: mmu_lock was held exclusively, or handed on
    leftover_faults: int  # before the first operation, long after the last
    late: int  # operations that began later than they were to
    latest_ns: int  # by how much at most
    has_log: bool  # there are operations on the log somewhere in the run
    logs: bool  # the policy logs dirty pages
    longest_ns: int = 0  # operation that began in it
    before_on: bool = False  # a guest phase that was over while logging was being switched on

    @property
    def lock_share(self) -> float:
        """Share of the window in which mmu_lock was held exclusively or handed on."""
        return self.lock_busy_ns / self.length_ns if self.length_ns else 0.0

    @property
    def missed_the_log(self) -> bool:
        """Whether the window met no operation of the dirty log although the run had some."""
        return self.logs and self.has_log and not self.logged_ns


def exposures(trace: Trace) -> dict[str, Exposure]:
    """Return the exposure of each window by name, and of the compared phase under ``""``."""
    found = {window.name: exposure(trace, window) for window in trace.windows}
    return {"": exposure(trace, trace.compared)} | found


def exposure(trace: Trace, window: PhaseTrace) -> Exposure:
    """Return the exposure of a window or a guest phase of a run.

    It lasts from its start to its end, or to the end of the guest if that is later. An operation
    has begun in it if it started in it and took time, and ended in it if its end lies in it.
    """
    start, end = window.start_ns, max(window.end_ns, window.guest_end_ns)
    ran = window.vcpu_ns / max(1, trace.vcpus) if window.do == "window" else end - start
    begun = [o for o in trace.operations if start <= o.start_ns < end and o.end_ns > start]
    ended = [o for o in trace.operations if start < o.end_ns <= end]
    late = [o.late_ns for o in begun if o.late_ns > 0]
    return Exposure(
        length_ns=end - start,
        logged_ns=sum(_overlap(start, end, *span) for span in logged(trace)),
        guest_ns=round(ran),
        begun=len(begun),
        ended=len(ended),
        unfinished=sum(o.start_ns < end < o.end_ns for o in trace.operations),
        armed=sum(o.armed for o in ended),
        reported=sum(o.dirty - o.false_dirty for o in ended),
        false=sum(o.false_dirty for o in ended),
        accesses=window.reads.count + window.writes.count,
        requests=window.requests.count,
        lock_busy_ns=window.lock_busy_ns,
        leftover_faults=window.leftover_faults,
        late=len(late),
        latest_ns=max(late, default=0),
        has_log=bool(trace.operations),
        logs=trace.logs,
        longest_ns=max((o.end_ns - o.start_ns for o in begun), default=0),
        before_on=window.do != "window"
        and any(o.do in BEGINS_LOGGING and o.start_ns < end < o.end_ns for o in trace.operations),
    )


def logged(trace: Trace) -> list[tuple[int, int]]:
    """Return the intervals in which logging was on, as (start, end) in ns, in order.

    Each begins with the start of enabling. It ends with the end of disabling, or of the run.
    """
    return list(_spans(trace.operations, trace.end_ns))


def _spans(operations: Iterable[Operation], end_ns: int) -> Iterable[tuple[int, int]]:
    since: int | None = None
    for o in sorted(operations, key=lambda o: o.start_ns):
        if o.do in BEGINS_LOGGING and since is None:
            since = o.start_ns
        elif o.do == "disable-logging" and since is not None:
            yield since, o.end_ns
            since = None
    if since is not None:
        yield since, end_ns


def _overlap(start: int, end: int, since: int, until: int) -> int:
    return max(0, min(end, until) - max(start, since))


def to_plain(exposed: Exposure) -> dict[str, Any]:
    """Return plain data from which ``Exposure(**data)`` rebuilds the exposure."""
    return asdict(exposed)
