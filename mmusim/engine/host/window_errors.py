"""Errors of windows that cannot be measured in a run: what happened, and the remedy."""

from __future__ import annotations

from mmusim.base.errors import WindowError
from mmusim.base.units import show_ns
from mmusim.config.events import Event
from mmusim.config.windows import Window


def never_begins(window: Window, begins: Event) -> WindowError:
    """Return the error of a window whose first event does not happen."""
    return WindowError(
        f"window {window.name!r} never begins: in this run there was no {begins}; begin it with "
        "something that happens under every policy and seed"
    )


def never_ends(window: Window, ends: Event) -> WindowError:
    """Return the error of a window whose last event does not happen after it began."""
    return WindowError(
        f"window {window.name!r} never ends: in this run there was no {ends} after it began; end "
        'it by time, e.g. lasts = "100ms"'
    )


def ends_too_early(window: Window, end: Event) -> WindowError:
    """Return the error of a window that ends while the time before its beginning still runs."""
    return WindowError(
        f"window {window.name!r} ends before it begins: in this run {end} came less than "
        f"{show_ns(window.after)} after {window.from_}; write a shorter after, or end it by time, "
        'e.g. lasts = "100ms"'
    )
