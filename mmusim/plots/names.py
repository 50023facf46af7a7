"""Names that people give, made to fit into a figure."""

from __future__ import annotations

from typing import Final

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text
from matplotlib.textpath import text_to_path
from matplotlib.ticker import FixedLocator, FuncFormatter

BESIDE: Final = 0.42
"""Share of a figure's width that a label to the left of the axes may take."""
UNDER: Final = 0.3
"""The same of a label below the axes, which is slanted where labels are long."""
ABOVE: Final = 0.8
"""Share of a panel's width that its axes have, so that its title and its headings may take."""
POINTS: Final = 72  # in an inch
GAP: Final = "..."


def shortened(text: str, font: FontProperties, room: float) -> str:
    """Return a text without the middle of each line that is wider than `room`, in inches."""
    return "\n".join(_line(line, font, room) for line in text.split("\n"))


def _line(line: str, font: FontProperties, room: float) -> str:
    wide = width_of(line, font)
    if wide <= room:
        return line
    half = max(1, int((len(line) * room / wide - len(GAP)) / 2))
    return f"{line[:half].rstrip()}{GAP}{line[-half:].lstrip()}"


def width_of(line: str, font: FontProperties) -> float:
    """Return the width of a line in inches; dollar signs are text."""
    width, _, _ = text_to_path.get_text_width_height_descent(line, font, False)
    return float(width) / POINTS


def fit_names(figure: Figure) -> None:
    """Shorten titles, labels of ticks, headings and entries of legends that have no room.

    A name that is wider than a figure leaves no room for the axes.
    """
    wide = figure.get_figwidth()
    for ax in figure.axes:
        for text in (ax.title, ax._left_title, ax._right_title, *ax.texts):  # type: ignore[attr-defined]
            _fit(text, ABOVE * wide / _columns(ax))
        _fit_ticks(ax.yaxis, BESIDE * wide)
        _fit_ticks(ax.xaxis, UNDER * wide)
    legends = [*figure.legends, *(found for ax in figure.axes if (found := ax.get_legend()))]
    for legend in legends:
        for text in legend.get_texts():
            _fit(text, 0.9 * wide)


def _columns(ax: Axes) -> int:
    """Return how many axes stand beside each other."""
    place = ax.get_subplotspec()
    return place.get_gridspec().ncols if place else 1


def _fit(text: Text, room: float) -> None:
    text.set_text(shortened(text.get_text(), text.get_fontproperties(), room))


def _fit_ticks(axis: Axis, room: float) -> None:
    """Shorten the labels of ticks that are names; those of numbers are made when they are drawn."""
    where, made = axis.get_major_locator(), axis.get_major_formatter()
    if not isinstance(where, FixedLocator) or not isinstance(made, FuncFormatter):
        return
    places = list(where())
    names = [made(place, number) for number, place in enumerate(places)]
    font = axis.get_major_ticks(1)[0].label1.get_fontproperties()
    fitted = [shortened(name, font, room) for name in names]
    if fitted != names:
        axis.set_ticks(places, labels=fitted)
