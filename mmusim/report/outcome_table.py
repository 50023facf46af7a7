"""The answer of an experiment as a table of no more than 100 columns, and the lines below it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from math import isnan
from statistics import median
from typing import Any

from mmusim.analysis.answers import compared
from mmusim.comparison.compare import Comparison
from mmusim.experiment.run import Outcome, SettingResult
from mmusim.metrics.few_beyond import FEW, least_known
from mmusim.metrics.measure import Metrics
from mmusim.report.across_settings import (
    caveats,
    contrasts_of,
    setting_data,
    setting_rows,
)
from mmusim.report.claim_cells import FIXED_COSTS, share_text
from mmusim.report.extremes import extreme
from mmusim.stats.marks import EXPLAINED, unseen_share
from mmusim.stats.outcomes import Answer
from mmusim.vocabulary import METRICS
from mmusim.vocabulary.amount import amount


def answer_rows(outcome: Outcome) -> list[dict[str, str]]:
    """Return a row a setting and policy: the metric that was asked for, its extreme, the verdict.

    Where no policies are compared, or some runs do not have the metric, a row a pair of settings.

    The extreme is the largest single request, access or stall of all seeds where the metric is a
    mean or a quantile of these, else the worst seed; runs that did not end well are counted there.
    """
    metric = outcome.experiment.answer_by
    rows = []
    compared_ = list(_compared(outcome, metric))
    differ = any(c.ratio is None for _, found in compared_ for c in found)
    title = "ratio or difference, 95 %" if differ else "ratio, 95 %"
    for result, found in compared_:
        equal = "1" if any(c.ratio is not None for c in found) else "0"
        for number, (policy, runs) in enumerate(result.runs.items()):
            c = next((c for c in found if c.candidate == policy), None)
            mean = found[0].baseline_mean if c is None else c.candidate_mean
            rows.append(
                {
                    "setting": (result.setting.name or "all") if number == 0 else "",
                    "policy": policy,
                    f"{metric}, worst": f"{_mean(metric, mean.estimate, runs)}\n"
                    f"{extreme(metric, runs)}",
                    title: equal if c is None else f"{_estimate(c)}\n{_bounds(c)}",
                    "outcome": "baseline" if c is None else _short(c.answer),
                    "holds": "" if c is None else _holds(c),
                }
            )
    if all(not row["holds"] for row in rows):
        for row in rows:
            del row["holds"]
    return rows or setting_rows(contrasts_of(outcome))


def answer_data(outcome: Outcome) -> list[dict[str, Any]]:
    """Return the same as plain data: numbers in the metric's unit, shares from 0 to 1."""
    metric = outcome.experiment.answer_by
    rows: list[dict[str, Any]] = []
    for result, found in _compared(outcome, metric):
        for policy in result.runs:
            c = next((c for c in found if c.candidate == policy), None)
            of = found[0] if c is None else c
            mean = of.baseline_mean if c is None else of.candidate_mean
            row: dict[str, Any] = {
                "setting": result.setting.name, "policy": policy, "metric": metric,
                "unit": METRICS[metric].unit, "seeds": mean.seeds, "mean": mean.estimate,
                "mean_low": mean.low, "mean_high": mean.high,
                "median": of.baseline_median if c is None else of.candidate_median,
                "caveat": least_known(result.runs[policy], metric),
            }  # fmt: skip
            if c is not None:
                shown = c.ratio or c.difference
                row |= {
                    "ratio": None if c.ratio is None else c.ratio.estimate,
                    "difference": c.difference.estimate, "low": shown.low, "high": shown.high,
                    "mark": shown.mark, "p": c.adjusted_p, "family": c.family,
                    "caveat": c.caveat, "pairing": c.pairing, "outcome": c.answer.outcome,
                    "small": c.answer.small, "needed": c.answer.needed, "says": str(c.answer),
                }  # fmt: skip
            if c is not None and c.over_hosts is not None:
                h = c.over_hosts
                row |= {
                    "hosts": h.holds.seeds, "holds": h.holds.estimate, "holds_low": h.holds.low,
                    "holds_high": h.holds.high, "hosts_low": h.low, "hosts_high": h.high,
                    "input_share": h.input_share, "measure": list(h.costs),
                    "left_out": dict(h.left_out),
                }  # fmt: skip
            rows.append(row)
    return rows or setting_data(contrasts_of(outcome))


