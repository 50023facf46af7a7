"""Events of a run, at which windows begin and end: what they are called, how often they happen."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

SYNC: Final = "sync-dirty-log"
READS_LOG: Final = ("get-dirty-log", "harvest-ring", SYNC)
"""Operations that count as a sync, however a policy reports."""
ENABLE: Final = "enable-logging"
CLEAR: Final = "clear-dirty-log"
DISABLE: Final = "disable-logging"
SWITCH_OVER: Final = "switch-over"
PAUSE: Final = "pause"
COPY_MEMORY: Final = "copy-memory"
_EDGES: Final = {"start of ": "start", "end of ": "end"}
_WITHIN: Final = 0.5
"""The place of what a phase does, between its start, 0, and its end, 1."""

Place = tuple[int, float]
"""Index of a phase, and where in it."""


class Event(NamedTuple):
    """The start or the end of something that the host or the guest does."""

    edge: str  # start, end
    what: str  # a kind of phase, or its name
    number: int  # the first, the second ...

    @classmethod
    def read(cls, text: str, known: Iterable[str] = ()) -> Event:
        """Read ``end of sync-dirty-log 2``; a name in `known` may end with a number of its own."""
        edge = "start"
        for words, name in _EDGES.items():
            if text.startswith(words):
                edge, text = name, text.removeprefix(words)
                break
        if text in known:
            return cls(edge, text, 1)
        counted = re.fullmatch(r"(.*\S) ([0-9]{1,9})", text)
        if counted is None:
            return cls(edge, text, 1)
        return cls(edge, counted[1], int(counted[2]))

    def __str__(self) -> str:
        """Write it as people do."""
        return ("end of " if self.edge == "end" else "") + f"{self.what} {self.number}"


def titles(phase: Any) -> set[str]:
    """Return what a phase is called as an event: its kind, its name, a sync if it reads the log."""
    own = {phase.do, phase.name} - {""}
    return own | {SYNC} if phase.do in READS_LOG else own


def most_syncs(migration: Any) -> float:
    """Return how often a migration with these parameters reads the log at most.

    It reads the log when it begins, after each round and when the guest is stopped. A throttle may
    have a timer that reads it too.
    """
    return math.inf if migration.throttle_rule is not None else migration.max_rounds + 2


def within(phase: Any, syncs: float) -> dict[str, tuple[float, float]]:
    """Return what a phase does as events, and how often each happens at least and at most.

    Parameters
    ----------
    phase : Phase
        Of a script.
    syncs : float
        How often a migration reads the log at most.
    """
    if phase.do == "migrate":
        return {
            ENABLE: (1, 1), SYNC: (1, syncs), CLEAR: (0, math.inf), SWITCH_OVER: (0, 1),
            DISABLE: (0, 1),
        }  # fmt: skip
    if phase.do == "checkpoint":
        times = phase.times
        return {
            ENABLE: (1, 1), SYNC: (times + 1, times + 1), CLEAR: (0, math.inf),
            PAUSE: (times, times), DISABLE: (1, 1),
        }  # fmt: skip
    if phase.do == "snapshot":
        return {PAUSE: (1, 1), COPY_MEMORY: (1, 1)}
    return {}


def happens(what: str, phase: Any, syncs: float) -> tuple[float, float]:
    """Return how often something happens in a phase at least and at most."""
    return (1, 1) if what in titles(phase) else within(phase, syncs).get(what, (0, 0))


def most(what: str, phases: Sequence[Any], syncs: float) -> float:
    """Return how often something happens in a script at most."""
    return sum(happens(what, phase, syncs)[1] for phase in phases)


def span(event: Event, phases: Sequence[Any], syncs: float) -> tuple[Place, Place] | None:
    """Return where in a script an event happens, at the earliest and at the latest.

    Returns
    -------
    tuple of (int, float) pairs, or None
        None if it never happens so often. Both are equal if its place is known.
    """
    first: Place | None = None
    last: Place | None = None
    before = up_to = 0.0  # how often at least, before this phase; at most, up to its end
    for number, phase in enumerate(phases):
        least, greatest = happens(event.what, phase, syncs)
        if not greatest:
            continue
        here = _place(event, number, phases)
        up_to += greatest
        if first is None and up_to >= event.number:
            first = here
        if before < event.number:
            last = here
        before += least
    return None if first is None or last is None else (first, last)


def last_chance(what: str, phases: Sequence[Any], syncs: float) -> int:
    """Return the index of the last phase in which something can happen; -1 if there is none."""
    can = [n for n, phase in enumerate(phases) if happens(what, phase, syncs)[1]]
    return can[-1] if can else -1


def joined(number: int, phases: Sequence[Any]) -> int:
    """Return which phase waits for a guest in the background; the number of phases: the end."""
    behind = range(number + 1, len(phases))
    return next(
        (n for n in behind if phases[n].do == "wait" or hasattr(phases[n], "background")),
        len(phases),
    )


def _place(event: Event, number: int, phases: Sequence[Any]) -> Place:
    phase = phases[number]
    if event.what not in titles(phase):
        return number, _WITHIN
    if event.edge == "end" and getattr(phase, "background", False):
        return joined(number, phases), 0
    return number, int(event.edge == "end")


def is_within(place: Place) -> bool:
    """Tell whether a place is that of something which a phase does."""
    return place[1] == _WITHIN
