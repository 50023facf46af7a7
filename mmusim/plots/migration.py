"""How migrations converge and what they send in vain, round by round."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from mmusim.base.units import NS, PAGE
from mmusim.experiment.run import Outcome, SettingResult
from mmusim.plots.ratios import title
from mmusim.plots.style import in_style, key_below, line_styles, panels, two_lines


@in_style
def rounds(outcome: Outcome, results: Sequence[SettingResult] | None = None) -> Figure:
    """Draw how migrations converge: what is to be sent after each sync, every seed, a panel a
    setting.

    The first point is all of the guest's memory; a line that ends was a switch-over, or the
    migration was given up (a cross).
    """
    shown = outcome.settings if results is None else results
    look = line_styles(outcome.experiment.policies.all)
    figure, axes = panels(len(shown), 2.8, sharey=True)
    for ax, result in zip(axes, shown, strict=True):
        memory = result.setting.experiment.vm.memory // PAGE
        for policy, runs in result.runs.items():
            own = look[policy]
            for number, run in enumerate(runs):
                start = run.rounds[0].start_ns if run.rounds else 0
                x = [0.0, *((r.end_ns - start) / NS["s"] for r in run.rounds)]
                y = [memory, *(r.dirty_pages for r in run.rounds)]
                label = "" if number else policy
                ax.plot(x, y, linestyle=own.line, marker=own.mark, markersize=3.5, linewidth=0.9,
                        label=label, color=own.colour)  # fmt: skip
                if not run.values.get("migrated", 1):
                    ax.plot(x[-1], y[-1], "x", color=own.colour, markersize=8, label="")
        ax.set(yscale="log", title=two_lines(title(result)), xlabel="time since log start (s)")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter(EngFormatter(sep=""))
        ax.yaxis.set_minor_formatter(NullFormatter())
    axes[0].set_ylabel("pages to be sent\nafter a sync")
    key_below(figure, axes[0], 3)
    return figure


@in_style
def in_vain(outcome: Outcome, results: Sequence[SettingResult] | None = None) -> Figure:
    """Draw the pages that each round sent and that were dirty again after it, every seed, a panel a
    setting.

    A point lies where its round ends. A round that sent nothing in vain has none.
    """
    shown = outcome.settings if results is None else results
    look = line_styles(outcome.experiment.policies.all)
    figure, axes = panels(len(shown), 2.8, sharey=True)
    for ax, result in zip(axes, shown, strict=True):
        for policy, runs in result.runs.items():
            own = look[policy]
            for number, run in enumerate(runs):
                start = run.rounds[0].start_ns if run.rounds else 0
                some = [r for r in run.rounds if r.in_vain]
                ax.plot([(r.end_ns - start) / NS["s"] for r in some], [r.in_vain for r in some],
                        linestyle=own.line, marker=own.mark, markersize=3.5, linewidth=0.9,
                        label="" if number else policy, color=own.colour)  # fmt: skip
        ax.set(yscale="log", title=two_lines(title(result)), xlabel="time since log start (s)")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter(EngFormatter(sep=""))
        ax.yaxis.set_minor_formatter(NullFormatter())
    axes[0].set_ylabel("pages sent\nin vain")
    key_below(figure, axes[0], 3)
    return figure
