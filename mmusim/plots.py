"""Figures of an experiment's outcome, as matplotlib figures that nothing else shares.

Colours are seaborn's colour-blind palette; policies keep theirs in every figure of a report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter

from mmusim.comparison import column
from mmusim.experiment import CellResult, Outcome
from mmusim.histogram import Histogram, bin_start
from mmusim.lanes import timeline as timeline
from mmusim.metrics import UNITS, theory
from mmusim.phase_diagram import phase_diagram as phase_diagram
from mmusim.stats import mean_interval
from mmusim.trace import CAUSES
from mmusim.units import NS, PAGE

STYLE = {
    **sns.axes_style("whitegrid"),
    "svg.fonttype": "none",
    "svg.hashsalt": "mmusim",
    "font.family": "sans-serif",
    "axes.titlesize": "medium",
    "legend.frameon": False,
}
WIDTH = 8.0  # inches, of every figure


def style() -> AbstractContextManager[None]:
    """Return the context in which figures are to be drawn and saved."""
    return mpl.rc_context(STYLE)


def _figure(height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, Any]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def _colours(outcome: Outcome) -> dict[str, Any]:
    names = outcome.experiment.policies.all
    return dict(zip(names, sns.color_palette("colorblind", len(names)), strict=True))


def _title(result: CellResult) -> str:
    return result.cell.name or result.cell.experiment.id


def ratios(outcome: Outcome, metric: str = "phase_time") -> Figure:
    """Draw the ratio of each policy to the baseline with its interval, a row a cell."""
    rows = [(r, c) for r in outcome.cells for c in r.comparisons[metric] if c.ratio is not None]
    figure, axes = _figure(0.9 + 0.38 * len(rows))
    ax: Axes = axes[0, 0]
    colours = _colours(outcome)
    for y, (_, comparison) in enumerate(rows):
        ratio = comparison.ratio
        assert ratio is not None
        error = [[ratio.estimate - ratio.low], [ratio.high - ratio.estimate]]
        ax.errorbar(
            ratio.estimate, y, xerr=error, fmt="o", capsize=4, color=colours[comparison.candidate]
        )
    for claim in outcome.experiment.claims:
        if claim.ratio is not None and claim.metric == metric and claim.expect is not None:
            ax.axvspan(*claim.expect, color="0.88", zorder=0, label="claimed")
            ax.legend(loc="best")
            break
    ax.axvline(1, color="0.3", linewidth=1)
    labels = [
        f"{_title(r)}\n{c.candidate}" if len(r.comparisons[metric]) > 1 else _title(r)
        for r, c in rows
    ]
    ax.set_yticks(range(len(rows)), labels)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xlim(left=0)
    ax.set_xlabel(f"{metric} relative to {outcome.experiment.policies.baseline}, 95 % interval")
    return figure


def latencies(outcome: Outcome, results: Sequence[CellResult]) -> Figure:
    """Draw the share of accesses that take longer than a time, for each policy, a panel a cell."""
    colours = _colours(outcome)
    figure, axes = _figure(2.6 * -(-len(results) // 3), -(-len(results) // 3), min(3, len(results)))
    for ax, result in zip(axes.flat, results, strict=False):
        for policy, runs in result.runs.items():
            pooled = Histogram()
            for run in runs:
                pooled.merge(run.latency)
            bins = np.flatnonzero(pooled.counts)
            longer = 1 - np.cumsum(pooled.counts[bins]) / pooled.count
            x = np.append(bin_start(bins), pooled.maximum)
            ax.step(
                np.maximum(x, 1),
                np.append([1.0], longer),
                where="post",
                label=policy,
                color=colours[policy],
            )
        ax.set(xscale="log", yscale="log", title=_title(result), xlabel="access latency (ns)")
        _readable_decades(ax)
        ax.set_ylim(0.5 / pooled.count, 1.5)
    for ax in list(axes.flat)[len(results) :]:
        ax.set_axis_off()
    axes[0, 0].set_ylabel("share of accesses that\ntake longer (1 - ECDF)")
    axes[0, 0].legend(loc="lower left")
    return figure


def decomposition(outcome: Outcome, results: Sequence[CellResult]) -> Figure:
    """Draw where the vCPUs' time in the measured phase went: mean over seeds, a bar a policy."""
    bars = [(result, policy) for result in results for policy in result.runs]
    figure, axes = _figure(1.2 + 0.36 * len(bars))
    ax: Axes = axes[0, 0]
    means = [
        {
            cause: float(np.mean([run.ledger[cause] for run in result.runs[policy]])) / 1e6
            for cause in CAUSES
        }
        for result, policy in bars
    ]
    shown = [
        cause for cause in CAUSES if any(mean[cause] > 0.002 * sum(mean.values()) for mean in means)
    ]
    left = np.zeros(len(bars))
    for cause, colour in zip(shown, sns.color_palette("colorblind", len(shown)), strict=True):
        width = np.array([mean[cause] for mean in means])
        ax.barh(range(len(bars)), width, left=left, label=cause, color=colour, height=0.7)
        left += width
    ax.set_yticks(range(len(bars)), [f"{_title(result)}: {policy}" for result, policy in bars])
    ax.invert_yaxis()
    ax.grid(visible=False, axis="y")
    ax.set_xlabel("time of all vCPUs in the measured phase (ms)")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=min(4, len(shown)))
    return figure


