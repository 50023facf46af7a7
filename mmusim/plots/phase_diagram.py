"""Which of two policies is better, and where: a metric's ratio over the swept settings, as
a map.
"""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmusim.analysis.answers import compared
from mmusim.comparison.compare import Comparison
from mmusim.experiment.run import Outcome
from mmusim.plots.comparison_map import draw_map
from mmusim.plots.ratios import said
from mmusim.plots.style import in_style, sheet


@in_style
def phase_diagram(outcome: Outcome, metric: str, policy: str) -> Figure:
    """Draw a metric of `policy` relative to the baseline over the settings.

    Columns are the values of the first swept key, rows all other labels. Purple is better than the
    baseline, orange and a dot in the corner worse. Without colour the two are equivalent in the
    family of all settings and policies, the difference is too small to matter, or it is unknown. A
    setting in which a value is zero or missing has no number.

    Raises
    ------
    ValueError
        If the experiment sweeps nothing.
    """
    axis = next(iter(outcome.experiment.sweep), None)
    if axis is None:
        raise ValueError("the experiment has no sweep, so there is nothing to map; add one")
    baseline = outcome.experiment.policies.baseline
    by_setting = compared(outcome, metric)
    table: dict[str, dict[str, Comparison | None]] = {}
    for result in outcome.settings:
        labels = {key: str(value) for key, value in result.setting.labels.items()}
        column = labels.pop(axis)
        row = ", ".join(_short(key, value) for key, value in labels.items()) or "all"
        found = [c for c in by_setting[result.setting.name] if c.candidate == policy and c.ratio]
        table.setdefault(row, {})[column] = found[0] if found else None
    columns = list(dict.fromkeys(column for row in table.values() for column in row))
    figure, axes = sheet(1.4 + 0.42 * len(table))
    ax: Axes = axes[0, 0]
    rows = {name: [row.get(c) for c in columns] for name, row in table.items()}
    draw_map(ax, rows, columns, metric, lambda made: not said(made), _label)
    ax.set_xlabel(axis)
    ax.set_title(f"{metric}: {policy} / {baseline}", loc="left")
    figure.supxlabel(
        "purple: better than the baseline; orange, dotted: worse; no colour: neither is known",
        fontsize="small",
    )
    return figure


def _short(key: str, value: str) -> str:
    name = key.rpartition(".")[2]
    return value if name == "variant" else f"{name} {value}"


def _label(made: Comparison) -> str:
    assert made.ratio is not None
    return f"{made.ratio.estimate:.3g}" + (f" ({said(made)})" if said(made) else "")
