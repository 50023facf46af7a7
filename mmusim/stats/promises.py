"""What outcomes promise, measured: level, power, families, looks, marks and shares of hosts.

:mod:`mmusim.stats.coverage` measures the intervals of ratios by themselves. This module measures
the functions that answer in tables and claims. ``mmusim coverage`` prints the shares, and the page
``docs/evidence/coverage.md`` has them.

Every function below that yields promises takes `trials`, the number of samples of each entry, and
`seed`, that of the samples; equal seeds give equal shares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from mmusim.stats.coverage import POPULATIONS, Draw, Population
from mmusim.stats.hosts import share_that_holds, spread_of
from mmusim.stats.intervals import Interval, paired_difference, paired_p_value, paired_ratio
from mmusim.stats.marks import CARRIERS
from mmusim.stats.outcomes import Answer, answer
from mmusim.stats.sequential import analysis_sizes, is_narrow, stop_when_precise
from mmusim.stats.significance import ALPHA
from mmusim.stats.studentized import Floats

RESAMPLES: Final = 999
SEEDS: Final = (5, 10, 20, 30)
SETTINGS: Final = 12
"""Settings of an experiment whose claims are judged together."""
LOOKS: Final = (5, 60)
"""Seeds at the first look and at the last, where seeds are added until a ratio is precise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """The share of trials in which something happened, beside what is promised."""

    of: str  # coverage, level, power, ...
    case: str
    seeds: int  # or hosts
    share: float  # of the trials; nan if there are none
    trials: int
    promised: str  # what it should be; empty: nothing is promised


def answered(baseline: Floats, candidate: Floats, resamples: int = RESAMPLES) -> Answer:
    """Return the outcome of one comparison without a family, as in tables.

    Parameters
    ----------
    baseline, candidate : array, shape (seeds,)
        Element i of both comes from seed i.
    resamples : int
        Number of bootstrap samples.
    """
    is_ratio = bool(min(baseline.min(), candidate.min()) > 0)
    shown = (paired_ratio if is_ratio else paired_difference)(
        baseline, candidate, resamples=resamples
    )
    return answer(
        shown, float(baseline.mean()), paired_p_value(baseline, candidate, resamples=resamples),
        is_ratio=is_ratio, spread=float((candidate - baseline).std(ddof=1)),
    )  # fmt: skip


