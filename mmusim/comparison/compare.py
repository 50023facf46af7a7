"""Compare policies on equal seeds: how much they differ, and whether that is chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mmusim.base.histogram import Histogram
from mmusim.comparison.pairing import Runs as Runs
from mmusim.comparison.pairing import UnlikeRunsError as UnlikeRunsError
from mmusim.comparison.pairing import column as column
from mmusim.comparison.pairing import paired
from mmusim.comparison.verdicts import Verdict as Verdict
from mmusim.comparison.verdicts import judge as judge
from mmusim.metrics.defined import least_known
from mmusim.metrics.measure import Metrics
from mmusim.stats import (
    Answer,
    Interval,
    PValue,
    answer,
    cohens_d,
    correlation,
    holm,
    mean_interval,
    paired_difference,
    paired_ratio,
    sign_flip,
    superiority,
)
from mmusim.stats.shift import Shift, shift_function
from mmusim.stats.significance import ALPHA
from mmusim.vocabulary import METRICS


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One metric of two policies on equal seeds. Intervals are of this comparison alone."""

    metric: str
    baseline: str
    candidate: str
    baseline_mean: Interval
    candidate_mean: Interval
    baseline_median: float
    candidate_median: float
    ratio: Interval | None  # candidate / baseline; None where a value is zero
    correlation: float | None  # over seeds: the effect of pairing
    difference: Interval  # candidate - baseline, in the metric's unit
    p_value: PValue  # probability of such a difference by chance, for this comparison alone
    effect: float | None  # Cohen's d_z; None where the differences do not vary
    superiority: Interval  # probability that the candidate is better on a seed
    adjusted_p: float  # over the family
    family: int  # number of comparisons in the family, this one included
    answer: Answer
    caveat: str = ""  # why the metric says little: a quantile with few times beyond it


def compare(
    baseline: Sequence[Metrics],
    candidate: Sequence[Metrics],
    metric: str,
    *,
    alpha: float = ALPHA,
) -> Comparison:
    """Compare two policies on one metric.

    The comparison is a family of its own. Pass several to :func:`corrected`. `alpha` is the error
    of its intervals. In an interim analysis it is the error of that analysis
    (:mod:`mmusim.experiment.stopping`), and the adjusted p-value is scaled by 0.05 / `alpha`, so
    that values up to 0.05 are significant here too.

    Raises
    ------
    UnlikeRunsError
        If the seeds differ, or a run does not have the metric.
    ValueError
        If there are fewer than two seeds.
    """
    paired(baseline, candidate)
    a, b = column(baseline, metric), column(candidate, metric)
    confidence = 1 - alpha
    differences = np.subtract(b, a)
    mean, p = mean_interval(a, confidence), sign_flip(differences)
    difference = paired_difference(a, b, confidence=confidence)
    at_this_look = min(1.0, p.p * ALPHA / alpha)
    positive = min(a) > 0 and min(b) > 0
    return Comparison(
        metric=metric,
        baseline=baseline[0].policy,
        candidate=candidate[0].policy,
        baseline_mean=mean,
        candidate_mean=mean_interval(b, confidence),
        baseline_median=float(np.median(a)),
        candidate_median=float(np.median(b)),
        ratio=paired_ratio(a, b, confidence=confidence) if positive else None,
        correlation=correlation(a, b),
        difference=difference,
        p_value=p,
        effect=cohens_d(a, b),
        superiority=superiority(
            a, b, more_is_better=METRICS[metric].higher_is_better, confidence=confidence
        ),
        adjusted_p=at_this_look,
        family=1,
        answer=answer(differences, (difference.low, difference.high), mean.estimate, at_this_look),
        caveat=least_known([*baseline, *candidate], metric),
    )


def corrected(family: Sequence[tuple[Comparison, Runs]]) -> list[Comparison]:
    """Correct a family of fresh comparisons for their number (Holm), each with its setting's runs.

    The adjusted p-value and the answer change; everything else stays.
    """
    adjusted = holm([made.adjusted_p for made, _ in family])
    results = []
    for (made, runs), p in zip(family, adjusted, strict=True):
        a, b = (column(runs[side], made.metric) for side in (made.baseline, made.candidate))
        bounds = made.difference.low, made.difference.high
        said = answer(np.subtract(b, a), bounds, made.baseline_mean.estimate, p, family=len(family))
        results.append(replace(made, adjusted_p=p, family=len(family), answer=said))
    return results


def shift(baseline: Sequence[Metrics], candidate: Sequence[Metrics], of: str = "latency") -> Shift:
    """Return the quantile differences of two policies' latencies with a band over seeds.

    Parameters
    ----------
    baseline, candidate : sequence of Metrics, length seeds
        Runs of one setting on equal seeds.
    of : {"latency", "request"}
        Of single accesses, or of requests.

    Raises
    ------
    UnlikeRunsError
        If the seeds differ, or a run has no such latencies.
    ValueError
        If there are fewer than four seeds.
    """
    paired(baseline, candidate)
    sides: list[list[Histogram]] = []
    for runs in (baseline, candidate):
        sides.append([])
        for run in runs:
            histogram = run.latency if of == "latency" else run.requests
            if histogram is None or not histogram.count:
                raise UnlikeRunsError(
                    f"the run of {run.policy!r} with seed {run.seed} has no {of} histogram; "
                    "choose a workload that has them, or run again what an older version stored"
                )
            sides[-1].append(histogram)
    return shift_function(*sides)
