"""How often the shipped intervals cover the truth: populations with known ratios, and runs.

The evidence behind the choice of :mod:`mmusim.stats.studentized`. The page
``docs/evidence/coverage.md`` has the table that ``mmusim coverage`` prints.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from mmusim.stats.intervals import paired_ratio
from mmusim.stats.studentized import RESAMPLES, Floats

Draw = Callable[[np.random.Generator, int], tuple[Floats, Floats]]


@dataclass(frozen=True, slots=True)
class Population:
    """Pairs of values whose ratio of means is known."""

    name: str
    ratio: float  # candidate / baseline
    draw: Draw  # n pairs
    has_rare_mode: bool = False  # carried by so few that samples of 5 to 30 may not show it


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """How often intervals of one population cover."""

    population: str
    seeds: int
    trials: int
    all: float  # share that covers, marked or not
    unmarked: int  # trials without a mark
    coverage: float  # share of these that covers; nan if there are none
    width: float  # median width of these, relative to the ratio


def covered(
    population: Population, seeds: int, trials: int, *, resamples: int = RESAMPLES, seed: int = 0
) -> Covered:
    """Count how often the interval of the ratio covers the truth.

    Parameters
    ----------
    population : Population
        Where pairs are drawn from.
    seeds : int
        Pairs of a sample.
    trials : int
        Samples.
    resamples : int
        Number of bootstrap samples behind each interval.
    seed : int
        Seed of the trials.
    """
    rng = np.random.default_rng(seed)
    made = [paired_ratio(*population.draw(rng, seeds), resamples=resamples) for _ in range(trials)]
    hits = np.array([population.ratio in interval for interval in made])
    unmarked = np.array([not interval.mark for interval in made])
    widths = np.array([interval.high - interval.low for interval in made])[unmarked]
    return Covered(
        population=population.name, seeds=seeds, trials=trials, all=float(hits.mean()),
        unmarked=int(unmarked.sum()),
        coverage=float(hits[unmarked].mean()) if unmarked.any() else float("nan"),
        width=float(np.median(widths)) / population.ratio if unmarked.any() else float("nan"),
    )  # fmt: skip


def resampled(name: str, baseline: Floats, candidate: Floats) -> Population:
    """Return a population made of runs: their ratio is the truth, and no sample has a run twice.

    Parameters
    ----------
    name : str
        Name of the population.
    baseline, candidate : array, shape (seeds,)
        One value per seed in one unit; element i of both comes from seed i.
    """

    def draw(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
        rows = rng.choice(len(baseline), n, replace=False)
        return baseline[rows], candidate[rows]

    return Population(name, float(candidate.mean() / baseline.mean()), draw)


def _normal(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    common = rng.normal(100, 10, n)
    return common + rng.normal(0, 5, n), 1.2 * common + rng.normal(0, 6, n)


def _lognormal(sigma: float, of_baseline: float) -> Draw:
    return lambda rng, n: (
        rng.lognormal(-(of_baseline**2) / 2, of_baseline, n),
        1.2 * rng.lognormal(-(sigma**2) / 2, sigma, n),
    )


def _modes(share: float, factor: float) -> Draw:
    """A share of the candidate's seeds takes a multiple."""

    def draw(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
        mode = np.where(rng.random(n) < share, factor, 1.0)
        return rng.normal(100, 3, n), rng.normal(100, 3, n) * mode

    return draw


def _tied(share: float) -> Draw:
    """A share of the pairs differs, by 4 of 20."""

    def draw(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
        base = np.round(rng.gamma(25, 0.8, n)) + 1
        return base, base + np.where(rng.random(n) < share, np.round(rng.normal(4, 1, n)), 0.0)

    return draw


POPULATIONS: Final = (
    Population("normal", 1.2, _normal),
    Population("lognormal, sigma 0.5, in both", 1.2, _lognormal(0.5, 0.5)),
    Population("lognormal, sigma 1, in both", 1.2, _lognormal(1.0, 1.0)),
    Population("lognormal, sigma 0.5, in one", 1.2, _lognormal(0.5, 0.02)),
    Population("two modes, one half each", 1.5, _modes(0.5, 2.0)),
    Population("half of the pairs tied", 1 + 0.5 * 4 / 21, _tied(0.5)),
    Population("a mode of 20 % of the seeds", 1.2, _modes(0.2, 2.0), has_rare_mode=True),
    Population("a mode of 10 % of the seeds", 1.1, _modes(0.1, 2.0), has_rare_mode=True),
    Population("a mode of 5 % of the seeds", 1.1, _modes(0.05, 3.0), has_rare_mode=True),
)
"""Shapes that values of runs have. Of the last three no procedure covers at few seeds: most
samples do not show the mode, or show it once."""
