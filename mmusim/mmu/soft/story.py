"""The events of a scenario, told with the step numbers of the posting (domain, D.2)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final

from mmusim.mmu.soft.events import (
    EmulationFailed,
    Event,
    Faulted,
    LargeRefused,
    LevelChosen,
    Locked,
    Mapped,
    MustEmulate,
    Protected,
    Shadowed,
    TableMade,
    Unlocked,
    Unprotected,
)
from mmusim.mmu.soft.scenario import X

UNTOLD: Final = (Locked, Unlocked, TableMade)


def step(event: Event, first: bool) -> str:
    """Return the posting's number of an event; empty if it has none.

    `first`: no fault of the store came before this one. The posting has number 5 twice; the second
    is 5' here. 7 is the corrected step: "refault, then goto 2, as part of the write".
    """
    match event:
        case Mapped(gfn=0, level=2, writable=True):
            return "1" if first else "6"
        case Shadowed(gfn=gfn) if gfn == X:
            return "2" if first else "7, goto 2"
        case Protected() | LargeRefused():
            return "3"
        case Faulted(gfn=gfn, write=True) if gfn == X:
            return "4" if first else "6"
        case MustEmulate(gfn=gfn) if gfn == X:
            return "4"
        case LevelChosen(level=2) if not first:
            return "6"
        case EmulationFailed():
            return "5"
        case Unprotected(gfn=gfn) if gfn == X:
            return "5'"
        case _:
            return ""


def tell(setup: Iterable[Event], laps: Sequence[Sequence[Event]]) -> tuple[str, ...]:
    """Write the story: one line per event. Equal laps are told once.

    Parameters
    ----------
    setup : iterable of Event
        The events up to step 3.
    laps : sequence of sequences of Event
        The events of each attempt of the store, from fault to entry.
    """
    lines = [_line("before", event, True) for event in setup if not isinstance(event, UNTOLD)]
    number = 0
    for lap, same in groupby(laps):
        count = len(list(same))
        told = [event for event in lap if not isinstance(event, UNTOLD)]
        lines += [_line(f"lap {number + 1}", event, number == 0) for event in told]
        if count > 1:
            lines.append(f"laps {number + 2} to {number + count}: the same again")
        number += count
    return tuple(lines)


def _line(lap: str, event: Event, first: bool) -> str:
    posted = step(event, first)
    return f"{lap}, step {posted}: {event}" if posted else f"{lap}: {event}"
