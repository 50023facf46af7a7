"""Growth of the cost of a run with its contents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, NullFormatter

from mmusim.plots.style import in_style, line_styles, sheet


@in_style
def growth(costs: Sequence[Mapping[str, Any]], slopes: Mapping[str, tuple[float, float]]) -> Figure:
    """Draw processor time against size on log axes, a panel for each thing that grows.

    `costs` have sweep, size and seconds; `slopes` the slope at the end of each sweep, and what
    one more of what grows costs there, in ns.
    """
    names = list(slopes)
    figure, axes = sheet(2.6 * -(-len(names) // 2), -(-len(names) // 2), 2)
    styles = line_styles(names)
    for ax, name in zip(axes.flat, names, strict=False):
        own = styles[name]
        points = [(cost["size"], cost["seconds"]) for cost in costs if cost["sweep"] == name]
        ax.plot(*zip(*points, strict=True), linestyle=own.line, marker=own.mark, color=own.colour)
        slope, ns = slopes[name]
        ax.set(xscale="log", yscale="log", xlabel=name, ylabel="processor time (s)")
        ax.set_title(f"slope {slope:.2f}; {ns:,.1f} ns each", fontsize="medium")
        ax.xaxis.set_major_formatter(EngFormatter(sep=""))
        ax.yaxis.set_minor_formatter(NullFormatter())
    for ax in axes.flat[len(names) :]:
        ax.set_visible(False)
    return figure
