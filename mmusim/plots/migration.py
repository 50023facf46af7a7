"""How migrations converge and what they send in vain, round by round."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from mmusim.base.units import NS, PAGE
from mmusim.experiment.run import Outcome, SettingResult
from mmusim.metrics.measure import Metrics
from mmusim.plots.ratios import title
from mmusim.plots.style import in_style, key_below, line_styles, panels, two_lines
from mmusim.trace.records import Round

Points = tuple[list[float], list[float]]


@in_style
def rounds(outcome: Outcome, results: Sequence[SettingResult] | None = None) -> Figure:
    """Draw how migrations converge: what is to be sent after each sync, every seed, a panel a
    setting.

    The first point is all of the guest's memory; a line that ends was a switch-over, or the
    migration was given up (a cross).
    """

    def to_be_sent(result: SettingResult, run: Metrics) -> Points:
        memory = result.setting.experiment.vm.memory // PAGE
        return [0.0, *_ends(run, run.rounds)], [memory, *(r.dirty_pages for r in run.rounds)]

    return _by_round(outcome, results, "pages to be sent\nafter a sync", to_be_sent, crosses=True)


@in_style
def in_vain(outcome: Outcome, results: Sequence[SettingResult] | None = None) -> Figure:
    """Draw the pages that each round sent and that were dirty again after it, every seed, a panel a
    setting.

    A point lies where its round ends. A round that sent nothing in vain has none.
    """

    def sent_in_vain(_: SettingResult, run: Metrics) -> Points:
        some = [r for r in run.rounds if r.in_vain]
        return _ends(run, some), [r.in_vain for r in some]

    return _by_round(outcome, results, "pages sent\nin vain", sent_in_vain, crosses=False)


def _ends(run: Metrics, some: Sequence[Round]) -> list[float]:
    """Return when rounds ended, in seconds since the log was started."""
    return [(r.end_ns - run.rounds[0].start_ns) / NS["s"] for r in some]


def _by_round(
    outcome: Outcome,
    results: Sequence[SettingResult] | None,
    label: str,
    points: Callable[[SettingResult, Metrics], Points],
    *,
    crosses: bool,
) -> Figure:
    """Draw a line for each run over time, a panel a setting; a cross ends what was given up."""
    shown = outcome.settings if results is None else results
    styles = line_styles(outcome.experiment.policies.all)
    figure, axes = panels(len(shown), 2.8, sharey=True)
    for ax, result in zip(axes, shown, strict=True):
        for policy, runs in result.runs.items():
            own = styles[policy]
            for number, run in enumerate(runs):
                x, y = points(result, run)
                ax.plot(x, y, linestyle=own.line, marker=own.mark, markersize=3.5, linewidth=0.9,
                        label="" if number else policy, color=own.colour)  # fmt: skip
                if crosses and not run.values.get("migrated", 1):
                    ax.plot(x[-1], y[-1], "x", color=own.colour, markersize=8, label="")
        ax.set(yscale="log", title=two_lines(title(result)), xlabel="time since log start (s)")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter(EngFormatter(sep=""))
        ax.yaxis.set_minor_formatter(NullFormatter())
    axes[0].set_ylabel(label)
    key_below(figure, axes[0], 3)
    return figure
