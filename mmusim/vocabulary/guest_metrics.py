"""Metrics of the guest, of the log and of mmu_lock."""

from __future__ import annotations

from mmusim.vocabulary.metric import LATENCY, STALL_STATISTICS, WINDOWS, Scope, distribution, metric
from mmusim.vocabulary.terms import Better

_LOWER, _HIGHER, _NEITHER = Better.LOWER, Better.HIGHER, Better.NEITHER
_PHASE, _RUN = Scope.PHASE, Scope.RUN

metric(
    "phase_time", "ns", _LOWER, _PHASE, "end of the last vCPU - start of the phase",
    "how long the guest needs",
)  # fmt: skip
distribution(
    "latency",
    "first attempt of an access to its completion, faults included, guest work before it excluded; "
    "p99999 from 1,000,000 accesses on",
    "the jitter of single accesses", LATENCY,
)  # fmt: skip
metric("faults", "", _LOWER, _PHASE, "`pf_taken`", "how often the guest faults", "G.3")
distribution(
    "request", "completion of the last access of a request - its intended arrival",
    "latency for a client, queueing behind a stall included (no coordinated omission)", LATENCY,
)  # fmt: skip
metric("request_count", "", _NEITHER, _PHASE, "requests that were completed", "work of clients")
metric("reported_dirty", "pages", _LOWER, _RUN, "pages that the log reported", "what must be sent")
metric(
    "false_dirty", "pages", _LOWER, _RUN,
    "pages that the log reported and the guest had not written since they were last copied",
    "what is sent in vain",
)  # fmt: skip
metric(
    "protect_time", "ns", _LOWER, _RUN,
    "sum of the log operations' costs and waits, sleeps excluded, those of migrations included",
    "what the host needs",
)  # fmt: skip
metric(
    "grace_time", "ns", _LOWER, _RUN,
    "time of SRCU grace periods in protect_time (`c_srcu`); not defined for migrations",
    "the heaviest tail of host metrics, which a control variate removes",
)  # fmt: skip
metric(
    "grace_periods", "", _NEITHER, _RUN, "changes of a memory slot outside migrations",
    "how many draws are in grace_time",
)  # fmt: skip
metric(
    "enable_time get_time clear_time disable_time", "ns", _LOWER, _RUN,
    "duration of the phases enable-logging; get-dirty-log, sync-dirty-log and harvest-ring; "
    "clear-dirty-log; disable-logging",
    "what the caller of an ioctl waits for", "B.0, G.1",
)  # fmt: skip
metric(
    "protect_time_without_grace enable_time_without_grace", "ns", _LOWER, _RUN,
    "protect_time and enable_time without SRCU grace periods (`c_srcu`, `srcu_wait`)",
    "what the host needs, without the draw that makes up most of its variance", "B.0, H.3",
)  # fmt: skip
metric(
    "fault_free_pages", "pages", _HIGHER, _PHASE,
    "mean over dropped large sptes of the distinct pages that were read without a fault before the "
    "first write dropped the spte",
    "what keeping large sptes is good for", "B.4", closed_form=True,
)  # fmt: skip
metric(
    "laps", "", _LOWER, _PHASE,
    "exits of the store of `write-page-table`, up to the patience of the watchdog",
    "how long the livelock lasts", "D.3",
)  # fmt: skip
metric(
    "faults_until_progress", "", _LOWER, _PHASE,
    "exits of a store of `write-page-table` that was done in the end",
    "what the store costs where there is no livelock", "D.4",
)  # fmt: skip
metric(
    "progress", "", _HIGHER, _PHASE, "1 if the store of `write-page-table` was done, else 0",
    "whether there is a livelock", "D.3", yes_or_no=True,
)  # fmt: skip
distribution("read", "as latency, of reads", "who pays for dropped large sptes", LATENCY)
distribution("write", "as latency, of writes", "who pays for tracking", LATENCY)
metric("lost_time", "ns", _LOWER, _PHASE, "sum of the lost causes, all vCPUs", "how much is lost")
metric(
    "lost_share", "", _LOWER, _PHASE, "lost_time / time of the vCPUs",
    "share of the guest's time that is lost; replaces ratios of utilisations near 0",
)  # fmt: skip
metric("stalls", "", _LOWER, _PHASE, "periods outside the guest", "how often the guest stalls")
distribution(
    "stall", "length of a period outside the guest", "how long a stall is", STALL_STATISTICS
)
metric("read_count", "", _NEITHER, _PHASE, "reads of all vCPUs", "how well reads are known")
metric("write_count", "", _NEITHER, _PHASE, "writes of all vCPUs", "how well writes are known")
metric(
    " ".join(f"worst_utilisation_{window}" for window in WINDOWS), "", _HIGHER, _PHASE,
    "min over vCPUs and all windows [t, t + W] of 1 - lost(t, W) / W",
    "least share of a deadline W that is left to a vCPU; exact over all positions of the window",
)  # fmt: skip
metric(
    " ".join(f"worst_lost_share_{window}" for window in WINDOWS), "", _LOWER, _PHASE,
    "1 - worst_utilisation of the same window",
    "how much of a deadline of W can be lost; its ratio is defined where all may be lost",
)  # fmt: skip
metric(
    "fault_work", "ns", _LOWER, _RUN,
    "sum of the causes that are fault work, of the guest phases that were not over when the first "
    "log operation began",
    "work done in faults",
)  # fmt: skip
metric(
    "protect_work", "ns", _LOWER, _RUN,
    "costs of log operations without waits for locks and grace periods", "work done by the host",
)  # fmt: skip
metric(
    "moved_work", "", _NEITHER, _RUN, "fault_work / (fault_work + protect_work)",
    "0: all work is done at protect time; 1: all at fault time",
)  # fmt: skip
metric(
    "lock_breaks", "", _LOWER, _RUN, "walks over a slot that gave `mmu_lock` up on their way",
    "how often waiters were let in", "K.1 L3",
)  # fmt: skip
for _mode, _who in (
    ("shared", "acquisitions of `mmu_lock` for read"),
    ("exclusive", "acquisitions of `mmu_lock` for write; of a spinlock, all"),
):
    metric(f"lock_{_mode}_count", "", _LOWER, _RUN, _who, "how often the lock is taken", "A.10")
    for _of, _meaning in (("hold", "how long it is held"), ("wait", "how long others queue")):
        metric(f"lock_{_mode}_{_of}", "ns", _LOWER, _RUN, f"sum of the {_of}s of {_who}", _meaning)
    for _of, _meaning in (("hold", "the worst holder"), ("wait", "the worst queueing")):
        metric(f"max_{_mode}_{_of}", "ns", _LOWER, _RUN, f"longest {_of} of {_who}", _meaning)
    metric(
        f"lock_{_mode}_utilisation", "", _LOWER, _RUN,
        f"time held by at least one of the {_who} / time of the run", "how busy the lock is",
    )  # fmt: skip
    metric(
        f"lock_{_mode}_queue", "", _LOWER, _RUN,
        f"area under the number of waiters of the {_who} / time of the run",
        "mean queue; the area is the sum of the waits (Little's law), exactly",
    )  # fmt: skip
