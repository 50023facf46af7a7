"""What a snapshot costs the guest: its pause, and the writes that wait for a copy."""

from __future__ import annotations

from mmusim.metrics import jitter
from mmusim.trace.snapshot import SnapshotTrace
from mmusim.vocabulary.metrics import SNAPSHOT_WAITS


def of_snapshot(trace: SnapshotTrace) -> dict[str, float]:
    """Return the metrics of a phase that took a snapshot, by name.

    * ``snapshot_pause``: time in which the guest stood, in ns; ``snapshot_time``: from the request
      to the last page, in ns; ``snapshot_bytes``: bytes sent.
    * ``copied_on_fault``, ``copied_in_order``: pages copied because a vCPU waited for them, and all
      others.
    * ``snapshot_waits``: writes that waited for a copy; ``mean_snapshot_wait`` to
      ``max_snapshot_wait``: for how long, in ns, 0 where none waited.
    * ``snapshot_flushes``: TLB flushes by unmapping.
    """
    waits = jitter.latencies(trace.waits, "snapshot_wait")
    return {
        "snapshot_pause": trace.pause_ns,
        "snapshot_time": trace.end_ns - trace.start_ns,
        "snapshot_bytes": trace.sent_bytes,
        "copied_on_fault": trace.on_fault,
        "copied_in_order": trace.pages - trace.on_fault,
        "snapshot_waits": trace.waits.count,
        "snapshot_flushes": trace.flushes,
    } | {name: waits.get(name, 0.0) for name in SNAPSHOT_WAITS}
