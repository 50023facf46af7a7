"""The trace of checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from mmusim.base.units import show_ns


class CheckpointTrace(NamedTuple):
    """One checkpoint of the guest."""

    due_ns: int  # when it was to begin
    start_ns: int  # the request to stop the vCPUs
    resumed_ns: int  # they may run again
    arrived_ns: int  # everything is at the destination
    pages: int
    sent_bytes: int
    sending_ns: int  # time of the channel

    @property
    def pause_ns(self) -> int:
        """How long the guest was stopped, the way to the stop included."""
        return self.resumed_ns - self.start_ns

    def in_words(self) -> str:
        """Say what happened, in words."""
        late = self.start_ns - self.due_ns
        return (
            f"{self.pages:,} pages, paused for {show_ns(self.pause_ns)}, complete after "
            f"{show_ns(self.arrived_ns - self.start_ns)}"
            + (f", {show_ns(late)} late" if late else "")
        )


FEW: Final = 12
"""Number of checkpoints that are told one by one."""
EXTREMES: Final[Mapping[str, Callable[[CheckpointTrace], int]]] = {
    "the longest pause": lambda one: one.pause_ns,
    "the most pages": lambda one: one.pages,
    "the latest": lambda one: one.start_ns - one.due_ns,
    "the slowest to be complete": lambda one: one.arrived_ns - one.start_ns,
}
"""Which checkpoints of many are told, and by what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointsTrace:
    """The checkpoints of a phase."""

    began_ns: int  # the vCPUs began; the destination has all memory
    end_ns: int  # logging is off again
    made: tuple[CheckpointTrace, ...]  # at least one
    spent: Mapping[
        str, int
    ]  # what the thread did from began_ns -> ns; sums to the time until end_ns

    def story(self) -> tuple[str, ...]:
        """Tell what happened: one by one if there are few, else all together and the extremes."""
        if len(self.made) <= FEW:
            return tuple(f"checkpoint {n}: {one.in_words()}" for n, one in enumerate(self.made, 1))
        said: dict[int, list[str]] = {}
        for what, of in EXTREMES.items():
            values = [of(one) for one in self.made]
            number = values.index(max(values))
            if values[number]:
                said.setdefault(number, []).append(what)
        pauses = [one.pause_ns for one in self.made]
        pages = [one.pages for one in self.made]
        late = sum(one.start_ns > one.due_ns for one in self.made)
        count = len(self.made)
        return (
            f"{count:,} checkpoints: {_spread(pages, lambda n: f'{n:,}')} pages, paused for "
            f"{_spread(pauses, show_ns)}" + (f", {late:,} of them late" if late else ""),
            *(
                f"checkpoint {number + 1:,} ({', '.join(what)}): {self.made[number].in_words()}"
                for number, what in sorted(said.items())
            ),
        )


def _spread(values: Sequence[int], shown: Callable[[int], str]) -> str:
    """Return the least, the mean and the largest of some numbers as text."""
    mean = round(sum(values) / len(values))
    return f"{shown(min(values))} to {shown(max(values))} (mean {shown(mean)})"
