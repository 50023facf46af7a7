"""The metrics of a trace: each is one number of a run, with a formula."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from mmusim.base.histogram import Histogram
from mmusim.metrics import jitter
from mmusim.metrics.checkpoints import of_checkpoints
from mmusim.metrics.exposure import Exposure, exposures
from mmusim.metrics.service import of_service, since_request
from mmusim.metrics.snapshot import of_snapshot
from mmusim.trace.records import MigrationTrace, PhaseTrace, Round, Served, Trace
from mmusim.vocabulary import METRICS
from mmusim.vocabulary.metrics import POSTCOPY_FAULTS, SLOW_SECONDS, Scope


class WindowCosts(NamedTuple):
    """Times of host and guest in one window by cost or cause, in ns.

    An operation of the log counts in the window in which it ended.
    """

    host: Mapping[str, int]  # cost or wait of the log operations
    guest: Mapping[str, int]  # cause, all vCPUs


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Values of all metrics of one run, with the distributions behind them."""

    policy: str
    seed: int
    values: Mapping[
        str, float
    ]  # by name of the metric; a run lacks values of what it does not have
    ledger: Mapping[str, int]  # ns of all vCPUs in the measured phase by cause
    operation_times: Mapping[
        str, Mapping[str, int]
    ]  # log operation -> cost or wait -> ns, over the run
    latency: Histogram  # of all accesses of the measured phase
    fingerprint: str
    outcome: str = ""  # of write-page-table (progress, livelock, internal-error) or a migration
    story: tuple[str, ...] = ()  # of these: what happened, line by line
    rounds: tuple[Round, ...] = ()  # of a migration
    requests: Histogram | None = None  # latencies of requests, where the workload has them
    service: tuple[Served, ...] = ()  # beside a migration, times from its request
    blocked: Histogram | None = None  # post-copy: waits of faults for their pages
    windows: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Values of each window, where the driver has some."""
    exposures: Mapping[str, Exposure] = field(default_factory=dict)
    """The exposure of each window; "" is that of what the driver measures."""
    window_costs: Mapping[str, WindowCosts] = field(default_factory=dict)
    """Times of host and guest in each window."""

    def within(self, window: str) -> Metrics:
        """Return the run with the guest's metrics of one of its windows.

        What is of the whole run stays. Histograms stay those of what was measured.

        Raises
        ------
        KeyError
            If the run has no such window.
        """
        rest = {n: value for n, value in self.values.items() if METRICS[n].scope is not Scope.PHASE}
        met = {"": self.exposures[window]} if window in self.exposures else {}
        return replace(
            self, values=rest | dict(self.windows[window]), exposures={**self.exposures, **met}
        )


def measure(trace: Trace) -> Metrics:
    """Compute the metrics of a run, by the names and formulas of the vocabulary.

    The latency of an access is the time from its first attempt to its completion, with all faults
    and without think time. Means and maxima are exact; quantiles are off by at most 1/128 and a
    nanosecond. A run lacks metrics of what it does not have: a run without a migration has no
    downtime. See :data:`mmusim.vocabulary.METRICS`.
    """
    phase = trace.compared
    latency = _all_accesses(phase)
    values: dict[str, float] = {
        "reported_dirty": sum(p.dirty or 0 for p in trace.phases),
        "false_dirty": sum(p.false_dirty or 0 for p in trace.phases),
        "protect_time": sum(sum(p.spent.values()) for p in trace.phases),
        "protect_time_without_grace": sum(map(_without_grace, trace.phases)),
    }
    values |= _grace(trace)
    values |= _of_guest(phase, latency)
    values |= jitter.moved_work(trace) | jitter.lock(trace.lock, trace.end_ns)
    for metric, operations in _OPERATIONS.items():
        own = [p.end_ns - p.start_ns for p in trace.phases if p.do in operations]
        if own:
            values[metric] = sum(own)
    enabling = [_without_grace(p) for p in trace.phases if p.do == "enable-logging"]
    if enabling:
        values["enable_time_without_grace"] = sum(enabling)
    if phase.read_before_drop:
        values["fault_free_pages"] = sum(phase.read_before_drop) / len(phase.read_before_drop)
    migrations = [p for p in trace.phases if p.migration is not None]
    ends = migrations[-1] if phase.do == "window" and migrations else phase
    if ends.migration is not None:
        values |= _migration(ends, ends.migration)
    elif phase.checkpoints is not None:
        values |= of_checkpoints(phase.checkpoints)
    elif phase.snapshot is not None:
        values |= of_snapshot(phase.snapshot)
    elif phase.outcome:
        done = phase.outcome == "progress"
        values |= {"laps": phase.counters["laps"], "progress": float(done)}
        if done:
            values["faults_until_progress"] = phase.counters["laps"]
    return Metrics(
        policy=trace.policy,
        seed=trace.seed,
        values=values,
        ledger=phase.ledger,
        operation_times=_operation_times(trace),
        latency=latency,
        fingerprint=trace.fingerprint,
        outcome=ends.outcome,
        story=ends.story,
        rounds=() if ends.migration is None else ends.migration.rounds,
        requests=phase.requests if phase.requests.count else None,
        service=() if ends.migration is None else since_request(ends.migration),
        blocked=ends.migration.blocked
        if ends.migration is not None and ends.migration.blocked.count
        else None,
        windows={w.name: _of_guest(w, _all_accesses(w)) for w in trace.windows},
        exposures=exposures(trace),
        window_costs={w.name: _window_costs(trace, w) for w in trace.windows},
    )


def _window_costs(trace: Trace, window: PhaseTrace) -> WindowCosts:
    host: Counter[str] = Counter()
    for operation in trace.operations:
        if window.start_ns < operation.end_ns <= window.end_ns:
            host.update(operation.spent)
    return WindowCosts(host, window.ledger)


GRACE_PERIODS: Final = {"enable-logging": 1, "disable-logging": 1, "recreate-slot": 2}
"""SRCU grace periods of one log operation that changes a memory slot."""


def _grace(trace: Trace) -> dict[str, float]:
    """Return the time and the number of grace periods, where the number is known."""
    with_grace = [p for p in trace.phases if "c_srcu" in p.spent]
    if any(p.do not in GRACE_PERIODS for p in with_grace):
        return {}
    return {
        "grace_time": sum(p.spent["c_srcu"] for p in with_grace),
        "grace_periods": sum(GRACE_PERIODS[p.do] for p in with_grace),
    }


def _without_grace(phase: PhaseTrace) -> int:
    return sum(ns for line, ns in phase.spent.items() if line not in jitter.GRACE)


def _all_accesses(phase: PhaseTrace) -> Histogram:
    """Return the latencies of all accesses of a phase or window."""
    latency = Histogram()
    latency.merge(phase.reads)
    latency.merge(phase.writes)
    return latency


def _of_guest(phase: PhaseTrace, latency: Histogram) -> dict[str, float]:
    """Return the guest's metrics of a phase or window."""
    values: dict[str, float] = {
        "phase_time": max(phase.end_ns, phase.guest_end_ns) - phase.start_ns,
        "faults": phase.counters["pf_taken"],
        "read_count": phase.reads.count,
        "write_count": phase.writes.count,
    }
    values |= jitter.latencies(latency, "latency")
    values |= jitter.latencies(phase.reads, "read") | jitter.latencies(phase.writes, "write")
    values |= jitter.lost(phase)
    if phase.requests.count:
        values |= jitter.latencies(phase.requests, "request")
        values["request_count"] = phase.requests.count
    return values