def _equal(population: Population) -> Draw:
    """Scale the candidate, so that the means are equal."""

    def draw(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
        a, b = population.draw(rng, n)
        return a, b / population.ratio

    return draw


def _differing(shape: Callable[[np.random.Generator, int], Floats]) -> Draw:
    """A baseline that is 0 in some seeds, so that differences decide, whose mean is 0."""

    def draw(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
        a = np.maximum(rng.normal(2, 2, n), 0.0)
        a[0] = 0.0
        return a, a + shape(rng, n)

    return draw


EQUAL: Final[dict[str, Draw]] = {
    **{p.name: _equal(p) for p in POPULATIONS if "tied" not in p.name},
    "differences: normal": _differing(lambda rng, n: rng.normal(0, 1, n)),
    "differences: exponential": _differing(lambda rng, n: rng.exponential(1, n) - 1),
    "differences: lognormal, sigma 0.5": _differing(
        lambda rng, n: rng.lognormal(-0.125, 0.5, n) - 1
    ),
    "differences: lognormal, sigma 1": _differing(lambda rng, n: rng.lognormal(-0.5, 1, n) - 1),
}
"""Pairs of values without a difference of means."""


def levels_of_outcomes(trials: int, seed: int = 0) -> Iterator[Promise]:
    """Yield how often two policies without a difference are called better or worse."""
    for name, draw in EQUAL.items():
        for n in SEEDS:
            rng = np.random.default_rng([seed, n])
            said = [answered(*draw(rng, n)).outcome for _ in range(trials)]
            yield Promise(
                of="level", case=name, seeds=n, trials=trials, promised=f"at most {ALPHA:g}",
                share=sum(one in ("better", "worse") for one in said) / trials,
            )  # fmt: skip


def _apart(effect: float) -> Draw:
    """Normal values that scatter by 10 %, correlated at 0.8, whose means differ by a share."""

    def draw(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
        common = rng.normal(0, 0.8**0.5 * 10, (1, n)) + rng.normal(0, 0.2**0.5 * 10, (2, n))
        return 100 + common[0], (1 + effect) * (100 + common[1])

    return draw


def _carried(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    """A difference of 10 % that one seed of twenty carries."""
    a = rng.normal(100, 1, n)
    return a, a * np.where(rng.random(n) < 0.05, 3.0, 1.0) + rng.normal(0, 0.2, n)


def powers(trials: int, seed: int = 0) -> Iterator[Promise]:
    """Yield how often differences are found, and how often equal policies are called equivalent."""
    for effect in (0.02, 0.05, 0.1, 0.2):
        for n in SEEDS:
            rng, draw = np.random.default_rng([seed, n]), _apart(effect)
            said = [answered(*draw(rng, n)).outcome for _ in range(trials)]
            yield Promise(
                of="power", case=f"{100 * effect:.0f} % more is called worse", seeds=n,
                trials=trials, share=said.count("worse") / trials, promised="",
            )  # fmt: skip
    for case, draw, promised in (
        ("no difference is called equivalent", _apart(0.0), ""),
        ("10 % carried by 5 % of the seeds is called equivalent", _carried, "seldom"),
    ):
        for n in SEEDS:
            rng = np.random.default_rng([seed, n])
            said = [answered(*draw(rng, n)).outcome for _ in range(trials)]
            share = said.count("equivalent") / trials
            yield Promise(
                of="power", case=case, seeds=n, trials=trials, share=share, promised=promised
            )


def families(trials: int, seed: int = 0) -> Iterator[Promise]:
    """Yield how often an order is refuted in any of twelve settings without a difference.

    The interval has the confidence 1 - 0.05 / 12, as in :func:`mmusim.comparison.verdicts.judge`;
    for comparison also 0.95.
    """
    for n in (10, 30):
        rng, draw = np.random.default_rng([seed, n]), _apart(0.0)
        single = many = 0
        for _ in range(trials):
            rows = [draw(rng, n) for _ in range(SETTINGS)]
            alone = [row for row in rows if _is_below(paired_ratio(*row, resamples=RESAMPLES))]
            sure = 1 - ALPHA / SETTINGS
            single += bool(alone)
            many += any(
                _is_below(paired_ratio(*row, confidence=sure, resamples=RESAMPLES)) for row in alone
            )
        for case, count, promised in (
            (f"an order is refuted in one of {SETTINGS} settings", many, f"at most {ALPHA:g}"),
            ("the same without correction", single, ""),
        ):
            yield Promise(
                of="family", case=case, seeds=n, trials=trials, share=count / trials,
                promised=promised,
            )  # fmt: skip


def _is_below(interval: Interval) -> bool:
    return interval.high < 1


def looks(trials: int, seed: int = 0) -> Iterator[Promise]:
    """Yield how often the interval of the last look covers the truth.

    For comparison also: how often it does if each look is treated as the only one.
    """
    first, last = LOOKS
    shapes: dict[str, Callable[[np.random.Generator], Floats]] = {
        "normal": lambda rng: rng.normal(100, 20, (2, last)),
        "lognormal": lambda rng: rng.lognormal(0, 0.35, (2, last)),
    }
    for name, draw in shapes.items():
        rng, hits, naive = np.random.default_rng(seed), 0, 0
        for _ in range(trials):
            a, b = draw(rng)
            stop = stop_when_precise(a, [b], 0.25, first, last, resamples=RESAMPLES)
            hits += 1 in paired_ratio(
                a[: stop.seeds], b[: stop.seeds], confidence=1 - stop.alpha, resamples=RESAMPLES
            )
            for n in analysis_sizes(first, last):
                at_look = paired_ratio(a[:n], b[:n], resamples=RESAMPLES)
                if is_narrow(at_look, 0.25):
                    break
            naive += 1 in at_look
        for case, count, promised in (
            (f"{name}, half the interval at most 25 %", hits, "0.95"),
            (f"{name}, each look taken for the only one", naive, ""),
        ):
            yield Promise(
                of="sequential", case=case, seeds=last, trials=trials, share=count / trials,
                promised=promised,
            )  # fmt: skip


def marks(trials: int, seed: int = 0) -> Iterator[Promise]:
    """Yield how often an interval is marked: with a rare mode in the sample, and without one."""
    for population in POPULATIONS:
        for n in SEEDS[1:]:
            rng, seen, marked = np.random.default_rng([seed, n]), 0, 0
            for _ in range(trials):
                a, b = population.draw(rng, n)
                carriers = int(np.sum(b / a > 1.5))
                if population.has_rare_mode and not 1 <= carriers < CARRIERS:
                    continue
                seen += 1
                marked += paired_ratio(a, b, resamples=RESAMPLES).mark != ""
            rare = population.has_rare_mode
            yield Promise(
                of="mark", case=population.name + (", seen 1 to 4 times" if rare else ""), seeds=n,
                trials=seen, share=marked / seen if seen else float("nan"),
                promised="0.95" if rare else "",
            )  # fmt: skip


def _response(x: Floats) -> Floats:
    """Logarithm of a ratio by three of its inputs, with an interaction and a bend."""
    made = 0.1 + 0.5 * x[..., 0] - 0.3 * x[..., 1] + 0.15 * x[..., 0] * x[..., 1]
    return np.asarray(made + 0.1 * x[..., 2] ** 2)


def hosts(trials: int, seed: int = 0) -> Iterator[Promise]:
    """Yield how often the share of hosts, and the spread over them, cover a known response.

    Values have the noise of a seed. In the third case half of the runs fail on hosts on which the
    statement does not hold.
    """
    rng = np.random.default_rng(seed)
    truth = float((_response(rng.normal(size=(400_000, 6))) < 0).mean())
    for n in (8, 16, 32):
        share = spread = lost = naive = 0
        for _ in range(trials):
            values = _response(rng.normal(size=(n, 6))) + rng.normal(0, 0.05, n)
            share += truth in share_that_holds(values < 0)
            low, high = spread_of(values)
            further = float(_response(rng.normal(size=6)) + rng.normal(0, 0.05))
            spread += low <= further <= high
            fails = (values >= 0) & (rng.random(n) < 0.5)
            left = (values < 0)[~fails]
            lost += truth in share_that_holds(left, left_out=int(fails.sum()))
            naive += bool(len(left)) and truth in share_that_holds(left)
        for case, count, promised in (
            ("share of hosts on which it holds", share, "0.95"),
            ("a further host lies in the spread", spread, "0.95"),
            ("the share, where runs fail on half of the other hosts", lost, "0.95"),
            ("the same, if hosts whose runs failed are ignored", naive, ""),
        ):
            yield Promise(
                of="hosts", case=case, seeds=n, trials=trials, share=count / trials,
                promised=promised,
            )  # fmt: skip
