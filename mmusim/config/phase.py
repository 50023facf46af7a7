"""What every phase of the script driver has."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from mmusim.base.quantities import Strict
from mmusim.config.cost import CostSpec


class Named(Strict):
    """A phase may carry a name, by which `measure` and claims refer to it."""

    name: str = ""


class GuestPhase(Named):
    """Something vCPUs do; the host waits for them unless it is told to go on."""

    think: CostSpec = 0.0
    """Guest work before each access."""
    background: bool = False
    """Go on with the next phase at once; `wait` joins."""
    repeat: bool = False
    """Begin again and again until the host thread waits."""

    @model_validator(mode="after")
    def _somebody_ends_it(self) -> Self:
        if self.repeat and not self.background:
            raise ValueError("repeat needs background = true; `wait` ends it")
        return self
