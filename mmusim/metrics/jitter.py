"""The metrics of jitter: quantiles, lost time, worst windows, moved work, mmu_lock by mode.

Each function returns values by name. Its docstring has the formulas. ``docs/reference/metrics.md``
has units and meaning (domain, G.5).
"""

from __future__ import annotations

from typing import Final

from mmusim.base.histogram import Histogram
from mmusim.trace.records import LockStats, ModeStats, PhaseTrace, Trace
from mmusim.vocabulary.causes import FAULT_WORK, LOST_CAUSES
from mmusim.vocabulary.metrics import MIN_BEYOND, QUANTILES, STALL_STATISTICS, WINDOWS

Values = dict[str, float]

WAITS: Final = ("mmu_lock_wait", "slots_lock_wait", "srcu_wait")
"""Parts of log operations that are waits and not work."""
GRACE: Final = ("c_srcu", "srcu_wait")
"""Parts of log operations that are SRCU grace periods, drawn or waited for."""


def latencies(times: Histogram, of: str) -> Values:
    """Return ``mean_OF``, ``p50_OF`` ... ``p9999_OF``, ``p99999_OF`` and ``max_OF`` in ns.

    Quantile p of n times is the smallest time that at least p n of them do not exceed. Mean and
    maximum are exact; a quantile is off by at most 1/128 and a nanosecond. ``p99999`` needs
    1,000,000 times, of which 10 lie beyond it. Without times there are no values.
    """
    if not times.count:
        return {}
    values: Values = {f"mean_{of}": times.total_ns / times.count}
    values |= {
        f"{name}_{of}": times.quantile(p)
        for name, p in QUANTILES.items()
        if name != "p99999" or times.count >= MIN_BEYOND * 100_000
    }
    return values | {f"max_{of}": times.maximum}


def lost(phase: PhaseTrace) -> Values:
    """Return the lost time of the vCPUs in a guest phase.

    * ``lost_time``: sum of :data:`~mmusim.vocabulary.causes.LOST_CAUSES` in the ledger, in
      ns of all vCPUs. The same is measured by the clock, as the sum of all stalls.
    * ``stalls``: how often a vCPU was outside the guest; ``p50_stall`` ... ``max_stall``: for how
      long at a time, 0 where there was none.
    * ``worst_utilisation_W`` for W of 100us, 1ms, 10ms, 100ms: min over vCPUs and over all windows
      [t, t + W] within the time of the vCPU of 1 - lost(t, W) / W, with lost(t, W) the time of
      stalls in the window. Idle time is not lost: the guest could have used it. A window that no
      vCPU ran for has no value.
    * ``lost_share``: lost_time over the time of the vCPUs; ``worst_lost_share_W``: 1 -
      worst_utilisation_W. Where a utilisation is near 0, their ratios still mean something.
    """
    values: Values = {
        "lost_time": sum(phase.ledger.get(cause, 0) for cause in LOST_CAUSES),
        "stalls": phase.stalls.count,
    }
    values |= dict.fromkeys((f"{part}_stall" for part in STALL_STATISTICS), 0.0)
    values |= {n: ns for n, ns in latencies(phase.stalls, "stall").items() if n in values}
    for window, ns in WINDOWS.items():
        if ns in phase.worst_loss:
            values[f"worst_utilisation_{window}"] = 1 - phase.worst_loss[ns] / ns
            values[f"worst_lost_share_{window}"] = phase.worst_loss[ns] / ns
    if phase.vcpu_ns:
        values["lost_share"] = values["lost_time"] / phase.vcpu_ns
    return values


def moved_work(trace: Trace) -> Values:
    """Return how the work of dirty logging is divided between faults and log operations.

    * ``fault_work``: the causes :data:`~mmusim.vocabulary.causes.FAULT_WORK` of every guest phase
      that was not over when the first log operation began, in ns.
    * ``protect_work``: the time of all log operations, without waits for locks and grace
      periods, in ns.
    * ``moved_work``: fault_work / (fault_work + protect_work). 0: the host does all work, beside
      the guest or before it; 1: faults of the guest do all work.

    Without a log operation both works are 0, and there is no share of them.
    """
    begun = min((p.start_ns for p in trace.phases if p.spent), default=None)
    if begun is None:
        return {"fault_work": 0, "protect_work": 0}
    faults = sum(
        phase.ledger.get(cause, 0)
        for phase in trace.phases
        if phase.guest_end_ns > begun
        for cause in FAULT_WORK
    )
    protect = sum(
        ns for p in trace.phases for line, ns in p.spent.items() if line not in WAITS
    )  # fmt: skip
    values: Values = {"fault_work": faults, "protect_work": protect}
    if faults + protect:
        values["moved_work"] = faults / (faults + protect)
    return values


def lock(stats: LockStats, end_ns: int) -> Values:
    """Return the values of mmu_lock over a run of `end_ns`.

    For MODE of ``shared`` (for read) and ``exclusive`` (for write; of a spinlock, all):

    * ``lock_MODE_count``: acquisitions; ``lock_MODE_hold`` and ``lock_MODE_wait``: sums of their
      holds and waits in ns; ``max_MODE_hold`` and ``max_MODE_wait``: the longest.
    * ``lock_breaks``: how often a walk over a slot gave the lock up on its way.
    * ``lock_MODE_utilisation``: time in which at least one held it, over `end_ns`.
    * ``lock_MODE_queue``: time-weighted mean number of waiters, the area under their number over
      `end_ns`. The area is the sum of the waits, to the nanosecond (Little's law).

    All are 0 for a mode in which it was never taken.
    """
    values: Values = {"lock_breaks": stats.breaks}
    modes: dict[str, ModeStats] = {"shared": stats.shared, "exclusive": stats.exclusive}
    for name, mode in modes.items():
        values |= {
            f"lock_{name}_count": mode.acquisitions,
            f"lock_{name}_hold": mode.holds.total_ns,
            f"lock_{name}_wait": mode.waits.total_ns,
            f"max_{name}_hold": mode.holds.maximum,
            f"max_{name}_wait": mode.waits.maximum,
            f"lock_{name}_utilisation": mode.busy_ns / end_ns if end_ns else 0.0,
            f"lock_{name}_queue": mode.queue_ns / end_ns if end_ns else 0.0,
        }
    return values