def notes(outcome: Outcome) -> Iterator[str]:
    """Yield the lines below the table: marks, pairing, what is assumed about the host."""
    metric = outcome.experiment.answer_by
    found = [c for _, made in _compared(outcome, metric) for c in made]
    if not found:
        yield from caveats(contrasts_of(outcome))
        return
    marks = {(c.ratio or c.difference).mark for c in found} - {""}
    for mark in sorted(marks):
        star = "" if mark == "few seeds" else "*: "
        yield f"{star}{EXPLAINED[mark]}."
    margin = f"{100 * found[0].answer.matters:.3g} %"
    if any(c.answer.small for c in found):
        yield f"small: the difference is real, but below what matters ({margin})."
    for why in dict.fromkeys(c.answer.why for c in found if c.answer.why):
        if why not in EXPLAINED.values():
            yield f"unknown: {why}."
    for caveat in dict.fromkeys(c.caveat for c in found if c.caveat):
        yield f"{FEW}: {caveat}."
    counts = {c.baseline_mean.seeds for c in found}
    seeds = min(counts)
    known = ("better", "worse")
    if seeds < 30 and any(c.ratio is None and c.answer.outcome in known for c in found):
        yield (
            "Where a value is 0, differences decide; below 30 seeds better and worse rest on a "
            "test of symmetry if these are strongly skewed."
        )
    if seeds >= 5:
        yield (
            f"Intervals are over {_span(counts)} paired seeds. They may miss a behaviour that "
            f"up to {100 * unseen_share(seeds):.0f} % of seeds have."
        )
    harmed = [c for c in found if c.pairing is not None and c.pairing > 1]
    ratios = [c.pairing for c in found if c.pairing is not None]
    if ratios:
        yield (
            f"Pairing: the variance is {median(ratios):.2g} of that of unpaired runs (median)"
            + (f"; in {len(harmed)} of {len(ratios)} comparisons it is above 1." if harmed else ".")
        )
    yield from _about_hosts(found)


def before_running(settings: int, policies: int, seeds: int) -> Iterator[str]:
    """Yield what so many seeds cannot show, whatever comes out: said before the first run.

    Parameters
    ----------
    settings, policies : int
        How many are compared; each policy but the baseline in each setting is one comparison.
    seeds : int
        Of each.
    """
    from mmusim.stats.intervals import LEAST_SEEDS
    from mmusim.stats.outcomes import LEAST_EQUIVALENT
    from mmusim.stats.significance import largest_family

    family = settings * (policies - 1)
    if seeds < LEAST_SEEDS:
        yield (
            f"{seeds} seeds are a smoke test: below {LEAST_SEEDS} there is no interval, so nothing "
            "can be better, worse or equivalent, and no claim supported or refuted"
        )
    elif seeds < LEAST_EQUIVALENT:
        yield (
            f"notice: {seeds} seeds can show that a policy is better or worse; to show that two "
            f"are equivalent takes {LEAST_EQUIVALENT} seeds"
        )
    if family > largest_family():
        yield (
            f"among {family} comparisons nothing can be called better or worse; compare fewer than "
            f"{largest_family()}"
        )


def _compared(
    outcome: Outcome, metric: str
) -> Iterator[tuple[SettingResult, Sequence[Comparison]]]:
    by_setting = compared(outcome, metric)
    for result in outcome.settings:
        if by_setting[result.setting.name]:
            yield result, by_setting[result.setting.name]


def _mean(metric: str, mean: float, runs: list[Metrics]) -> str:
    return amount(metric, mean) + (f" {FEW}" if least_known(runs, metric) else "")


def _estimate(c: Comparison) -> str:
    if c.ratio is not None:
        return f"{c.ratio.estimate:.4g}"
    return f"{'+' if c.difference.estimate > 0 else ''}{amount(c.metric, c.difference.estimate)}"


def _short(answer: Answer) -> str:
    """Write an outcome in a word or two; the reasons stand below the table."""
    if answer.outcome == "unknown":
        return "unknown" + (f", {answer.needed:,} seeds" if answer.needed else "")
    return answer.outcome + (", small" if answer.small else "")


def _bounds(c: Comparison) -> str:
    if c.ratio is not None:
        return c.ratio.span("{:.4g}".format)
    return c.difference.span(lambda value: amount(c.metric, value))


def _holds(c: Comparison) -> str:
    """Write on what share of hosts the outcome is the same; what is unknown cannot hold."""
    return share_text(c.over_hosts) if c.over_hosts and c.answer.outcome != "unknown" else ""


def _span(counts: Collection[int]) -> str:
    """Write the least and the largest number."""
    least, most = min(counts), max(counts)
    return f"{least}" if least == most else f"{least} to {most}"


def _about_hosts(comparisons: Sequence[Comparison]) -> Iterator[str]:
    if all(c.over_hosts is None for c in comparisons):
        yield FIXED_COSTS
        return
    told = [c for c in comparisons if c.over_hosts is not None and c.over_hosts.is_known]
    known = [c.over_hosts for c in told if c.over_hosts and c.answer.outcome != "unknown"]
    found = [c.over_hosts for c in told if c.over_hosts]
    if known:
        lowest = min((h.holds for h in known), key=lambda share: share.estimate)
        yield (
            f"Holds: share of {lowest.seeds} hosts, with costs drawn from what is known about "
            "them, on which the outcome is the same. The lowest has the 95 % interval "
            f"{100 * lowest.low:.0f} to {100 * lowest.high:.0f} %."
        )
    few = any(not c.baseline_mean.exists for c in comparisons)  # seeds, so their variance is open
    shares = [] if few else [h.input_share for h in found if not isnan(h.input_share)]
    if shares:
        yield (
            f"What is not known of the host is behind {100 * median(shares):.0f} % of a run's "
            "variance (median)."
        )
    votes: Counter[str] = Counter()
    for h in found:
        votes.update({cost: len(h.costs) - rank for rank, cost in enumerate(h.costs)})
    if votes:
        yield f"Measure these first: {', '.join(cost for cost, _ in votes.most_common(2))}."
