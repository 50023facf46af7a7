"""Measured means against closed forms."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmusim.comparison.compare import values_of
from mmusim.experiment.run import Outcome
from mmusim.metrics.closed_forms import theory
from mmusim.plots.style import INK, in_style, line_styles, sheet, with_unit
from mmusim.stats import mean_interval
from mmusim.vocabulary import METRICS
from mmusim.vocabulary.metric import LOWEST


@in_style
def against_theory(outcome: Outcome, metric: str, policy: str) -> Figure:
    """Draw measured means with their intervals against the closed form, a point a setting."""
    figure, axes = sheet(3.6)
    ax: Axes = axes[0, 0]
    for result in outcome.settings:
        measured = mean_interval(values_of(result.runs[policy], metric), lowest=LOWEST)
        error = [[measured.estimate - measured.drawn[0]], [measured.drawn[1] - measured.estimate]]
        expected = theory(metric, result.setting)
        ax.errorbar(
            expected,
            measured.estimate,
            yerr=error,
            fmt="o",
            capsize=4,
            color=line_styles(outcome.experiment.policies.all)[policy].colour,
        )
    top = max(ax.get_xlim()[1], ax.get_ylim()[1])
    ax.plot([0, top], [0, top], color=INK, linewidth=1, label="measured = expected")
    ax.set_xlabel(with_unit(f"{metric} expected", METRICS[metric].unit))
    ax.set_ylabel(
        f"{with_unit(f'{metric} measured', METRICS[metric].unit)},\n{policy}, 95 % interval"
    )
    ax.legend(loc="upper left")
    return figure
