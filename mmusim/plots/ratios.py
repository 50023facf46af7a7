"""Ratios to the baseline: a forest plot, and lines along a swept key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from mmusim.analysis.answers import compared
from mmusim.base.units import parse_bytes, parse_fraction, parse_ns, parse_rate
from mmusim.comparison.compare import Comparison
from mmusim.experiment.run import Outcome, SettingResult
from mmusim.plots.style import (
    INK,
    PAPER,
    SOFT,
    LineStyle,
    headed,
    in_style,
    key_below,
    line_styles,
    rows_of,
    sheet,
)
from mmusim.stats import Interval

SPREAD = 3.0
"""Ratios that lie further apart than this have a logarithmic axis."""


def title(result: SettingResult) -> str:
    """Return what a setting is called in figures."""
    return result.setting.name or result.setting.experiment.id


@in_style
def ratios(
    outcome: Outcome, metric: str = "phase_time", results: Sequence[SettingResult] | None = None
) -> Figure:
    """Draw a forest plot: the ratio of each policy to the baseline, its interval, a row a setting.

    Intervals are each by itself; a mark is filled where one policy is better or worse in the family
    of all rows (Holm). It is hollow where they are equivalent, where the outcome is unknown, and
    where the difference is too small to matter. What an experiment claims about the metric is
    shaded. Settings in which a value is zero or missing have no row.
    """
    shown = outcome.settings if results is None else results
    by_setting = compared(outcome, metric)
    found = [
        (title(result), [(c.candidate, c) for c in by_setting[result.setting.name] if c.ratio])
        for result in shown
    ]  # fmt: skip
    groups = [(name, rows) for name, rows in found if rows]
    if len(outcome.experiment.policies.compare) == 1:  # a row a setting needs no headings
        groups = [("", [(name, c) for name, rows in groups for _, c in rows])]
    lines = [line for _, rows in groups for line in rows]
    places, headings = rows_of([(name, [p for p, _ in rows]) for name, rows in groups])
    styles = line_styles(outcome.experiment.policies.all)
    only = outcome.experiment.policies.all[-1]
    figure, axes = sheet(1.15 + 0.27 * max(1, len(lines) + len(headings)))
    ax: Axes = axes[0, 0]
    for y, (name, c) in zip(places, lines, strict=True):
        _interval(ax, y, c, styles.get(name, styles[only]), name if name in styles else "")
    _claimed(ax, outcome, metric)
    ax.axvline(1, color=INK, linewidth=1)
    _ratio_axis(ax, [c.ratio for _, c in lines if c.ratio])
    ax.set_yticks(places, [name for name, _ in lines])
    ax.set_ylim(max(places, default=0) + 0.6, -0.6)
    headed(ax, headings)
    ax.grid(visible=False, axis="y")
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel(f"{metric} relative to {outcome.experiment.policies.baseline}, 95 % interval")
    if not lines:
        ax.text(0.5, 0.5, "no ratio: a value is zero or missing", transform=ax.transAxes,
                ha="center")  # fmt: skip
    key_below(figure, ax)
    return figure


def said(comparison: Comparison) -> str:
    """Return what a figure says beside a ratio that is neither better nor worse, or hardly; or
    beside one of quantiles with fewer than ten times beyond them.
    """
    answer = comparison.answer
    if comparison.caveat:
        return "few beyond"
    if answer.outcome == "equivalent":
        return "equivalent"
    if answer.outcome == "unknown":
        return "unknown"
    return "small" if answer.small else ""


def _interval(ax: Axes, y: float, c: Comparison, style: LineStyle, label: str) -> None:
    r = c.ratio
    assert r is not None
    if label in ax.get_legend_handles_labels()[1]:
        label = ""
    ax.errorbar(
        r.estimate, y, xerr=[[r.estimate - r.drawn[0]], [r.drawn[1] - r.estimate]], fmt=style.mark,
        capsize=3, color=style.colour, markerfacecolor=PAPER if said(c) else style.colour,
        label=label,
    )  # fmt: skip
    text = f"{r.estimate:.4g} [{r.span('{:.4g}'.format, ', ')}] {said(c)}".rstrip()
    ax.text(1.01, y, text, transform=ax.get_yaxis_transform(), va="center", fontsize="small")


def _claimed(ax: Axes, outcome: Outcome, metric: str) -> None:
    """Shade what is claimed about the ratio to the baseline, if it is of this metric."""
    for claim in outcome.experiment.claims:
        baseline = outcome.experiment.policies.baseline
        if claim.ratio and claim.expect and (claim.metric, claim.sides[1]) == (metric, baseline):
            ax.axvspan(*claim.expect, color=SOFT, alpha=0.15, zorder=0, lw=0,
                       label=f"claimed of {claim.sides[0]}")  # fmt: skip
            return


def _ratio_axis(ax: Axes, ratios: Sequence[Interval], which: str = "x") -> None:
    """Scale an axis of ratios: logarithmic if they lie far apart, and 1 always on it.

    An interval may reach down to 0. On a logarithmic axis it then ends at the border.
    """
    if not ratios:
        return
    values = [value for ratio in ratios for value in (ratio.estimate, *ratio.drawn)]
    low, high = min(*values, 1.0), max(*values, 1.0)
    positive = min([1.0, *(value for value in values if value > 0)])
    axis = ax.xaxis if which == "x" else ax.yaxis
    scale, limit = (ax.set_xscale, ax.set_xlim) if which == "x" else (ax.set_yscale, ax.set_ylim)
    if high / positive > SPREAD:
        scale("log")
        limit(positive / 1.15, high * 1.15)
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / positive < 200 else (1,)))
        axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        axis.set_minor_locator(NullLocator())
    else:
        room = max(0.05 * (high - low), 0.01)
        limit(low - room, high + room)


@in_style
def swept(outcome: Outcome, axis: str, metric: str = "phase_time") -> Figure:
    """Draw the ratio to the baseline along a swept key, a line for each other setting."""
    figure, axes = sheet(3.9)
    ax: Axes = axes[0, 0]
    by_setting = compared(outcome, metric)
    lines: dict[str, list[tuple[float, Interval]]] = {}
    for result in outcome.settings:
        for comparison in by_setting[result.setting.name]:
            others = {k: v for k, v in result.setting.labels.items() if k != axis}
            name = ", ".join(
                [comparison.candidate, *(f"{k.rpartition('.')[2]} {v}" for k, v in others.items())]
            )
            if comparison.ratio is not None:
                at = number(result.setting.labels[axis])
                lines.setdefault(name, []).append((at, comparison.ratio))
    styles = line_styles([outcome.experiment.policies.baseline, *lines])  # as in other figures
    for name, unsorted in lines.items():
        points = sorted(unsorted, key=lambda p: p[0])
        x, own = [at for at, _ in points], styles[name]
        ax.plot(x, [r.estimate for _, r in points], linestyle=own.line, marker=own.mark,
                markersize=5, label=name, color=own.colour)  # fmt: skip
        low, high = zip(*(r.drawn for _, r in points), strict=True)
        ax.fill_between(x, low, high, alpha=0.2, color=own.colour, linewidth=0)
    ax.axhline(1, color=INK, linewidth=1)
    _ratio_axis(ax, [ratio for points in lines.values() for _, ratio in points], "y")
    places = {number(r.setting.labels[axis]): str(r.setting.labels[axis]) for r in outcome.settings}
    if min(places) > 0 and max(places) / min(places) > 20:
        ax.set_xscale("log")
    ax.set_xticks(list(places), list(places.values()))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel(axis)
    ax.set_ylabel(f"{metric} relative to\n{outcome.experiment.policies.baseline}, 95 % interval")
    key_below(figure, ax, 2)
    return figure


def number(value: Any) -> float:
    """Read a swept value as a number: times in ns, sizes in bytes, shares from 0 to 1."""
    if isinstance(value, (int, float)):
        return float(value)
    text = str(value)
    for read in (parse_ns, parse_bytes, parse_rate, parse_fraction):
        try:
            return float(read(text))
        except ValueError:
            continue
    return float("".join(c for c in text if c in "0123456789.") or "nan")
