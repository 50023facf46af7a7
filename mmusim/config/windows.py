"""Windows of a run that are measured: from an event to an event, or for a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, Field, model_validator

from mmusim.base.errors import nearest
from mmusim.base.quantities import Strict, Time, shown
from mmusim.config.events import (
    CLEAR,
    DISABLE,
    ENABLE,
    Event,
    Place,
    is_within,
    most,
    most_syncs,
    span,
    titles,
    within,
)
from mmusim.config.schedule import in_turns

LAST: Final = "last"
"""As `measure`, the last guest phase."""
LONGEST: Final = 1e12
"""Of a window, and of the time before it, in ns."""
_EXAMPLE: Final = 'write e.g. "enable-logging" or "end of sync-dirty-log 2"'


def _a_moment(text: str) -> str:
    event = Event.read(text)
    if not event.what.strip() or event.number < 1:
        raise ValueError(f"must name an event; {_EXAMPLE}")
    return text


def _a_name(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank; fill it in")
    if text == LAST:
        raise ValueError("is what `measure` calls the last guest phase; choose another name")
    return text


Moment = Annotated[str, AfterValidator(_a_moment)]
"""``[start of | end of] PHASE [n]``: a phase by its kind or its name, the n-th of them."""


class Window(Strict):
    """A part of a run that is measured by itself, the same for every policy.

    It begins with an event, or some time after it, and ends with another or after some time. The
    guest goes on across its edges: time is cut there, while an access, a request or a stall belongs
    to the window in which it began, a request in which it arrived.
    """

    name: Annotated[str, Field(min_length=1), AfterValidator(_a_name), shown("first pass")]
    """Name of the window, for `measure` and results."""
    from_: Annotated[Moment, Field(alias="from"), shown("end of enable-logging")]
    """Event that it begins with: a phase by kind or name, `end of` it, the n-th of them."""
    after: Annotated[Time, Field(le=LONGEST), shown("10ms")] = 0.0
    """Time from that event to its beginning."""
    to: Annotated[Moment | None, shown("sync-dirty-log 2")] = None
    """Event that it ends with. Without it, `lasts` ends it."""
    lasts: Annotated[Annotated[Time, Field(gt=0, le=LONGEST)] | None, shown("100ms")] = None
    """Length of the window. Without it, the event `to` ends it."""

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        if (self.to is None) == (self.lasts is None):
            raise ValueError('needs one end; give either to, an event, or lasts = "100ms"')
        if self.lasts is not None and not round(self.lasts):
            raise ValueError('lasts less than a nanosecond; write e.g. lasts = "100ms"')
        return self

    def events(self, known: Iterable[str]) -> tuple[Event, Event | None]:
        """Return the events that begin and end it; None: it ends after a time."""
        known = list(known)
        return Event.read(self.from_, known), self.to and Event.read(self.to, known)  # type: ignore[return-value]


def contradictions(driver: Any) -> Iterator[str]:
    """Yield what is wrong with the windows of a script, a `Driver`, as rule and remedy."""
    windows, phases = driver.windows, in_turns(driver.phases)
    syncs = most_syncs(driver.migration)
    names = [window.name for window in windows]
    taken = {title for phase in phases for title in titles(phase)}
    known = taken | {what for phase in phases for what in within(phase, syncs)}
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
            at = span(event, phases, syncs)
            if at is None:
                yield f"{where}: {_too_often(event, phases, syncs)}"
                return
            places.append(at)
        if ends is None:
            continue
        if begins == ends:
            yield (
                f"{where} begins and ends with {ends}; end it with "
                + ("another event" if ends.edge == "end" else f'"end of {window.to}"')
                + ', or by time, e.g. lasts = "100ms"'
            )
        elif _reversed(begins, ends, *places):
            yield f"{where} ends before it begins; put {window.to} after {window.from_}"
        elif not any(is_within(edge) for place in places for edge in place):
            waits = _waits_between(places[0][0], places[1][0], phases)
            if waits:
                yield (
                    f"{where} goes on beyond phases[{waits}], which waits for the guest to finish; "
                    "drop that phase, or end the window before it"
                )


def _too_often(event: Event, phases: Sequence[Any], syncs: float) -> str:
    """Say that an event does not happen so often, with a remedy."""
    count = most(event.what, phases, syncs)
    inside = any(event.what in within(phase, syncs) for phase in phases)
    often = f"{'at most ' if inside else ''}{count:,.0f} times"
    more = "name an earlier one, or do it more often"
    if inside:
        more = "name an earlier one, or let the phase do it more often"
    return f"there is no {event}, because {event.what} happens {often}; {more}"


def _reversed(
    begins: Event, ends: Event, begin: tuple[Place, Place], end: tuple[Place, Place]
) -> bool:
    """Tell whether a window cannot begin before it ends, whatever happens in a run."""
    if begins.what == ends.what:
        order = [(event.number, event.edge == "end") for event in (begins, ends)]
        return order[1] <= order[0]
    (first, _), (_, last) = begin, end
    if first == last and is_within(first):  # one phase does both
        return begins.what == DISABLE or ends.what == ENABLE
    return last <= first


def without_clears(driver: Any, reporting: str) -> Iterator[tuple[str, str, str]]:
    """Yield key, rule and remedy of windows at clears, which this way of reporting never makes."""
    taken = {title for phase in driver.phases for title in titles(phase)}
    for number, window in enumerate(driver.windows, 1):
        for key, event in zip(("from", "to"), window.events(taken), strict=True):
            if event is not None and event.what == CLEAR and CLEAR not in taken:
                yield (
                    f"driver.windows[{number}].{key}",
                    f"{event} goes with manual-clear, initially-all-set and not with {reporting}",
                    'use sync-dirty-log, or set manual_protect = "on"',
                )


def _waits_between(begin: Place, end: Place, phases: Sequence[Any]) -> int:
    """Return the number of a phase between that waits for a guest in the background; 0: none."""
    running = False
    for number, phase in enumerate(phases):
        joins = phase.do == "wait" or hasattr(phase, "background")
        if joins and running and begin < (number, 0) < end:
            return number + 1
        if joins:
            running = getattr(phase, "background", False)
    return 0
