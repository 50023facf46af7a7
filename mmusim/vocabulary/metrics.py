"""Metrics: the values by which runs are compared, with unit, direction, formula and source.

The name of a distribution starts with the statistic: ``p99_latency``. :mod:`mmusim.metrics`
computes the formulas.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from mmusim.vocabulary.terms import Better, Term, Vocabulary


class Scope(Enum):
    """Which part of a run a metric is about."""

    PHASE = "the measured phase"
    MIGRATION = "a phase that migrates the VM"
    RUN = "the whole run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric(Term):
    """A value of one run. A run that has no such thing has no value."""

    scope: Scope
    formula: str
    has_closed_form: bool

    @property
    def higher_is_better(self) -> bool:
        """Whether a policy with the higher value is the better one."""
        return self.better is Better.HIGHER


METRICS: Final[Vocabulary[Metric]] = Vocabulary("metric")
USUAL: Final = ("phase_time", "p99_latency", "max_latency", "faults", "protect_time")
"""Metrics that are compared by default."""

QUANTILES: Final = {"p50": 0.5, "p99": 0.99, "p999": 0.999, "p9999": 0.9999, "p99999": 0.99999}
"""Quantiles of distributions, by the first part of their names."""
WINDOWS: Final = {"100us": 100_000, "1ms": 1_000_000, "10ms": 10_000_000, "100ms": 100_000_000}
"""Windows of the worst utilisation in ns, by the last part of their names."""
_LATENCY = ("mean", *QUANTILES, "max")
STALL_STATISTICS: Final = tuple(part for part in _LATENCY if part != "p99999")
"""What is given of stalls, by the first part of the names."""
MIN_BEYOND: Final = 10
"""Fewer times beyond a quantile say little of it: p99.9 of 150 requests is their maximum."""
_LOWER, _HIGHER, _NEITHER = Better.LOWER, Better.HIGHER, Better.NEITHER
SLOW_SECONDS: Final = (90, 50, 1)
"""Percentages of a second that the guest runs, below which the second is counted."""
POSTCOPY_FAULTS: Final = tuple(f"{part}_postcopy_fault" for part in ("mean", "p50", "p99", "max"))
"""How long faults of post-copy waited for their pages."""

_PHASE, _MIGRATION, _RUN = Scope.PHASE, Scope.MIGRATION, Scope.RUN


def _metric(
    names: str, unit: str, better: Better, scope: Scope, formula: str, meaning: str,
    source: str = "G.5", *, closed_form: bool = False,
) -> None:  # fmt: skip
    """Add the metrics in `names`, separated by spaces, that one formula describes."""
    for name in names.split():
        METRICS.add(
            Metric(
                name=name, unit=unit, better=better, meaning=meaning, source=source, scope=scope,
                formula=formula, has_closed_form=closed_form,
            )
        )  # fmt: skip


def _distribution(of: str, formula: str, meaning: str, statistics: tuple[str, ...]) -> None:
    """Add mean, quantiles and maximum of a distribution of times in ns."""
    _metric(" ".join(f"{s}_{of}" for s in statistics), "ns", _LOWER, _PHASE, formula, meaning)


_metric(
    "phase_time", "ns", _LOWER, _PHASE, "end of the last vCPU - start of the phase",
    "how long the guest needs",
)  # fmt: skip
_distribution(
    "latency",
    "first attempt of an access to its completion, faults included, guest work before it excluded; "
    "p99999 from 1,000,000 accesses on",
    "the jitter of single accesses", _LATENCY,
)  # fmt: skip
_metric("faults", "", _LOWER, _PHASE, "`pf_taken`", "how often the guest faults", "G.3")
_distribution(
    "request", "completion of the last access of a request - its intended arrival",
    "latency for a client, queueing behind a stall included (no coordinated omission)", _LATENCY,
)  # fmt: skip
_metric("request_count", "", _NEITHER, _PHASE, "requests that were completed", "work of clients")
_metric("reported_dirty", "pages", _LOWER, _RUN, "pages that the log reported", "what must be sent")
_metric(
    "false_dirty", "pages", _LOWER, _RUN,
    "pages that the log reported and the guest had not written since they were last copied",
    "what is sent in vain",
)  # fmt: skip
_metric(
    "protect_time", "ns", _LOWER, _RUN,
    "sum of the log operations' costs and waits, sleeps excluded, those of migrations included",
    "what the host needs",
)  # fmt: skip
_metric(
    "grace_time", "ns", _LOWER, _RUN,
    "time of SRCU grace periods in protect_time (`c_srcu`); not defined for migrations",
    "the heaviest tail of host metrics, which a control variate removes",
)  # fmt: skip
_metric(
    "grace_periods", "", _NEITHER, _RUN, "changes of a memory slot outside migrations",
    "how many draws are in grace_time",
)  # fmt: skip
_metric(
    "enable_time get_time clear_time disable_time", "ns", _LOWER, _RUN,
    "duration of the phases enable-logging; get-dirty-log, sync-dirty-log and harvest-ring; "
    "clear-dirty-log; disable-logging",
    "what the caller of an ioctl waits for", "B.0, G.1",
)  # fmt: skip
_metric(
    "protect_time_without_grace enable_time_without_grace", "ns", _LOWER, _RUN,
    "protect_time and enable_time without SRCU grace periods (`c_srcu`, `srcu_wait`)",
    "what the host needs, without the draw that makes up most of its variance", "B.0, H.3",
)  # fmt: skip
_metric(
    "fault_free_pages", "pages", _HIGHER, _PHASE,
    "mean over dropped large sptes of the distinct pages that were read without a fault before the "
    "first write dropped the spte",
    "what keeping large sptes is good for", "B.4", closed_form=True,
)  # fmt: skip
_metric(
    "laps", "", _LOWER, _PHASE,
    "exits of the store of `write-page-table`, up to the patience of the watchdog",
    "how long the livelock lasts", "D.3",
)  # fmt: skip
_metric(
    "faults_until_progress", "", _LOWER, _PHASE,
    "exits of a store of `write-page-table` that was done in the end",
    "what the store costs where there is no livelock", "D.4",
)  # fmt: skip
_metric(
    "progress", "", _HIGHER, _PHASE, "1 if the store of `write-page-table` was done, else 0",
    "whether there is a livelock", "D.3",
)  # fmt: skip
_metric(
    "migration_time", "ns", _LOWER, _MIGRATION,
    "from the request until the destination runs and has all pages, or the migration was given up",
    "total time in QEMU's terms", "F.1",
)  # fmt: skip
_metric(
    "downtime", "ns", _LOWER, _MIGRATION,
    "from the request to stop the vCPUs until they run at the destination",
    "how long the guest stands still", "F.1",
)  # fmt: skip
_metric(
    "rounds", "", _LOWER, _MIGRATION, "syncs of the log after the first, the last one included",
    "whether the migration converges", "F.1",
)  # fmt: skip
_metric(
    "sent_bytes", "bytes", _LOWER, _MIGRATION, "bytes sent, headers included",
    "what the network carries", "F.2",
)  # fmt: skip
_metric(
    "resent_pages", "pages", _LOWER, _MIGRATION,
    "pages sent - pages of the VM that were sent at all",
    "what the guest's writes and the errors of the log cost", "F.2",
)  # fmt: skip
_metric(
    "migrated", "", _HIGHER, _MIGRATION,
    "1 if the guest runs at the destination (outcomes completed and postcopy), else 0",
    "whether the migration succeeds", "F.1",
)  # fmt: skip
_metric(
    "log_time", "ns", _LOWER, _MIGRATION,
    "time of the migration thread in enable, sync, clear and disable, waits included",
    "what the log costs the migration", "F.3",
)  # fmt: skip
_metric(
    "limited_time", "ns", _LOWER, _MIGRATION,
    "time that the migration thread slept because its window was full",
    "what max-bandwidth costs", "F.2",
)  # fmt: skip
_metric(
    "highest_throttle", "", _LOWER, _MIGRATION, "largest share of time that auto-converge took",
    "how hard the guest is slowed down", "F.5",
)  # fmt: skip
_metric(
    "longest_ring_sleep", "ns", _LOWER, _MIGRATION,
    "longest sleep that the dirty limit set for a full ring; 0: it never acted",
    "how hard a dirty limit slows the guest down", "F.5",
)  # fmt: skip
_metric(
    "dirty_sync_count", "", _LOWER, _MIGRATION,
    "syncs of the log, the first and those of timers included", "QEMU's `dirty-sync-count`", "F.2",
)  # fmt: skip
_metric(
    "sent_in_vain", "pages", _LOWER, _MIGRATION,
    "pages sent in a round and to be sent again after it, over all rounds",
    "data that the network carries in vain",
)  # fmt: skip
_metric(
    "lock_wait_for_log", "ns", _LOWER, _MIGRATION,
    "waits of vCPUs for `mmu_lock` while an operation of the log held it; the rest of "
    "`mmu_lock_wait` is the other vCPUs'",
    "cost of the host's part in the contention for the guest", "G.5",
)  # fmt: skip
_metric(
    " ".join(f"time_below_{percent}" for percent in SLOW_SECONDS), "ns", _LOWER, _MIGRATION,
    "length of the seconds from the request to the switch-over in which vCPUs were in the guest "
    "for less than that percentage",
    "for how long the guest was noticeably slow, as good as halted, or halted",
)  # fmt: skip
_metric(
    "postcopy_blocktime", "ns", _LOWER, _MIGRATION,
    "time in which all vCPUs waited for pages of the source", "QEMU's `postcopy-blocktime`", "F.5",
)  # fmt: skip
_metric(
    "postcopy_vcpu_blocktime", "ns", _LOWER, _MIGRATION,
    "mean over vCPUs of the time in which one waited for pages of the source",
    "QEMU's `postcopy-vcpu-blocktime`", "F.5",
)  # fmt: skip
_metric(
    " ".join(POSTCOPY_FAULTS), "ns", _LOWER, _MIGRATION,
    "mean, quantile and maximum of how long a fault waited for its page of the source",
    "what post-copy costs an access; the mean is QEMU's `postcopy-latency`", "F.5",
)  # fmt: skip
_metric(
    "guest_share", "", _HIGHER, _MIGRATION, "(`hits` + `think` + `idle`) / time of the vCPUs",
    "what is left for the guest",
)  # fmt: skip
_distribution("read", "as latency, of reads", "who pays for dropped large sptes", _LATENCY)
_distribution("write", "as latency, of writes", "who pays for tracking", _LATENCY)
_metric("lost_time", "ns", _LOWER, _PHASE, "sum of the lost causes, all vCPUs", "how much is lost")
_metric(
    "lost_share", "", _LOWER, _PHASE, "lost_time / time of the vCPUs",
    "share of the guest's time that is lost; replaces ratios of utilisations near 0",
)  # fmt: skip
_metric("stalls", "", _LOWER, _PHASE, "stretches outside the guest", "how often the guest stalls")
_distribution(
    "stall", "length of a stretch outside the guest", "how long a stall is", STALL_STATISTICS
)
_metric("read_count", "", _NEITHER, _PHASE, "reads of all vCPUs", "how well reads are known")
_metric("write_count", "", _NEITHER, _PHASE, "writes of all vCPUs", "how well writes are known")
_metric(
    " ".join(f"worst_utilisation_{window}" for window in WINDOWS), "", _HIGHER, _PHASE,
    "min over vCPUs and all windows [t, t + W] of 1 - lost(t, W) / W",
    "least share of a deadline W that is left to a vCPU; exact over all positions of the window",
)  # fmt: skip
_metric(
    " ".join(f"worst_lost_share_{window}" for window in WINDOWS), "", _LOWER, _PHASE,
    "1 - worst_utilisation of the same window",
    "how much of a deadline of W can be lost; its ratio is defined where all may be lost",
)  # fmt: skip
_metric(
    "fault_work", "ns", _LOWER, _RUN,
    "sum of the causes that are fault work, of the guest phases that were not over when the first "
    "log operation began",
    "work done in faults",
)  # fmt: skip
_metric(
    "protect_work", "ns", _LOWER, _RUN,
    "costs of log operations without waits for locks and grace periods", "work done by the host",
)  # fmt: skip
_metric(
    "moved_work", "", _NEITHER, _RUN, "fault_work / (fault_work + protect_work)",
    "0: all work is done at protect time; 1: all at fault time",
)  # fmt: skip
_metric(
    "lock_breaks", "", _LOWER, _RUN, "walks over a slot that gave `mmu_lock` up on their way",
    "how often waiters were let in", "K.1 L3",
)  # fmt: skip
for _mode, _who in (
    ("shared", "acquisitions of `mmu_lock` for read"),
    ("exclusive", "acquisitions of `mmu_lock` for write; of a spinlock, all"),
):
    _metric(f"lock_{_mode}_count", "", _LOWER, _RUN, _who, "how often the lock is taken", "A.10")
    for _of, _meaning in (("hold", "how long it is held"), ("wait", "how long others queue")):
        _metric(f"lock_{_mode}_{_of}", "ns", _LOWER, _RUN, f"sum of the {_of}s of {_who}", _meaning)
    for _of, _meaning in (("hold", "the worst holder"), ("wait", "the worst queueing")):
        _metric(f"max_{_mode}_{_of}", "ns", _LOWER, _RUN, f"longest {_of} of {_who}", _meaning)
    _metric(
        f"lock_{_mode}_utilisation", "", _LOWER, _RUN,
        f"time held by at least one of the {_who} / time of the run", "how busy the lock is",
    )  # fmt: skip
    _metric(
        f"lock_{_mode}_queue", "", _LOWER, _RUN,
        f"area under the number of waiters of the {_who} / time of the run",
        "mean queue; the area is the sum of the waits (Little's law), exactly",
    )  # fmt: skip
