"""Comparison of policies on equal seeds: the difference, and whether it is chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from mmusim.base.histogram import Histogram
from mmusim.comparison.pairing import Runs as Runs
from mmusim.comparison.pairing import UnlikeRunsError as UnlikeRunsError
from mmusim.comparison.pairing import paired
from mmusim.comparison.pairing import values_of as values_of
from mmusim.comparison.verdicts import Verdict as Verdict
from mmusim.comparison.verdicts import judge as judge
from mmusim.metrics.few_beyond import least_known
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
    paired_p_value,
    paired_ratio,
    sign_flip,
    superiority,
    variance_ratio,
)
from mmusim.stats.hosts import OverHosts
from mmusim.stats.marks import Mark
from mmusim.stats.outcomes import MATTERS
from mmusim.stats.shift import Shift, shift_function
from mmusim.stats.significance import ALPHA
from mmusim.vocabulary import METRICS
from mmusim.vocabulary.metric import LOWEST

MODES_ELSEWHERE: Final = 2
"""Number of settings from which on a rare mode is not an accident of one setting."""


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
    correlation: float | None  # over seeds; what pairing achieved
    pairing: float | None  # variance of the paired comparison over that of an unpaired one
    difference: Interval  # candidate - baseline, in the metric's unit
    spread: float  # standard deviation of that over seeds
    p_value: float  # of equal means, of this comparison alone
    symmetry: PValue  # that differences are symmetric about zero, by sign flips
    effect: float | None  # Cohen's d_z; None where the differences do not vary
    superiority: Interval  # probability that the candidate is better on a seed
    adjusted_p: float  # over the family
    family: int  # number of comparisons in the family, this one included
    answer: Answer
    over_hosts: OverHosts | None = None  # where the costs of the host were drawn
    caveat: str = ""  # why the metric says little: a quantile with few times beyond it


def compare(
    baseline: Sequence[Metrics],
    candidate: Sequence[Metrics],
    metric: str,
    *,
    alpha: float = ALPHA,
    matters: float = MATTERS,
) -> Comparison:
    """Compare two policies on one metric.

    The comparison is a family of one. To correct several comparisons, pass all to
    :func:`corrected`.

    Parameters
    ----------
    baseline, candidate : sequence of Metrics, length seeds
        Runs of one setting on equal seeds.
    metric : str
        Name of the metric.
    alpha : float
        Error of the intervals. At an interim analysis it is that of the look
        (:mod:`mmusim.experiment.stopping`). The adjusted p-value is then scaled by 0.05 / `alpha`,
        so values up to 0.05 are significant in this case too.
    matters : float
        The smallest difference of interest, as a share of the baseline.

    Raises
    ------
    UnlikeRunsError
        If the seeds differ, or a run does not have the metric.
    ValueError
        If there are fewer than two seeds.
    """
    paired(baseline, candidate)
    a, b = values_of(baseline, metric), values_of(candidate, metric)
    confidence = 1 - alpha
    differences = np.subtract(b, a)
    p = paired_p_value(a, b)
    yes_or_no = METRICS[metric].yes_or_no
    positive = min(a) > 0 and min(b) > 0
    made = Comparison(
        metric=metric,
        baseline=baseline[0].policy,
        candidate=candidate[0].policy,
        baseline_mean=mean_interval(a, confidence, yes_or_no=yes_or_no, lowest=LOWEST),
        candidate_mean=mean_interval(b, confidence, yes_or_no=yes_or_no, lowest=LOWEST),
        baseline_median=float(np.median(a)),
        candidate_median=float(np.median(b)),
        ratio=paired_ratio(a, b, confidence=confidence) if positive else None,
        correlation=correlation(a, b),
        pairing=variance_ratio(a, b),
        difference=paired_difference(a, b, confidence=confidence),
        spread=float(differences.std(ddof=1)),
        p_value=p,
        symmetry=sign_flip(differences),
        effect=cohens_d(a, b),
        superiority=superiority(
            a, b, more_is_better=METRICS[metric].higher_is_better, confidence=confidence
        ),
        adjusted_p=min(1.0, p * ALPHA / alpha),
        family=1,
        answer=Answer(outcome="unknown", matters=matters),
        caveat=least_known([*baseline, *candidate], metric),
    )
    return _answered(made)


def corrected(family: Sequence[Comparison], windows: Sequence[str] = ()) -> list[Comparison]:
    """Correct a family of comparisons for their number (Holm).

    The adjusted p-value and the answer change. If two comparisons or more of a metric, a policy and
    a window show a rare mode, the others of that metric, policy and window are marked too.
    Everything else stays.

    Parameters
    ----------
    family : sequence of Comparison
        Comparisons as :func:`compare` returns them.
    windows : sequence of str
        The window of each comparison; empty: all are of one window.

    Returns
    -------
    list of Comparison
        In the same order.
    """
    adjusted = holm([made.adjusted_p for made in family])
    alike = [
        (made.metric, made.candidate, window)
        for made, window in zip(family, windows or [""] * len(family), strict=True)
    ]
    apart = Counter(
        key
        for key, made in zip(alike, family, strict=True)
        if _shown(made).mark == "seeds set apart"
    )
    corrected_ = []
    for made, key, p in zip(family, alike, adjusted, strict=True):
        if not _shown(made).mark and apart[key] >= MODES_ELSEWHERE:
            mark: Mark = "seeds set apart elsewhere"
            ratio = made.ratio and replace(made.ratio, mark=mark)
            made = replace(made, ratio=ratio, difference=replace(made.difference, mark=mark))
        corrected_.append(_answered(replace(made, adjusted_p=p, family=len(family))))
    return corrected_


def _shown(made: Comparison) -> Interval:
    """Return the interval that answers: of the ratio, or else of the difference."""
    return made.ratio or made.difference


def _answered(made: Comparison) -> Comparison:
    """Return a comparison with the answer that its interval and adjusted p-value give."""
    said = answer(
        _shown(made),
        made.baseline_mean.estimate,
        made.adjusted_p,
        is_ratio=made.ratio is not None,
        spread=made.spread,
        more_is_better=METRICS[made.metric].higher_is_better,
        family=made.family,
        matters=made.answer.matters,
    )
    return replace(made, answer=said)


def shift(baseline: Sequence[Metrics], candidate: Sequence[Metrics], of: str = "latency") -> Shift:
    """Return the quantile differences of two policies' latencies with a band over seeds.

    Parameters
    ----------
    baseline, candidate : sequence of Metrics, length seeds
        Runs of one setting on equal seeds.
    of : {"latency", "request"}
        Whether the latencies are those of single accesses or of requests, in ns.

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
