"""Speed over commits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from mmusim.plots.style import in_style, line_styles, panels


@in_style
def benchmarks(measured: Sequence[Mapping[str, str]]) -> Figure:
    """Draw ratios over measurements, a panel for each engine.

    `measured` has the rows of a history, in order of time: date, commit, work, by and ratio. The
    ratio has no unit: how many times as fast as SimPy in the same measurement.
    """
    dates = list(dict.fromkeys(row["date"] for row in measured))
    makers = list(dict.fromkeys(row["by"] for row in measured))
    styles = line_styles(dict.fromkeys(row["work"] for row in measured))
    commits = {row["date"]: row["commit"] for row in measured}
    figure, axes = panels(len(makers), height=2.8)
    for ax, by in zip(axes, makers, strict=True):
        for work, style in styles.items():
            points = [
                (dates.index(row["date"]), float(row["ratio"]))
                for row in measured
                if row["by"] == by and row["work"] == work
            ]
            if points:
                x, y = zip(*points, strict=True)
                ax.plot(
                    x, y, linestyle=style.line, marker=style.mark, color=style.colour, label=work
                )
        ax.set(yscale="log", title=by, ylabel="speed relative to SimPy")
        ax.set_xticks(range(len(dates)), [commits[date][:8] for date in dates], rotation=45)
    figure.legend(
        *axes[-1].get_legend_handles_labels(), loc="outside lower center", fontsize="small"
    )
    return figure
