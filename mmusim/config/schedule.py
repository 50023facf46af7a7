"""When the host thread begins an operation: at a time, after something, every so often."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Final, Self

from pydantic import Field, PrivateAttr, model_validator

from mmusim.base.quantities import Count, Time, shown
from mmusim.config.phase import Named

MOST_TURNS: Final = 100_000


class Scheduled(Named):
    """An operation of the host thread; by default it begins when the one before it has ended.

    A schedule is absolute: an operation that is late begins at once, and does not move those
    behind it. How late it was is part of the trace.
    """

    at: Annotated[Time | None, shown("100ms")] = None
    """Time of its beginning, counted from the beginning of the last guest phase, or of the run.
    Without it, the end of the operation before decides.
    """
    after: Annotated[Time | None, shown("50ms")] = None
    """Time of its beginning, counted from the end of another operation. Without it, it begins at
    once.
    """
    of: Annotated[str, shown("first sync")] = ""
    """Name of the operation that `after` counts from. Without it, the one before."""
    every: Annotated[Annotated[Time, Field(gt=0)] | None, shown("200ms")] = None
    """Time from one beginning to the next, with `times`. Without it, it is done once."""
    times: Annotated[Count, Field(le=MOST_TURNS), shown(5, "operations")] = 1
    """How often the operation is done."""
    _turn: int = PrivateAttr(default=0)

    @model_validator(mode="after")
    def _one_clock(self) -> Self:
        if self.at is not None and self.after is not None:
            raise ValueError("at and after exclude each other; give one of them")
        if self.of and self.after is None:
            raise ValueError('of needs after; write e.g. after = "0ns"')
        if self.times > 1 and self.every is None:
            raise ValueError('times needs every; write e.g. every = "200ms"')
        if self.every is not None and "times" not in self.model_fields_set:
            raise ValueError("every needs times; write e.g. times = 5")
        return self

    @property
    def turn(self) -> int:
        """How often it was done before, of `times`."""
        return self._turn

    @property
    def is_scheduled(self) -> bool:
        """Whether it does not simply follow what was before it."""
        return self.at is not None or self.after is not None or self.every is not None

    def turns(self) -> Iterator[Self]:
        """Yield the operation as often as it is done, each time with its number."""
        for turn in range(self.times):
            copy = self.model_copy()
            copy._turn = turn
            yield copy


def in_turns(phases: list[Any]) -> list[Any]:
    """Return the phases with each operation as often as it is done."""
    out: list[Any] = []
    for phase in phases:
        out += phase.turns() if isinstance(phase, Scheduled) and phase.times > 1 else [phase]
    return out


def contradictions(phases: list[Any]) -> Iterator[str]:
    """Yield what is wrong with the schedule of a script, as rule and remedy."""
    earlier: list[str] = []
    clock = 0.0  # the latest time that `at` gave since the guest phase before
    for number, phase in enumerate(phases, 1):
        if not isinstance(phase, Scheduled):
            clock = 0.0 if hasattr(phase, "background") else clock
            continue
        where = f"phases[{number}] ({phase.do})"  # type: ignore[attr-defined]
        if phase.is_scheduled and phase.do == "wait":  # type: ignore[attr-defined]
            yield f"{where} ends when the guest does; drop its at, after or every"
        if phase.of and phase.of not in earlier:
            known = f"write one of {', '.join(earlier)}" if earlier else "name one before it"
            yield f"{where} begins after {phase.of!r}, which is not an operation before it; {known}"
        if phase.at is not None:
            if phase.at < clock:
                yield (
                    f"{where} is to begin before the operation in front of it does; put them in "
                    "the order of time"
                )
            clock = phase.at + (phase.times - 1) * (phase.every or 0.0)
        if phase.name:
            earlier.append(phase.name)
