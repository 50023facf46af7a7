"""What tables say of a verdict: the same words on the terminal and in the report."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, Final

from mmusim.base.units import show_number
from mmusim.comparison.verdicts import Verdict
from mmusim.experiment.outcome import Outcome
from mmusim.stats.hosts import OverHosts, about_left_out
from mmusim.stats.marks import EXPLAINED
from mmusim.vocabulary.amount import amount

FIXED_COSTS: Final = (
    "The costs of the host are fixed, so the result does not cover other hosts (--costs 32 tests "
    "32 of them)."
)
"""Said where no other host was tried."""


def measured_text(verdict: Verdict) -> str:
    """Write what was measured, with its unit, or why nothing was."""
    return verdict.reason or _shown(verdict)(verdict.measured.estimate)


def interval_text(verdict: Verdict) -> str:
    """Write the interval of what was measured, with its unit; empty where nothing was."""
    return "" if verdict.reason else verdict.measured.span(_shown(verdict))


def measured_cell(verdict: Verdict) -> str:
    """Write the metric, what was measured of it, and the interval, a line each."""
    name = verdict.metric + (f", {verdict.window}" if verdict.window else "")
    lines = (name, measured_text(verdict), interval_text(verdict))
    return "\n".join(line for line in lines if line)


def marks_of(verdicts: Sequence[Verdict]) -> list[str]:
    """Return what the marks on intervals of claims say, a line each."""
    marks = sorted({v.measured.mark for v in verdicts if not v.reason} - {""})
    return [f"{'' if mark == 'few seeds' else '*: '}{EXPLAINED[mark]}." for mark in marks]


def expected_text(verdict: Verdict) -> str:
    """Write where the value is expected: ``0.9 .. 1.1``, ``below 1``, ``above 2 ms``.

    Empty where only runs give the range and there are too few.
    """
    low, high = verdict.expected
    if math.isnan(low) or math.isnan(high):
        return ""
    show = _shown(verdict)
    if low == high:
        return show(low)
    if math.isinf(low):
        return f"below {show(high)}"
    if math.isinf(high):
        return f"above {show(low)}"
    return f"{show(low)} .. {show(high)}"


def holds_text(verdicts: Sequence[Verdict]) -> str:
    """Write on what share of hosts a claim holds: the lowest of its settings, and its interval.

    Empty if no host was tried. Where fewer than eight hosts have a value it is not known.
    """
    found = [v.over_hosts for v in verdicts if v.over_hosts]
    known = [one for one in found if one.is_known]
    if len(known) == len(found):
        return share_text(min(known, key=_estimate)) if known else ""
    if not known:
        return str(found[0])
    return f"{share_text(min(known, key=_estimate))}\nnot known in {len(found) - len(known)}"


def share_text(of: OverHosts) -> str:
    """Write a share of hosts and its interval, a line each."""
    return f"{of}\n{of.bounds}".rstrip()


def _estimate(one: OverHosts) -> float:
    return one.holds.estimate


def about_holds(outcome: Outcome) -> str:
    """Say what the share of hosts behind a claim is, or that no other host was tried."""
    if not outcome.hosts:
        return FIXED_COSTS
    return (
        f"Holds: share of {outcome.hosts} hosts, with costs drawn from what is known about them, "
        "on which the value lies where it is expected, and its 95 % interval; of several settings "
        "the lowest."
    )


def left_out_lines(outcome: Outcome) -> list[str]:
    """Return sentences on the hosts that the answer and the claims leave out, and why."""
    metric = outcome.experiment.answer_by
    answers = [c for result in outcome.settings for c in result.comparisons.get(metric, ())]
    found = [*(c.over_hosts for c in answers), *(v.over_hosts for v in outcome.verdicts)]
    return about_left_out(one for one in found if one is not None)


def verdict_text(outcome: str, origin: str, refuted: str) -> str:
    """Write an outcome, with what keeps it from being news: a fit, or a refutation that is known.

    Parameters
    ----------
    outcome, origin, refuted : str
        Of a verdict, or of a claim over all its settings.
    """
    if refuted and outcome in ("refuted", "supported"):
        return f"{outcome}, {'as known' if outcome == 'refuted' else 'but known as refuted'}"
    if origin == "calibrated" and outcome == "supported":
        return "met, as calibrated"
    return outcome


def verdict_data(verdict: Verdict) -> dict[str, Any]:
    """Return the same as plain data: numbers in the metric's unit, None for no bound."""
    v = verdict
    return {
        "setting": v.setting,
        "what": v.what,
        "window": v.window,
        "measured": asdict(v.measured),
        "expected": [None if math.isinf(bound) else bound for bound in v.expected],
        "verdict": v.outcome,
        "over_hosts": None if v.over_hosts is None else asdict(v.over_hosts),
        "reason": v.reason,
    }


def _shown(verdict: Verdict) -> Callable[[float], str]:
    """Return how values of a verdict are written: a ratio has no unit."""
    if verdict.is_ratio:
        return show_number
    return lambda value: amount(verdict.metric, value)
