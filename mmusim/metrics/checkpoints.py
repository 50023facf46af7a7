"""What checkpoints cost: pauses, transfers, and how old the newest complete one may be."""

from __future__ import annotations

from mmusim.trace.checkpoints import CheckpointsTrace


def of_checkpoints(trace: CheckpointsTrace) -> dict[str, float]:
    """Return the metrics of a phase that made checkpoints, by name.

    With start s, resumption r and arrival a of each checkpoint, in ns of simulated time:

    * ``mean_checkpoint_pause``, ``max_checkpoint_pause``: r - s, in ns. ``paused_share``: the sum
      of all pauses over the time from the beginning to the last r.
    * ``mean_checkpoint_transfer``, ``max_checkpoint_transfer``: time of sending, in ns.
    * ``checkpoint_pages``: pages sent, mean over checkpoints. ``checkpoint_lateness``: s less the
      time at which it was due, mean, in ns.
    * ``recovery_point``: the largest a less the s of the checkpoint before, in ns: how old the
      newest complete checkpoint may be (Cully et al., Remus, NSDI 2008).
    * ``output_delay``: mean wait, in ns, of output that the guest produces evenly while it runs and
      that is held until the next a. Missing if the guest never ran.

    There must be at least one checkpoint.
    """
    began_ns, made = trace.began_ns, trace.made
    pauses = [one.pause_ns for one in made]
    transfers = [one.sending_ns for one in made]
    runs_from = [began_ns, *(one.resumed_ns for one in made[:-1])]
    ran = [one.start_ns - since for one, since in zip(made, runs_from, strict=True)]
    stood = [began_ns, *(one.start_ns for one in made[:-1])]
    waits = [
        length * (length / 2 + one.arrived_ns - one.start_ns)
        for length, one in zip(ran, made, strict=True)
    ]
    values = {
        "checkpoints": len(made),
        "mean_checkpoint_pause": sum(pauses) / len(made),
        "max_checkpoint_pause": max(pauses),
        "paused_share": sum(pauses) / (made[-1].resumed_ns - began_ns),
        "mean_checkpoint_transfer": sum(transfers) / len(made),
        "max_checkpoint_transfer": max(transfers),
        "checkpoint_pages": sum(one.pages for one in made) / len(made),
        "checkpoint_lateness": sum(one.start_ns - one.due_ns for one in made) / len(made),
        "recovery_point": max(
            one.arrived_ns - since for one, since in zip(made, stood, strict=True)
        ),
    }
    if sum(ran):
        values["output_delay"] = sum(waits) / sum(ran)
    return values
