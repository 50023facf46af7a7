"""Metrics of what the VMM does: migrations, checkpoints and snapshots (domain, section F)."""

from __future__ import annotations

from mmusim.vocabulary.metric import (
    POSTCOPY_FAULTS,
    SLOW_SECONDS,
    SNAPSHOT_WAITS,
    Scope,
    metric,
)
from mmusim.vocabulary.terms import Better

_LOWER, _HIGHER, _NEITHER = Better.LOWER, Better.HIGHER, Better.NEITHER
_MIGRATION, _CHECKPOINTS = Scope.MIGRATION, Scope.CHECKPOINTS
_SNAPSHOT = Scope.SNAPSHOT
_UFFD = "QEMU bg_migration_thread"

metric(
    "migration_time", "ns", _LOWER, _MIGRATION,
    "from the request until the destination runs and has all pages, or the migration was given up",
    "total time in QEMU's terms", "F.1",
)  # fmt: skip
metric(
    "downtime", "ns", _LOWER, _MIGRATION,
    "from the request to stop the vCPUs until they run at the destination",
    "how long the guest stands still", "F.1",
)  # fmt: skip
metric(
    "rounds", "", _LOWER, _MIGRATION, "syncs of the log after the first, the last one included",
    "whether the migration converges", "F.1",
)  # fmt: skip
metric(
    "sent_bytes", "bytes", _LOWER, _MIGRATION, "bytes sent, headers included",
    "what the network carries", "F.2",
)  # fmt: skip
metric(
    "resent_pages", "pages", _LOWER, _MIGRATION,
    "pages sent - pages of the VM that were sent at all",
    "what the guest's writes and the errors of the log cost", "F.2",
)  # fmt: skip
metric(
    "migrated", "", _HIGHER, _MIGRATION,
    "1 if the guest runs at the destination (outcomes completed and postcopy), else 0",
    "whether the migration succeeds", "F.1", yes_or_no=True,
)  # fmt: skip
metric(
    "log_time", "ns", _LOWER, _MIGRATION,
    "time of the migration thread in enable, sync, clear and disable, waits included",
    "what the log costs the migration", "F.3",
)  # fmt: skip
metric(
    "limited_time", "ns", _LOWER, _MIGRATION,
    "time that the migration thread slept because its window was full",
    "what max-bandwidth costs", "F.2",
)  # fmt: skip
metric(
    "highest_throttle", "", _LOWER, _MIGRATION, "largest share of time that auto-converge took",
    "how hard the guest is slowed down", "F.5",
)  # fmt: skip
metric(
    "longest_ring_sleep", "ns", _LOWER, _MIGRATION,
    "longest sleep that the dirty limit set for a full ring; 0: it never acted",
    "how hard a dirty limit slows the guest down", "F.5",
)  # fmt: skip
metric(
    "dirty_sync_count", "", _LOWER, _MIGRATION,
    "syncs of the log, the first and those of timers included", "QEMU's `dirty-sync-count`", "F.2",
)  # fmt: skip
metric(
    "sent_in_vain", "pages", _LOWER, _MIGRATION,
    "pages sent in a round and to be sent again after it, over all rounds",
    "data that the network carries in vain",
)  # fmt: skip
metric(
    "lock_wait_for_log", "ns", _LOWER, _MIGRATION,
    "waits of vCPUs for `mmu_lock` while an operation of the log held it; the rest of "
    "`mmu_lock_wait` is the other vCPUs'",
    "cost of the host's part in the contention for the guest", "G.5",
)  # fmt: skip
metric(
    " ".join(f"time_below_{percent}" for percent in SLOW_SECONDS), "ns", _LOWER, _MIGRATION,
    "length of the seconds from the request to the switch-over in which vCPUs were in the guest "
    "for less than that percentage",
    "for how long the guest was noticeably slow, as good as halted, or halted",
)  # fmt: skip
metric(
    "postcopy_blocktime", "ns", _LOWER, _MIGRATION,
    "time in which all vCPUs waited for pages of the source", "QEMU's `postcopy-blocktime`", "F.9",
)  # fmt: skip
metric(
    "postcopy_vcpu_blocktime", "ns", _LOWER, _MIGRATION,
    "mean over vCPUs of the time in which one waited for pages of the source",
    "QEMU's `postcopy-vcpu-blocktime`", "F.9",
)  # fmt: skip
metric(
    "postcopy_faults", "", _LOWER, _MIGRATION, "faults that waited for a page of the source",
    "how often the guest has to wait in post-copy", "F.9",
)  # fmt: skip
metric(
    " ".join(POSTCOPY_FAULTS), "ns", _LOWER, _MIGRATION,
    "mean, quantile and maximum of how long a fault waited for its page of the source",
    "what post-copy costs an access; the mean is QEMU's `postcopy-latency`", "F.9",
)  # fmt: skip
metric(
    "served_before served_during served_after", "", _HIGHER, _MIGRATION,
    "requests served / requests that arrived: from the start of the vCPUs to the request of the "
    "migration, from there to its end, and in the `tail` behind it, where a backlog makes it more "
    "than 1",
    "progress of an open-loop service; for a phase with `lead` or `tail`",
)  # fmt: skip
metric(
    "most_waiting", "requests", _LOWER, _MIGRATION,
    "largest number of requests that have arrived and are not served, of all readings; readings "
    "are 1 ms apart, and further in a long phase",
    "backlog of an open-loop service; for a phase with `lead` or `tail`",
)  # fmt: skip
metric(
    "service_recovery", "ns", _LOWER, _MIGRATION,
    "from the end of the migration to the first reading at which no more requests wait than at "
    "any time before the request; missing if the `tail` ends before",
    "how long users notice a migration that is over",
)  # fmt: skip
metric(
    "guest_share", "", _HIGHER, _MIGRATION, "(`hits` + `think` + `idle`) / time of the vCPUs",
    "what is left for the guest",
)  # fmt: skip
metric(
    "checkpoints", "", _NEITHER, _CHECKPOINTS, "checkpoints after the first copy",
    "how many pauses there are",
)  # fmt: skip
metric(
    "mean_checkpoint_pause max_checkpoint_pause", "ns", _LOWER, _CHECKPOINTS,
    "from the request to stop the vCPUs until they may run again",
    "how long the guest stands still", "F.1; Remus, NSDI 2008",
)  # fmt: skip
metric(
    "paused_share", "", _LOWER, _CHECKPOINTS,
    "sum of the pauses / time from the start of the vCPUs to the end of the last pause",
    "what checkpoints take of the guest's time directly",
)  # fmt: skip
metric(
    "mean_checkpoint_transfer max_checkpoint_transfer", "ns", _LOWER, _CHECKPOINTS,
    "time of the channel for the pages of a checkpoint", "what the network carries", "F.2",
)  # fmt: skip
metric(
    "checkpoint_pages", "pages", _LOWER, _CHECKPOINTS, "mean number of pages of a checkpoint",
    "what the guest dirties between two of them", "F.2",
)  # fmt: skip
metric(
    "checkpoint_lateness", "ns", _LOWER, _CHECKPOINTS,
    "mean time from when a checkpoint was to begin until it began",
    "whether the interval is kept",
)  # fmt: skip
metric(
    "recovery_point", "ns", _LOWER, _CHECKPOINTS,
    "longest time from the beginning of one pause (or the start of the vCPUs) until the checkpoint "
    "after it is complete",
    "how much work a failure of the host can undo",
)  # fmt: skip
metric(
    "output_delay", "ns", _LOWER, _CHECKPOINTS,
    "mean over what the guest says at a steady rate while it runs: from then until the checkpoint "
    "behind it is complete",
    "how long output waits that is released with its checkpoint", "Remus, NSDI 2008",
)  # fmt: skip
metric(
    "snapshot_pause", "ns", _LOWER, _SNAPSHOT,
    "from the request to stop the vCPUs until they may run again",
    "how long the guest stands still", _UFFD,
)  # fmt: skip
metric(
    "snapshot_time", "ns", _LOWER, _SNAPSHOT, "from the request until every page has been copied",
    "how long the guest runs on protected memory", _UFFD,
)  # fmt: skip
metric(
    "snapshot_bytes", "bytes", _LOWER, _SNAPSHOT, "bytes sent, headers included",
    "what the network or the disk carries; each page is sent once", _UFFD,
)  # fmt: skip
metric(
    "copied_on_fault", "pages", _LOWER, _SNAPSHOT,
    "pages copied because a vCPU waited for them", "how often the guest is ahead of the copy",
    "QEMU poll_fault_page",
)  # fmt: skip
metric(
    "copied_in_order", "pages", _HIGHER, _SNAPSHOT, "pages copied - those that a vCPU waited for",
    "how often the copy is ahead of the guest", _UFFD,
)  # fmt: skip
metric(
    "snapshot_waits", "", _LOWER, _SNAPSHOT,
    "writes that waited; several vCPUs may wait for one page",
    "how many accesses a snapshot delays", "Linux handle_userfault",
)  # fmt: skip
metric(
    " ".join(SNAPSHOT_WAITS), "ns", _LOWER, _SNAPSHOT,
    "mean, quantile and maximum of how long a write waited for the copy of its page",
    "what a snapshot costs an access", "Linux handle_userfault; QEMU scripts/userfaultfd-wrlat.py",
)  # fmt: skip
metric(
    "snapshot_flushes", "", _LOWER, _SNAPSHOT,
    "remote TLB flushes because the guest had mapped what changed its protection",
    "what reading before the copy costs all vCPUs", "Linux kvm_unmap_gfn_range",
)  # fmt: skip
