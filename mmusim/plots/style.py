"""How figures look: colours for the colour-blind, lines and marks for print, one width.

Neutral colours and those of series are used by name only, so that a report can put others in their
place where the page is dark (:data:`NEUTRAL`, :data:`SERIES`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, NamedTuple, ParamSpec, TypeVar

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import (
    EngFormatter,
    LogFormatter,
    LogFormatterMathtext,
    LogLocator,
    MaxNLocator,
    NullLocator,
)

from mmusim.plots.names import fit_names
from mmusim.vocabulary.metrics import MIN_BEYOND

INK: Final = "#1b1f24"
SOFT: Final = "#57606a"
GRID: Final = "#d8dee4"
PAPER: Final = "#fefefe"
NEUTRAL: Final = {"ink": INK, "soft": SOFT, "grid": GRID, "paper": PAPER}
"""Colours of text, ticks, grid and ground, by name."""
SERIES: Final = (
    "#0072b2", "#d55e00", "#007d5a", "#b3528c", "#8f6a00", "#4d5258", "#5f5bb0", "#7a4a2b",
)  # fmt: skip
"""Colours of series after Okabe and Ito (2008), darkened to a contrast of 3:1 with white."""
LINES: Final[tuple[Any, ...]] = (
    "-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (1, 2)), (0, (3, 1)),
)  # fmt: skip
MARKS: Final = "osD^vPX*"
WIDTH: Final = 8.0  # inches, of every figure

STYLE: Final[Any] = {
    "text.parse_math": False,  # what people name is text, dollar signs included
    "svg.fonttype": "none",
    "svg.hashsalt": "mmusim",
    "font.family": "sans-serif",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": "medium",
    "axes.edgecolor": SOFT,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=SERIES),
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "hatch.linewidth": 0.6,
    "xtick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.color": SOFT,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": "small",
}

P = ParamSpec("P")
R = TypeVar("R")


def style() -> AbstractContextManager[None]:
    """Return the context in which figures are drawn and saved."""
    return mpl.rc_context(STYLE)


def in_style(draw: Callable[P, R]) -> Callable[P, R]:
    """Let a function draw in the house style wherever it is called from."""

    @functools.wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> R:
        with style():
            drawn = draw(*args, **kwargs)
            if isinstance(drawn, Figure):
                label_powers(drawn)
                fit_names(drawn)
            return drawn

    return styled


class PlainPowers(LogFormatter):
    """Labels of a logarithmic axis as plain text: 0.001, 10, 10⁻⁷."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        """Return the label at `x`, where matplotlib has one."""
        return plain_power(x) if super().__call__(x, pos) else ""


def plain_power(x: float) -> str:
    """Write a number with at most four zeros, others as powers of ten."""
    if 1e-4 <= abs(x) < 1e5:
        return f"{x:g}"
    digits, _, exponent = f"{x:.6e}".partition("e")
    raised = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    times = "" if float(digits) == 1 else f"{float(digits):g} x "
    return f"{times}10{raised}"


def label_powers(figure: Figure) -> None:
    """Label logarithmic axes in plain text, because dollar signs are text in our figures."""
    for axis in (axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)):
        if isinstance(axis.get_major_formatter(), LogFormatterMathtext):
            axis.set_major_formatter(PlainPowers())
        if isinstance(axis.get_minor_formatter(), LogFormatterMathtext):
            axis.set_minor_formatter(PlainPowers())


class LineStyle(NamedTuple):
    """How a series differs from others, with colour and without."""

    colour: str
    line: Any
    mark: str


def line_styles(names: Iterable[str]) -> dict[str, LineStyle]:
    """Give each name a colour, a line style and a mark of its own; after eight they repeat."""
    return {
        name: LineStyle(SERIES[n % len(SERIES)], LINES[n % len(LINES)], MARKS[n % len(MARKS)])
        for n, name in enumerate(names)
    }


def sheet(height: float, rows: int = 1, columns: int = 1, **more: Any) -> tuple[Figure, Any]:
    """Return a new figure and its axes, shape (rows, columns)."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **more)


def panels(count: int, height: float = 2.6, **more: Any) -> tuple[Figure, list[Axes]]:
    """Return a figure with `count` axes, up to three beside each other; four are a square."""
    columns = 2 if count == 4 else min(3, max(1, count))
    rows = max(1, -(-count // columns))
    figure, axes = sheet(height * rows + 0.3, rows, columns, **more)
    for ax in list(axes.flat)[count:]:
        ax.set_axis_off()
    return figure, list(axes.flat)[:count]


def rows_of(
    groups: Sequence[tuple[str, Sequence[str]]],
) -> tuple[list[float], list[tuple[float, str]]]:
    """Return where the rows of named groups lie, and the headings, which have rows of their own.

    A single group has no heading.
    """
    places: list[float] = []
    headings: list[tuple[float, str]] = []
    y = 0.0
    for name, rows in groups:
        if len(groups) > 1:
            headings.append((y, name))
            y += 0.9
        places += [y + n for n in range(len(rows))]
        y += len(rows) + (0.25 if len(groups) > 1 else 0)
    return places, headings


def headed(ax: Axes, headings: Sequence[tuple[float, str]]) -> None:
    """Write headings into an axes, each at its row; what does not fit into the axes is cut off."""
    for y, text in headings:
        ax.text(0.006, y, text, transform=ax.get_yaxis_transform(), va="center", fontsize="small",
                fontweight="bold", zorder=5, clip_on=True, in_layout=False)  # fmt: skip


def two_lines(name: str, most: int = 24) -> str:
    """Break the name of a setting after a comma if it is longer than a panel is wide."""
    if len(name) <= most or ", " not in name:
        return name
    commas = [i for i in range(len(name)) if name.startswith(", ", i)]
    middle = min(commas, key=lambda i: abs(i - len(name) / 2))
    return f"{name[: middle + 1]}\n{name[middle + 2 :]}"


def key_below(figure: Figure, ax: Axes, columns: int = 4, note: str = "") -> None:
    """Put the legend of one axes below all of them, where it covers nothing, under a note."""
    handles, labels = ax.get_legend_handles_labels()
    if labels:
        widest = max(map(len, labels))
        fit = max(1, min(columns, len(labels), 100 // (widest + 6)))
        figure.legend(
            handles, labels, loc="outside lower center", ncols=fit, title=note or None,
            title_fontsize="small",
        )  # fmt: skip


def hollow_note() -> str:
    """Return what a hollow mark of a quantile means."""
    return f"hollow: fewer than {MIN_BEYOND} times lie beyond this quantile in some run"


def readable_decades(ax: Axes, which: str = "x") -> None:
    """Label a logarithmic axis with a few numbers, however many decades it spans."""
    low, high = ax.get_xlim() if which == "x" else ax.get_ylim()
    decades = abs(np.log10(high / low))
    subs = (1, 2, 5) if decades < 1.6 else (1, 3) if decades < 2.6 else (1,)
    few = MaxNLocator(3) if decades < 0.7 else LogLocator(subs=subs)
    axis = ax.xaxis if which == "x" else ax.yaxis
    axis.set_major_locator(few)
    axis.set_major_formatter(EngFormatter(sep=""))
    axis.set_minor_locator(NullLocator())


def with_unit(name: str, unit: str) -> str:
    """Return the label of an axis: the name, and the unit if there is one."""
    return f"{name} ({unit})" if unit else name
