"""A metric in every setting of an experiment, policy beside policy."""

from __future__ import annotations

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmusim.comparison import column
from mmusim.experiment import Outcome
from mmusim.metrics import UNITS
from mmusim.stats import mean_interval

WIDTH = 8.0  # inches


def across(outcome: Outcome, metric: str) -> Figure:
    """Draw the mean of a metric with its 95 % interval, a group of marks a setting.

    A setting in which no run of a policy has the metric has no mark for it.
    """
    figure = Figure(figsize=(WIDTH, 3.6), layout="constrained")
    ax: Axes = figure.subplots()
    names = outcome.experiment.policies.all
    colours = sns.color_palette("colorblind", len(names))
    marks = "osD^vP*X"
    offsets = np.linspace(-0.2, 0.2, len(names)) if len(names) > 1 else [0.0]
    for number, (policy, colour) in enumerate(zip(names, colours, strict=True)):
        points = [
            (x + offsets[number], mean_interval(column(result.runs[policy], metric)))
            for x, result in enumerate(outcome.cells)
            if all(metric in run.values for run in result.runs[policy])
        ]
        ax.errorbar(
            [x for x, _ in points], [mean.estimate for _, mean in points],
            yerr=np.array([[m.estimate - m.low, m.high - m.estimate] for _, m in points]).T,
            fmt=marks[number % len(marks)], capsize=3, color=colour, label=policy,
        )  # fmt: skip
    ax.set_xticks(
        range(len(outcome.cells)), [result.cell.name or "all" for result in outcome.cells]
    )
    ax.set_xlim(-0.5, len(outcome.cells) - 0.5)
    ax.set_ylim(bottom=0)
    unit = UNITS[metric]
    ax.set_ylabel(f"{metric} ({unit})" if unit else metric)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2)
    return figure
