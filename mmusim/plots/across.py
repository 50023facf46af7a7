"""A metric in every setting of an experiment, policy beside policy."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from mmusim.comparison.compare import values_of
from mmusim.experiment.run import Outcome
from mmusim.metrics.few_beyond import least_known
from mmusim.plots.style import (
    PAPER,
    hollow_note,
    in_style,
    key_below,
    line_styles,
    sheet,
    with_unit,
)  # fmt: skip
from mmusim.stats import mean_interval
from mmusim.vocabulary import METRICS
from mmusim.vocabulary.metric import LOWEST


@in_style
def across(outcome: Outcome, metric: str) -> Figure:
    """Draw the mean of a metric with its 95 % interval, a group of marks a setting.

    A setting in which no run of a policy has the metric has no mark for it. The mark of a quantile
    is hollow where fewer than ten times lie beyond it in some run.
    """
    names = outcome.experiment.policies.all
    settings = [result.setting.name or "all" for result in outcome.settings]
    slanted = sum(map(len, settings)) > 70
    figure, axes = sheet(4.4 if slanted else 3.6)
    ax: Axes = axes[0, 0]
    any_few = False
    offsets = np.linspace(-0.2, 0.2, len(names)) if len(names) > 1 else [0.0]
    for (policy, style), offset in zip(line_styles(names).items(), offsets, strict=True):
        points_of = {
            x: mean_interval(values_of(result.runs[policy], metric), lowest=LOWEST)
            for x, result in enumerate(outcome.settings)
            if all(metric in run.values for run in result.runs[policy])
        }
        points = [(x + offset, mean) for x, mean in points_of.items()]
        ax.errorbar(
            [x for x, _ in points], [mean.estimate for _, mean in points],
            yerr=np.abs(np.array([m.drawn for _, m in points]).T - [m.estimate for _, m in points]),
            fmt=style.mark, capsize=3, color=style.colour, label=policy,
        )  # fmt: skip
        few = [
            (x + offset, points_of[x].estimate)
            for x, result in enumerate(outcome.settings)
            if x in points_of and least_known(result.runs[policy], metric)
        ]
        ax.plot(
            [x for x, _ in few], [y for _, y in few], style.mark, color=style.colour,
            markerfacecolor=PAPER, zorder=3,
        )  # fmt: skip
        any_few = any_few or bool(few)
    ax.set_xticks(range(len(settings)), settings)
    if slanted:
        ax.tick_params(axis="x", rotation=30, labelsize="small")
        for label in ax.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    ax.set_xlim(-0.5, len(settings) - 0.5)
    ax.set_ylim(bottom=0)
    ax.yaxis.set_major_formatter(EngFormatter(sep=""))
    ax.grid(visible=False, axis="x")
    ax.set_ylabel(with_unit(metric, METRICS[metric].unit) + "\nmean, 95 % interval")
    key_below(figure, ax, 3, hollow_note() if any_few else "")
    return figure