def swept(outcome: Outcome, axis: str, metric: str = "phase_time") -> Figure:
    """Draw the ratio to the baseline along a swept axis, a line for each other setting."""
    figure, axes = _figure(3.6)
    ax: Axes = axes[0, 0]
    lines: dict[str, list[tuple[float, Any]]] = {}
    for result in outcome.cells:
        for comparison in result.comparisons[metric]:
            others = {k: v for k, v in result.cell.labels.items() if k != axis}
            name = ", ".join(
                [comparison.candidate, *(f"{k.rpartition('.')[2]} {v}" for k, v in others.items())]
            )
            lines.setdefault(name, []).append((_number(result.cell.labels[axis]), comparison.ratio))
    palette = sns.color_palette("colorblind", len(lines))
    for (name, points), colour in zip(lines.items(), palette, strict=True):
        points = [point for point in sorted(points, key=lambda p: p[0]) if point[1] is not None]
        x = [point[0] for point in points]
        ax.plot(x, [r.estimate for _, r in points], "o-", label=name, color=colour)
        ax.fill_between(
            x, [r.low for _, r in points], [r.high for _, r in points], alpha=0.25, color=colour
        )
    ax.axhline(1, color="0.3", linewidth=1)
    _scale(ax, [x for points in lines.values() for x, _ in points])
    ax.set_xlabel(axis)
    ax.set_ylabel(f"{metric} relative to\n{outcome.experiment.policies.baseline}")
    ax.legend(loc="best")
    return figure


def against_theory(outcome: Outcome, metric: str, policy: str) -> Figure:
    """Draw measured means with their intervals against the closed form, a point a cell."""
    figure, axes = _figure(3.6)
    ax: Axes = axes[0, 0]
    for result in outcome.cells:
        measured = mean_interval(column(result.runs[policy], metric))
        error = [[measured.estimate - measured.low], [measured.high - measured.estimate]]
        expected = theory(metric, result.cell)
        ax.errorbar(
            expected,
            measured.estimate,
            yerr=error,
            fmt="o",
            capsize=4,
            color=_colours(outcome)[policy],
        )
    top = max(ax.get_xlim()[1], ax.get_ylim()[1])
    ax.plot([0, top], [0, top], color="0.3", linewidth=1, label="measured = expected")
    ax.set_xlabel(f"{metric} expected ({UNITS[metric]})")
    ax.set_ylabel(f"{metric} measured ({UNITS[metric]}),\n{policy}, 95 % interval")
    ax.legend(loc="upper left")
    return figure


def rounds(outcome: Outcome, results: Sequence[CellResult]) -> Figure:
    """Draw how migrations converge: what is to be sent after each sync, every seed, a panel a cell.

    The first point is all of the guest's memory; a line that ends was a switch-over, or the
    migration was given up.
    """
    colours = _colours(outcome)
    figure, axes = _figure(2.6 * -(-len(results) // 3), -(-len(results) // 3), min(3, len(results)))
    for ax, result in zip(axes.flat, results, strict=False):
        memory = result.cell.experiment.vm.memory // PAGE
        for policy, runs in result.runs.items():
            for number, run in enumerate(runs):
                start = run.rounds[0].start_ns if run.rounds else 0
                x = [0.0, *((r.end_ns - start) / NS["s"] for r in run.rounds)]
                y = [memory, *(r.dirty_pages for r in run.rounds)]
                label = "" if number else policy
                ax.plot(x, y, ".-", linewidth=0.8, label=label, color=colours[policy])
        ax.set(yscale="log", title=_title(result), xlabel="time since the log was started (s)")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter(EngFormatter(sep=""))
        ax.yaxis.set_minor_formatter(NullFormatter())
    for ax in list(axes.flat)[len(results) :]:
        ax.set_axis_off()
    axes[0, 0].set_ylabel("pages to be sent\nafter a sync")
    axes[0, 0].legend(loc="best", fontsize="small")
    return figure


def working_set(curves: Mapping[str, Mapping[int, float]], unit: str) -> Figure:
    """Draw the mean number of pages written within a window against its length, a line a name.

    A slope of 1 is writing ever new pages, a level stretch a set that is written again and again.
    """
    figure, axes = _figure(3.6)
    ax: Axes = axes[0, 0]
    for (name, curve), colour in zip(
        curves.items(), sns.color_palette("colorblind", len(curves)), strict=True
    ):
        ax.plot(list(curve), list(curve.values()), "o-", markersize=4, label=name, color=colour)
    ax.set(xscale="log", yscale="log", xlabel=f"window ({unit})")
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    ax.set_ylabel("distinct pages written\nwithin a window, mean")
    ax.legend(loc="best")
    return figure


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
    figure, axes = _figure(2.7 * rows, rows, 2)
    for ax, (title, lines) in zip(axes.flat, panels.items(), strict=False):
        colours = sns.color_palette("colorblind", len(lines))
        for (variant, points), colour in zip(lines.items(), colours, strict=True):
            x = [point.vcpus for point in points]
            ax.plot(x, [point.predicted for point in points], "-", color=colour, label=variant)
            for point in points:
                face = "white" if point.fitted else colour
                ax.plot(point.vcpus, point.published, "o", color=colour, markerfacecolor=face)
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


def _readable_decades(ax: Axes) -> None:
    """Label a logarithmic x axis with a few numbers, however many decades it spans."""
    low, high = ax.get_xlim()
    decades = np.log10(high / low)
    few = MaxNLocator(3) if decades < 0.7 else LogLocator(subs=(1, 2, 5) if decades < 1.6 else (1,))
    ax.xaxis.set_major_locator(few)
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    ax.xaxis.set_minor_formatter(NullFormatter())


def _number(value: Any) -> float:
    """Read a swept value as a number: 5 of 5, "5%", "5GiB" alike."""
    if isinstance(value, (int, float)):
        return float(value)
    return float("".join(c for c in str(value) if c in "0123456789.e-") or "nan")


def _scale(ax: Axes, values: Sequence[float]) -> None:
    if min(values) > 0 and max(values) / min(values) > 20:
        ax.set_xscale("log")