def _migration(phase: PhaseTrace, m: MigrationTrace) -> dict[str, float]:
    over = m.outcome in ("completed", "postcopy")
    values: dict[str, float] = {
        "migration_time": m.end_ns - m.start_ns,
        "rounds": len(m.rounds),
        "sent_bytes": m.sent_bytes,
        "resent_pages": m.sent_pages - m.distinct_pages,
        "migrated": float(over),
        "log_time": sum(m.spent.get(part, 0) for part in ("enable", "sync", "clear", "disable")),
        "limited_time": m.spent.get("rate_limit", 0),
        "highest_throttle": max((share for _, share in m.throttle), default=0.0),
        "longest_ring_sleep": max((ns for _, _, ns in m.dirty_limit), default=0),
    }
    values["dirty_sync_count"] = m.syncs
    values["sent_in_vain"] = sum(r.in_vain for r in m.rounds)
    values["lock_wait_for_log"] = sum(m.waits_for_log.values())
    for percent in SLOW_SECONDS:
        slow = sum(ns for ns, share in m.seconds if share < percent / 100)
        values[f"time_below_{percent}"] = slow
    if m.vcpu_blocktime:
        values["postcopy_blocktime"] = m.blocktime_ns
        values["postcopy_vcpu_blocktime"] = sum(m.vcpu_blocktime) / len(m.vcpu_blocktime)
        values["postcopy_faults"] = m.blocked.count
        waits = jitter.latencies(m.blocked, "postcopy_fault")
        values |= {name: waits.get(name, 0.0) for name in POSTCOPY_FAULTS}
    if over:
        values["downtime"] = m.downtime_ns
    if phase.vcpu_ns:
        own = sum(phase.ledger[cause] for cause in ("hits", "think", "idle"))
        values["guest_share"] = own / phase.vcpu_ns
    return values | of_service(m)


_OPERATIONS: Final = {
    "enable_time": ("enable-logging",),
    "get_time": ("get-dirty-log", "sync-dirty-log", "harvest-ring"),
    "clear_time": ("clear-dirty-log",),
    "disable_time": ("disable-logging",),
}


def _operation_times(trace: Trace) -> dict[str, dict[str, int]]:
    operation_times: dict[str, Counter[str]] = {}
    for phase in trace.phases:
        if phase.spent:
            operation_times.setdefault(phase.do, Counter()).update(phase.spent)
    return {operation: dict(spent) for operation, spent in operation_times.items()}
