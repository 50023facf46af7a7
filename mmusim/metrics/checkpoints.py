"""What checkpoints cost: pauses, transfers, and how old the newest complete one may be."""

from __future__ import annotations

from mmusim.trace.checkpoints import CheckpointsTrace


def of_checkpoints(trace: CheckpointsTrace) -> dict[str, float]:
    """Return the metrics of a phase that made checkpoints."""
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
