"""Intervals cover as often as they say: the shipped procedure, on populations of many shapes.

``docs/evidence/coverage.md`` has the table behind the choice; ``mmusim coverage`` makes it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from mmusim.stats import mean_interval, paired_ratio
from mmusim.stats.coverage import POPULATIONS, Population, covered, resampled
from mmusim.stats.marks import mark_of
from mmusim.stats.studentized import mean_estimate

TRIALS = 300
FAIR = [p for p in POPULATIONS if not p.has_rare_mode]
RARE = [p for p in POPULATIONS if p.has_rare_mode]


def runs_of_the_flagship() -> list[Population]:
    """Read 800 seeds of four settings: each policy against the baseline, by three metrics."""
    file = Path(__file__).parent.parent / "data" / "flagship_runs.csv"
    with file.open(encoding="utf-8") as lines:
        names = [tuple(name.split("|")) for name in next(lines).strip().split(",")]
        columns = dict(zip(names, np.loadtxt(lines, delimiter=",").T, strict=True))
    return [
        resampled(" ".join(name), columns[name[0], "eager-split", name[2]], figures)
        for name, figures in columns.items()
        if name[1] != "eager-split"
    ]


@pytest.mark.parametrize("population", FAIR, ids=lambda p: p.name)
def test_what_is_shown_without_a_mark_covers_93_of_100_times(population: Population) -> None:
    for n in (5, 10, 20, 30):
        found = covered(population, n, TRIALS, resamples=499, seed=n)
        if found.unmarked >= 50:
            hits = round(found.coverage * found.unmarked)
            assert binomtest(hits, found.unmarked, 0.93, alternative="less").pvalue > 0.001, n


@pytest.mark.parametrize("population", RARE, ids=lambda p: p.name)
def test_a_rare_mode_that_is_seen_marks_the_interval(population: Population) -> None:
    """Negative control: without the mark these intervals would not cover."""
    rng = np.random.default_rng(0)
    seen = marked = missed = 0
    for _ in range(TRIALS):
        a, b = population.draw(rng, 20)
        normal = np.abs(b / a - np.median(b / a)) < 0.5
        if 1 <= np.sum(~normal) <= 4:
            seen += 1
            marked += mark_of(b / b.mean() - a / a.mean(), b - a) != ""
            missed += population.ratio not in paired_ratio(a, b, resamples=499)
    assert seen > 100
    assert marked > 0.95 * seen


def test_real_runs_are_covered() -> None:
    """800 seeds of the flagship's settings are the population; samples of it are judged."""
    populations = runs_of_the_flagship()
    assert len(populations) >= 8
    for population in populations:
        for n in (5, 10, 30):
            found = covered(population, n, 100, resamples=499, seed=n)
            if found.unmarked >= 50:
                hits = round(found.coverage * found.unmarked)
                assert binomtest(hits, found.unmarked, 0.93, alternative="less").pvalue > 0.001, (
                    population.name, n,
                )  # fmt: skip


@pytest.mark.parametrize("n", [5, 7, 10])
@pytest.mark.parametrize("shape", ["normal", "exponential", "lognormal"])
def test_means_are_covered_where_values_are_skewed_too(shape: str, n: int) -> None:
    """Positive values by their logarithm; the plain interval does not do (negative control)."""
    rng = np.random.default_rng(n)
    size = (600, n)
    rows = {
        "normal": rng.normal(1, 0.1, size), "exponential": rng.exponential(1, size),
        "lognormal": rng.lognormal(-0.5, 1, size),
    }[shape]  # fmt: skip
    found = [mean_interval(row, resamples=999) for row in rows]
    hits = [1 in one for one in found if not one.mark]
    assert len(hits) > 300
    assert binomtest(sum(hits), len(hits), 0.93, alternative="less").pvalue > 0.001
    if (shape, n) == ("lognormal", 7):
        bounds = [mean_estimate(row, resamples=999).bounds(0.95) for row in rows]
        plain = [b[0] <= 1 <= b[1] for b, one in zip(bounds, found, strict=True) if not one.mark]
        assert binomtest(sum(plain), len(plain), 0.93, alternative="less").pvalue < 0.001


def test_a_mean_of_zero_is_tested_at_its_level_for_skewed_data_too() -> None:
    """Where sign flips reject in 13 of 100 samples (negative control)."""
    from mmusim.stats import sign_flip

    rng = np.random.default_rng(1)
    for n in (5, 10, 30):
        d = rng.exponential(1, (TRIALS, n)) - 1
        false = sum(mean_estimate(x, resamples=499).p_value() <= 0.05 for x in d)
        assert binomtest(false, TRIALS, 0.05, alternative="greater").pvalue > 0.001, n
    d = rng.lognormal(0, 1, (TRIALS, 10)) - np.exp(0.5)
    flips = sum(sign_flip(x, flips=1023).p <= 0.05 for x in d)
    assert binomtest(flips, TRIALS, 0.05, alternative="greater").pvalue < 1e-4
