"""The trace of checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

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

    def told(self) -> str:
        """Say what happened, in words."""
        late = self.start_ns - self.due_ns
        return (
            f"{self.pages:,} pages, paused for {show_ns(self.pause_ns)}, complete after "
            f"{show_ns(self.arrived_ns - self.start_ns)}"
            + (f", {show_ns(late)} late" if late else "")
        )


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
        """Tell what happened, one by one."""
        return tuple(f"checkpoint {n}: {one.told()}" for n, one in enumerate(self.made, 1))
