"""Which of two policies is better, by horizon: a metric's ratio over the windows of every setting,
as a map.
"""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmusim.analysis.horizons import SURE, is_sure, over_windows
from mmusim.comparison.compare import Comparison
from mmusim.experiment.run import Outcome
from mmusim.plots.comparison_map import draw_map
from mmusim.plots.style import in_style, sheet


@in_style
def horizons(outcome: Outcome, metric: str, policy: str) -> Figure:
    """Draw a metric of `policy` relative to the baseline: a row a setting, a column a window.

    Purple is better than the baseline, orange and a dot in the corner worse. Colour needs three
    things: a difference that matters, in the family of all windows and settings; ten times or more
    beyond a quantile; and the same sign on 90 % of the hosts that were tried. The share of hosts
    stands behind the ratio.

    Raises
    ------
    ConfigError
        If the driver has no windows, or the metric is none of the guest's.
    """
    table = over_windows(outcome, metric, policy)
    columns = list(next(iter(table.values()), {}))
    figure, axes = sheet(1.5 + 0.3 * len(table))
    ax: Axes = axes[0, 0]
    rows = {name or "all": [row[c] for c in columns] for name, row in table.items()}
    draw_map(ax, rows, columns, metric, is_sure, _label)
    baseline = outcome.experiment.policies.baseline
    ax.set_title(f"{metric}: {policy} / {baseline}", loc="left")
    hosts = f", and the sign on {SURE:.0%} of {outcome.hosts} hosts" if outcome.hosts else ""
    figure.supxlabel(
        f"purple: better than the baseline; orange, dotted: worse; colour needs a difference{hosts}"
        "\n*: fewer than ten times beyond the quantile"
        + ("; in brackets: share of hosts with this sign" if outcome.hosts else ""),
        fontsize="small",
    )
    return figure


def _label(made: Comparison) -> str:
    assert made.ratio is not None
    held = f" ({made.over_hosts})" if made.over_hosts else ""
    return f"{made.ratio.estimate:.3g}{'*' if made.caveat else ''}{held}"
