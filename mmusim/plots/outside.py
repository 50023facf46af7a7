"""Working sets of workloads, and published times beside predicted ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, NullFormatter

from mmusim.plots.style import PAPER, in_style, line_styles, sheet


@in_style
def working_set(curves: Mapping[str, Mapping[int, float]], unit: str) -> Figure:
    """Draw the mean number of pages written within a window against its length, a line a name.

    A slope of 1 is writing ever new pages, a level part a set that is written again and again.
    """
    figure, axes = sheet(3.6)
    ax: Axes = axes[0, 0]
    styles = line_styles(curves)
    for name, curve in curves.items():
        own = styles[name]
        ax.plot(list(curve), list(curve.values()), linestyle=own.line, marker=own.mark,
                markersize=4, label=name, color=own.colour)  # fmt: skip
    ax.set(xscale="log", yscale="log", xlabel=f"window ({unit})")
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    ax.set_ylabel("distinct pages written\nwithin a window, mean")
    ax.legend(loc="best")
    return figure


@in_style
def published_times(series: Mapping[str, Sequence[Any]]) -> Figure:
    """Draw time against vCPUs: a panel a source and MMU, predicted lines, published marks.

    `series` has points with vcpus, published and predicted seconds, and whether they were fitted.
    """
    panels: dict[str, dict[str, Sequence[Any]]] = {}
    for name, points in series.items():
        head, _, variant = name.partition(", ")
        source, policy = head.split(" ", 1)
        mmu = next((mmu for mmu in ("shadow", "legacy") if mmu in policy), "tdp")
        if len(points) >= 2:
            panels.setdefault(f"{source}, {mmu} MMU", {})[variant] = points
    rows = max(1, -(-len(panels) // 2))
    figure, axes = sheet(2.7 * rows, rows, 2)
    for ax, (title, lines) in zip(axes.flat, panels.items(), strict=False):
        styles = line_styles(lines)
        for variant, points in lines.items():
            own = styles[variant]
            x = [point.vcpus for point in points]
            ax.plot(x, [point.predicted for point in points], linestyle=own.line,
                    color=own.colour, label=variant)  # fmt: skip
            for point in points:
                face = PAPER if point.fitted else own.colour
                ax.plot(point.vcpus, point.published, own.mark, color=own.colour,
                        markerfacecolor=face)  # fmt: skip
        ax.set(xscale="log", yscale="log", title=title, xlabel="vCPUs, 1 GiB each")
        ticks = sorted({point.vcpus for points in lines.values() for point in points})
        ax.set_xticks(ticks, [str(tick) for tick in ticks])
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.yaxis.set_major_formatter(EngFormatter(sep=""))
        ax.set_ylabel("first pass (s)")
        ax.legend(loc="best", fontsize="small")
    for ax in list(axes.flat)[len(panels) :]:
        ax.set_axis_off()
    return figure
