"""What every phase of the script driver has."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Self

from pydantic import model_validator

from mmusim.base.quantities import Share, Strict, shown
from mmusim.config.cost import CostSpec

LEAST_IO_NS: Final = (
    1_000.0  # the device is emulated in user space: two changes of mode and a system call
)


class Named(Strict):
    """A phase may have a name, by which `measure` and claims refer to it."""

    name: Annotated[str, shown("first pass")] = ""
    """Name of the phase. `measure` and claims refer to it."""


class GuestPhase(Named):
    """A phase of the vCPUs. The host waits for its end, unless `background` is set."""

    think: Annotated[CostSpec, shown("100ns")] = 0.0
    """Guest work before each access."""
    background: Annotated[bool, shown(True)] = False
    """The host goes on with the next phase at once. The phase `wait` joins."""
    repeat: Annotated[bool, shown(True)] = False
    """The phase begins again until the host waits for it. It needs `background`."""

    @model_validator(mode="after")
    def _somebody_ends_it(self) -> Self:
        if self.repeat and not self.background:
            raise ValueError("repeat needs background = true; `wait` ends it")
        return self


class BusyPhase(GuestPhase):
    """The guest runs while the VMM works on it, lap after lap, until the VMM has finished.

    vCPUs run the workload, in each lap with draws of their own, and finish the last lap.
    """

    needs_log: ClassVar[bool] = True
    """Whether the VMM reads the dirty log."""

    workload: Annotated[str, shown("my-service")] = ""
    """Name of the workload that each vCPU runs meanwhile. Without one the guest is idle."""
    shared: Annotated[Share, shown("25%")] = 0.0
    """Share of the memory that all vCPUs use together. Each has its part of the rest to itself."""

    @model_validator(mode="after")
    def _in_the_foreground(self) -> Self:
        if self.background:
            raise ValueError(
                "background goes with phases of the guest alone; drop it: the guest runs beside "
                "this phase anyway"
            )
        return self


def can_be_served(mean: float) -> float:
    """Return a mean time between exits of a vCPU for port I/O, in ns, if it can be.

    Raises
    ------
    ValueError
        If it is shorter than such an exit takes.
    """
    if 0 < mean < LEAST_IO_NS:
        raise ValueError("no exit to user space is served in less than 1us; write that, or 0ns")
    return mean
