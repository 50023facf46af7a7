"""Windows of a run that are measured: from an event to an event, or for a time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Final, NamedTuple, Self

from pydantic import AfterValidator, Field, model_validator

from mmusim.base.errors import nearest
from mmusim.base.quantities import Strict, Time, shown

SYNC: Final = "sync-dirty-log"
READS_LOG: Final = ("get-dirty-log", "harvest-ring", SYNC)
"""Operations that count as a sync, however a policy reports."""
OF_MIGRATIONS: Final = (
    "enable-logging", SYNC, "clear-dirty-log", "switch-over", "disable-logging",
)  # fmt: skip
"""What a migration does, as events: there is no telling how often."""
PAUSE: Final = "pause"
OF_CHECKPOINTS: Final = ("enable-logging", SYNC, "clear-dirty-log", PAUSE, "disable-logging")
"""What a phase `checkpoint` does, as events."""
COPY_MEMORY: Final = "copy-memory"
OF_SNAPSHOTS: Final = (PAUSE, COPY_MEMORY)
"""What a phase `snapshot` does, as events."""
_INSIDE: Final = {
    "migrate": OF_MIGRATIONS, "checkpoint": OF_CHECKPOINTS, "snapshot": OF_SNAPSHOTS,
}  # fmt: skip
_EDGES: Final = {"start of ": "start", "end of ": "end"}
_EXAMPLE: Final = 'write e.g. "enable-logging" or "end of sync-dirty-log 2"'


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
        if text in known:
            return cls(edge, text, 1)
        counted = re.fullmatch(r"(.*\S) (\d+)", text)
        if counted is None:
            return cls(edge, text, 1)
        return cls(edge, counted[1], int(counted[2]))

    def __str__(self) -> str:
        """Write it as people do."""
        return ("end of " if self.edge == "end" else "") + f"{self.what} {self.number}"


def _a_moment(text: str) -> str:
    event = Event.read(text)
    if not event.what.strip() or event.number < 1:
        raise ValueError(f"must name an event; {_EXAMPLE}")
    return text


Moment = Annotated[str, AfterValidator(_a_moment)]
"""``[start of | end of] PHASE [n]``: a phase by its kind or its name, the n-th of them."""


class Window(Strict):
    """A stretch of a run that is measured by itself, the same for every policy.

    It begins with an event, or some time after it, and ends with another or after some time. The
    guest goes on across its edges: time is cut there, while an access, a request or a stall belongs
    to the window in which it began, a request in which it arrived.
    """

    name: Annotated[str, Field(min_length=1), shown("first pass")]
    """Name of the window, for `measure` and results."""
    from_: Annotated[Moment, Field(alias="from"), shown("end of enable-logging")]
    """Event that it begins with: a phase by kind or name, `end of` it, the n-th of them."""
    after: Annotated[Time, shown("10ms")] = 0.0
    """Time from that event to its beginning."""
    to: Annotated[Moment | None, shown("sync-dirty-log 2")] = None
    """Event that it ends with. Without it, `lasts` ends it."""
    lasts: Annotated[Annotated[Time, Field(gt=0)] | None, shown("100ms")] = None
    """Length of the window. Without it, the event `to` ends it."""

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        if (self.to is None) == (self.lasts is None):
            raise ValueError('needs one end; give either to, an event, or lasts = "100ms"')
        return self

    def events(self, known: Iterable[str]) -> tuple[Event, Event | None]:
        """Return the events that begin and end it; None: it ends after a time."""
        known = list(known)
        return Event.read(self.from_, known), self.to and Event.read(self.to, known)  # type: ignore[return-value]


def titles(phase: Any) -> set[str]:
    """Return what a phase is called as an event: its kind, its name, a sync if it reads the log."""
    own = {phase.do, phase.name} - {""}
    return own | {SYNC} if phase.do in READS_LOG else own


def contradictions(windows: list[Window], phases: list[Any]) -> Iterator[str]:
    """Yield what is wrong with the windows of a script, `phases` in turns, as rule and remedy."""
    names = [window.name for window in windows]
    taken = {title for phase in phases for title in titles(phase)}
    inside = {event for phase in phases for event in _INSIDE.get(phase.do, ())}
    known = taken | inside
    soft = [number for number, phase in enumerate(phases, 1) if phase.do == "write-page-table"]
    if windows and soft:
        yield (
            f"windows do not go with phases[{soft[0]}] (write-page-table), which is one store; "
            "drop one of the two"
        )
    for number, window in enumerate(windows, 1):
        where = f"windows[{number}] ({window.name})"
        if names.count(window.name) > 1 or window.name in taken:
            yield f"{where} has the name of something else; give it one of its own"
        begins, ends = window.events(known)
        places = []
        for event in (begins, ends):
            if event is None:
                continue
            if event.what not in known:
                yield f"{where}: {event.what!r} never happens; " + nearest(
                    event.what, sorted(known)
                )
                return
            at = _place(event, phases)
            if at is None and event.what not in inside:
                count = sum(event.what in titles(phase) for phase in phases)
                yield (
                    f"{where}: there is no {event}, because {event.what} happens "
                    f"{count} times; name an earlier one, or do it more often"
                )
                return
            places.append(at)
        if None in places or len(places) < 2:
            continue
        if places[1] <= places[0]:  # type: ignore[operator]
            yield f"{where} ends before it begins; put {window.to} after {window.from_}"
            continue
        waits = _waits_between(places[0], places[1], phases)  # type: ignore[arg-type]
        if waits:
            yield (
                f"{where} goes on beyond phases[{waits}], which waits for the guest to finish; "
                "drop that phase, or end the window before it"
            )


def _place(event: Event, phases: list[Any]) -> tuple[int, int] | None:
    """Return where in a script an event happens: phase and edge; None if it does not."""
    seen = 0
    for number, phase in enumerate(phases):
        seen += event.what in titles(phase)
        if seen == event.number:
            if event.edge == "end" and getattr(phase, "background", False):
                return _joined(number, phases), 0
            return number, int(event.edge == "end")
    return None


def _joined(number: int, phases: list[Any]) -> int:
    """Return which phase waits for a guest in the background; the number of phases: the end."""
    behind = range(number + 1, len(phases))
    return next(
        (n for n in behind if phases[n].do == "wait" or hasattr(phases[n], "background")),
        len(phases),
    )


def _waits_between(begin: tuple[int, int], end: tuple[int, int], phases: list[Any]) -> int:
    """Return the number of a phase between that waits for a guest in the background; 0: none."""
    running = False
    for number, phase in enumerate(phases):
        joins = phase.do == "wait" or hasattr(phase, "background")
        if joins and running and begin < (number, 0) < end:
            return number + 1
        if joins:
            running = getattr(phase, "background", False)
    return 0
