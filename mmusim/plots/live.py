"""Figures of what was measured on a machine beside what was simulated for it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, NullFormatter

from mmusim.base.histogram import Histogram, bin_start
from mmusim.base.units import NS, show_ns
from mmusim.plots.style import WIDTH, in_style
from mmusim.validation.live_arms import Arm
from mmusim.validation.live_runs import RunOf
from mmusim.validation.live_score import METRICS, PassScore

COLOURS: Final = dict(
    zip(("measured", "simulated"), sns.color_palette("colorblind", 2), strict=True)
)


def _exceeding(histogram: Histogram) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return latencies in seconds and the share of accesses that exceed each."""
    bins = np.flatnonzero(histogram.counts)
    share = 1 - np.cumsum(histogram.counts[bins]) / histogram.count
    at = np.maximum((bin_start(bins) + bin_start(bins + 1) - 1) / 2, 0.5)
    return at / NS["s"], share


def _draw_exceeding(ax: Axes, histogram: Histogram, kind: str, **how: Any) -> None:
    at, share = _exceeding(histogram)
    keep = share > 0
    ax.step(at[keep], share[keep], where="post", color=COLOURS[kind], **how)


def _log_axes(ax: Axes) -> None:
    ax.set_xscale("log")
    ax.set_yscale("log")
    low, high = ax.get_xlim()
    if high < 50 * low:
        ax.set_xlim(low / 2, high * 3)
    ax.xaxis.set_major_formatter(EngFormatter(unit="s", sep=" "))
    ax.xaxis.set_minor_formatter(NullFormatter())


@in_style
def arms(found: Sequence[Arm]) -> Figure:
    """Draw measured and predicted total time of every arm, and its latencies, an arm a panel."""
    figure = Figure(figsize=(WIDTH, 5.2), layout="constrained")
    grid = figure.add_gridspec(2, len(found), height_ratios=[2, 3])
    bars = figure.add_subplot(grid[0, :])
    places, labels = [], []
    for i, arm in enumerate(found):
        for j, kind in enumerate(("measured", "simulated")):
            middle, low, high = (ns / NS["s"] for ns in arm.total(kind))
            at = 2.6 * i + j
            bars.barh(at, middle, color=COLOURS[kind], height=0.9)
            bars.errorbar(
                middle, at, xerr=[[middle - low], [high - middle]], color="black", capsize=3,
                linewidth=1,
            )  # fmt: skip
            bars.annotate(
                show_ns(arm.total(kind)[0]),
                (high, at),
                (5, 0),
                textcoords="offset points",
                va="center",
            )
            places.append(at)
            word = "predicted" if kind == "simulated" else kind
            labels.append(f"{arm.name}, {word}")
    bars.set_yticks(places, labels)
    bars.invert_yaxis()
    bars.set_xscale("log")
    bars.margins(x=0.15)
    bars.xaxis.set_major_formatter(EngFormatter(unit="s", sep=" "))
    bars.set_xlabel("time of the read pass (median; whiskers: smallest and largest run)")
    for i, arm in enumerate(found):
        ax = figure.add_subplot(grid[1, i])
        for kind, line in (("measured", "-"), ("simulated", "--")):
            label = "predicted" if kind == "simulated" else kind
            _draw_exceeding(ax, arm.latencies(kind), kind, linestyle=line, label=label)
        _log_axes(ax)
        ax.set_title(arm.name)
        ax.set_xlabel("latency of a read")
        ax.set_ylabel("share of reads that take longer" if not i else "")
        ax.legend()
    return figure


def ratios(scores: Sequence[PassScore]) -> Figure:
    """Draw simulated by measured of every pass and metric, with the machine's own spread."""
    figure = Figure(figsize=(1.25 * WIDTH, 1.2 + 0.17 * len(scores)), layout="constrained")
    axes = figure.subplots(1, len(METRICS), sharey=True, squeeze=False)[0]
    for ax, metric in zip(axes, METRICS, strict=True):
        for i, score in enumerate(scores):
            c = score.of(metric)
            if not c.measured:
                continue
            ax.plot(
                [c.low / c.measured, c.high / c.measured], [i, i], color="0.75", linewidth=4,
                solid_capstyle="butt",
            )  # fmt: skip
            ax.plot(
                c.ratio, i, "o" if c.met else "X", markersize=4,
                color=COLOURS["simulated"] if c.met else "black",
            )  # fmt: skip
        tolerance = scores[0].of(metric).tolerance
        ax.axvspan(1 - tolerance, 1 + tolerance, color=COLOURS["measured"], alpha=0.15, linewidth=0)
        ax.axvline(1, color="black", linewidth=0.5)
        ax.set_xscale("log")
        ax.set_xlim(0.3, 3.3)
        ax.set_xticks([0.5, 1, 2], ["½", "1", "2"])
        ax.minorticks_off()
        ax.set_title(metric)
        ax.margins(y=0.01)
    axes[0].set_yticks(
        range(len(scores)), [f"{s.setting}, {s.which}" for s in scores], fontsize="x-small"
    )
    axes[0].invert_yaxis()
    figure.supxlabel(
        "simulated by measured; grey: the machine's own runs; band: tolerance; cross: a miss",
        fontsize="small",
    )
    return figure


def distributions(runs: Sequence[RunOf], settings: Sequence[str], which: str = "steady") -> Figure:
    """Draw the latencies of some settings, a panel each: every measured run, and the simulated."""
    rows = -(-len(settings) // 2)
    figure = Figure(figsize=(WIDTH, 2.6 * rows), layout="constrained")
    panels = figure.subplots(rows, 2, squeeze=False).ravel()
    for ax, setting in zip(panels, settings, strict=False):
        for kind, how in (("measured", {"alpha": 0.35, "linewidth": 1}), ("simulated", {})):
            chosen = [
                r for r in runs if (r.setting, r.which, r.kind) == (setting, which, kind)
            ]  # fmt: skip
            if kind == "simulated":
                merged = Histogram()
                for run in chosen:
                    merged.merge(run.latencies)
                _draw_exceeding(ax, merged, kind, label="simulated", linestyle="--")
                continue
            for number, run in enumerate(chosen):
                label = "" if number else "measured, each run"
                _draw_exceeding(ax, run.latencies, kind, label=label or None, **how)
        _log_axes(ax)
        ax.set_title(textwrap.fill(setting, 52), fontsize="small")
        ax.set_xlabel("latency of an access")
        ax.set_ylabel("share that takes longer")
        ax.legend(fontsize="small")
    for ax in panels[len(settings) :]:
        ax.set_visible(False)
    return figure
