"""Settings compared with settings, as rows of a table and in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from math import isinf
from typing import Any, Final

from mmusim.base.errors import ConfigError
from mmusim.base.units import show_mean
from mmusim.experiment.across_settings import SettingContrast, setting_contrasts
from mmusim.experiment.run import Outcome
from mmusim.metrics.few_beyond import FEW
from mmusim.vocabulary.amount import amount

CENSORED: Final = "Runs that do not have the metric count as worse than all that do"


def contrasts_of(outcome: Outcome) -> list[SettingContrast]:
    """Return the comparisons of the settings by the main metric; none where there can be none."""
    try:
        return setting_contrasts(outcome, outcome.experiment.answer_by)
    except (ConfigError, IndexError):
        return []


def setting_rows(found: Sequence[SettingContrast]) -> list[dict[str, Any]]:
    """Return a row a comparison, for people."""
    return [_row(one) for one in found]


def caveats(found: Sequence[SettingContrast]) -> list[str]:
    """Return what the marks in the rows mean, a line each."""
    return [f"{FEW}: {caveat}." for caveat in dict.fromkeys(one.caveat for one in found) if caveat]


def marked(text: str, caveat: str) -> str:
    """Mark a metric or a value that rests on too few times."""
    return f"{text} {FEW}" if caveat else text


def setting_data(found: Sequence[SettingContrast]) -> list[dict[str, Any]]:
    """Return the same as plain data; a median that half of the runs do not have is None."""
    return [
        {
            "setting": one.candidate,
            "policy": one.policy,
            "metric": one.metric,
            "against": one.baseline,
            "seeds": one.seeds,
            "known": [one.baseline_known, one.candidate_known],
            "medians": [
                None if isinf(m) else m for m in (one.baseline_median, one.candidate_median)
            ],
            "caveat": one.caveat,
            "better": one.better.estimate,
            "better_low": one.better.low,
            "better_high": one.better.high,
            "censored": one.censored,
            "says": sentence(one),
        }
        for one in found
    ]


def sentence(one: SettingContrast) -> str:
    """Say what one comparison found."""
    under = f" under {one.policy}" if one.policy else ""
    ratio = one.comparison.ratio if one.comparison is not None else None
    seeds = f"{one.seeds} paired seeds"
    metric = marked(one.metric, one.caveat)
    if ratio is not None:
        sure = f"{ratio.low:.4g} to {ratio.high:.4g} at {100 * ratio.confidence:.4g} %"
        spread = sure if ratio.exists else "no interval"
        return (
            f"{one.candidate}: {metric}{under} is {ratio.estimate:.4g} times that of "
            f"{one.baseline} ({spread}, {seeds})"
        )
    if not one.baseline_known and not one.candidate_known:
        return (
            f"{one.candidate}: there is no verdict on {metric}{under}, because no run has it, "
            f"nor has one of {one.baseline} ({seeds})"
        )
    b = one.better
    return (
        f"{one.candidate}: {metric}{under} is better than that of {one.baseline} with "
        f"probability {b.estimate:.2f} ({b.low:.2f} to {b.high:.2f}, {seeds}); "
        f"{one.candidate_known} of {one.seeds} runs have it, and {one.baseline_known} of those "
        f"of {one.baseline}"
    )


def _row(one: SettingContrast) -> dict[str, Any]:
    ratio = one.comparison.ratio if one.comparison is not None else None
    return {
        "policy": one.policy,
        "setting": one.candidate,
        "baseline_median": marked(_amount(one.metric, one.baseline_median), one.caveat),
        "median": marked(_amount(one.metric, one.candidate_median), one.caveat),
        "runs_with_it": _known(one),
        "better": f"{one.better.estimate:.2f} [{one.better.low:.2f}, {one.better.high:.2f}]"
        if one.baseline_known or one.candidate_known
        else "unknown",
        "ratio": ""
        if ratio is None
        else f"{show_mean(ratio.estimate)} [{show_mean(ratio.low)}, {show_mean(ratio.high)}]",
    }


def _known(one: SettingContrast) -> str:
    """Return in how many runs of the baseline and of the candidate the metric is defined."""
    if one.baseline_known == one.candidate_known == one.seeds:
        return f"all {one.seeds}"
    return f"{one.baseline_known} and {one.candidate_known} of {one.seeds}"


def _amount(metric: str, value: float) -> str:
    return "none" if isinf(value) else amount(metric, value)
