"""The phase `checkpoint`: every so often the VMM stops the guest and copies what is dirty."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from mmusim.base.quantities import Count, Time, shown
from mmusim.config.phase import BusyPhase

MOST_CHECKPOINTS: Final = 100_000


class Checkpoint(BusyPhase):
    """Checkpoints of a running guest, after a first copy of all its memory.

    The first copy is made before the vCPUs begin, through the same channel. A checkpoint stops the
    vCPUs, reads the log, copies the dirty pages and lets the vCPUs run again. The channel is that
    of `driver.migration` (`bandwidth`, `multifd-channels`, `clear-bitmap-shift`, `zero_pages`);
    `max-bandwidth` does not limit it.

    Sources: Cully et al., Remus, NSDI 2008 (`buffered`, `after`); QEMU ``colo_checkpoint_notify``
    and ``colo_do_checkpoint_transaction`` (`every`); Firecracker's diff snapshots.
    """

    do: Annotated[Literal["checkpoint"], shown("checkpoint")]
    """The kind of phase."""
    every: Annotated[Annotated[Time, Field(gt=0)] | None, shown("100ms")] = None
    """Time from one beginning to the next, on a grid that starts with the vCPUs, as COLO's timer
    has it. A checkpoint that is late begins at once, and the next at the next time of the grid.
    Without it, `after` decides.
    """
    after: Annotated[Annotated[Time, Field(gt=0)] | None, shown("100ms")] = None
    """Time from the arrival of one checkpoint to the beginning of the next, as Remus has it.
    Without it, `every` decides.
    """
    times: Annotated[Count, Field(le=MOST_CHECKPOINTS), shown(20, "checkpoints")] = 10
    """Number of checkpoints, after which the phase ends."""
    buffered: Annotated[bool, shown(True)] = False
    """Pages are copied to a buffer of the host while the guest is stopped, and sent while it runs.
    Without it, they are sent while the guest is stopped.
    """

    @model_validator(mode="after")
    def _one_clock(self) -> Self:
        if (self.every is None) == (self.after is None):
            raise ValueError(
                'needs one clock; give either every = "100ms", from beginning to beginning, or '
                'after = "100ms", from the arrival of the one before'
            )
        return self

    def due_ns(self, origin_ns: int, began_ns: int, arrived_ns: int) -> int:
        """Return when the next checkpoint is to begin; all times in ns.

        Parameters
        ----------
        origin_ns : int
            When the vCPUs began.
        began_ns, arrived_ns : int
            When the checkpoint before it began, and was complete; `origin_ns` if there is none.
        """
        if self.after is not None:
            return arrived_ns + round(self.after)
        assert self.every is not None
        turns = int((began_ns - origin_ns) // self.every) + 1
        return origin_ns + round(turns * self.every)
