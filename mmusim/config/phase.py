"""What every phase of the script driver has."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import model_validator

from mmusim.base.quantities import Strict, shown
from mmusim.config.cost import CostSpec


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
