"""What tables say of a verdict: the same words on the terminal and in the report."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from mmusim.base.units import show_number
from mmusim.comparison.verdicts import Verdict
from mmusim.report.across_settings import amount


def measured_text(verdict: Verdict) -> str:
    """Write what was measured, with its unit, or why nothing was."""
    return verdict.reason or _shown(verdict)(verdict.measured.estimate)


def interval_text(verdict: Verdict) -> str:
    """Write the interval of what was measured, with its unit; empty where nothing was."""
    return "" if verdict.reason else verdict.measured.span(_shown(verdict))


def expected_text(verdict: Verdict) -> str:
    """Write where the value is expected: ``0.9 .. 1.1``, ``below 1``, ``above 2 ms``."""
    low, high = verdict.expected
    show = _shown(verdict)
    if low == high:
        return show(low)
    if math.isinf(low):
        return f"below {show(high)}"
    if math.isinf(high):
        return f"above {show(low)}"
    return f"{show(low)} .. {show(high)}"


def holds_text(verdicts: Sequence[Verdict]) -> str:
    """Write on what share of hosts a claim holds: the lowest of its settings; empty: not tried."""
    found = [v.over_hosts.holds.estimate for v in verdicts if v.over_hosts]
    return f"{100 * min(found):.0f} %" if found else ""


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
