"""Looks, selection and warm-up do what they promise, and their negative controls do not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from mmusim.stats import Interval, mean_interval, paired_ratio
from mmusim.stats.selection import boundary, select_best
from mmusim.stats.sequential import analysis_sizes, is_narrow, levels, stop_when_precise
from mmusim.stats.warm_up import mser5

RNG = np.random.default_rng


def test_looks_grow_to_the_limit_and_their_errors_sum_to_the_whole() -> None:
    at = analysis_sizes(10, 100)
    assert at == (10, 15, 23, 35, 53, 80, 100)
    assert sum(levels(at)) == pytest.approx(0.05)
    assert min(levels(at)) > 0
    assert analysis_sizes(7, 7) == (7,)
    assert levels((7,)) == pytest.approx((0.05,))
    with pytest.raises(ValueError, match="cannot stop between 1 and 5"):
        analysis_sizes(1, 5)


def test_who_peeks_errs_more_often_than_he_says_and_who_spends_does_not() -> None:
    """No difference; stop at the first look whose interval leaves zero out."""
    at = analysis_sizes(10, 150)
    x = RNG(0).normal(0, 1, (300, at[-1]))

    def false(errors: tuple[float, ...]) -> int:
        return sum(
            any(
                0 not in mean_interval(row[:n], 1 - e, resamples=499)
                for n, e in zip(at, errors, strict=True)
            )
            for row in x
        )

    assert binomtest(false(levels(at)), 300, 0.05, alternative="greater").pvalue > 0.001
    peeking = false((0.05,) * len(at))
    assert binomtest(peeking, 300, 0.05, alternative="greater").pvalue < 1e-6, "negative control"


@pytest.mark.parametrize("shape", ["normal", "lognormal"])
def test_the_interval_at_which_the_shipped_procedure_stops_covers_the_truth(shape: str) -> None:
    """It stops when the spread happens to look small: each look must pay for that."""
    rng, hits, stopped = RNG(1), 0, 0
    for _ in range(200):
        if shape == "normal":
            a, b = rng.normal(100, 20, (2, 60))
        else:
            a, b = rng.lognormal(0, 0.35, (2, 60))
        found = stop_when_precise(a, [b], 0.25, 5, 60, resamples=999)
        assert not found.is_missing
        at_stop = paired_ratio(
            a[: found.seeds], b[: found.seeds], confidence=1 - found.alpha, resamples=999
        )
        hits += 1 in at_stop
        stopped += found.seeds < 60
    assert stopped > 20, "the rule stops early, or it would test nothing"
    assert binomtest(hits, 200, 0.95, alternative="less").pvalue > 0.001


def test_without_spending_the_interval_at_the_stop_does_not_cover() -> None:
    """Negative control: Student's interval at 95 % at every look, from three seeds on."""
    from scipy.stats import t

    at, x, hits = analysis_sizes(3, 60), RNG(1).normal(10, 5, (1000, 60)), 0
    for row in x:
        for n in at:
            half = t.ppf(0.975, n - 1) * row[:n].std(ddof=1) / np.sqrt(n)
            if half <= 0.2 * row[:n].mean():
                break
        hits += abs(row[:n].mean() - 10) <= half
    assert binomtest(hits, 1000, 0.95, alternative="less").pvalue < 1e-4


def test_narrow_is_relative_to_the_estimate() -> None:
    def interval(low: float, high: float) -> Interval:
        return Interval(estimate=(low + high) / 2, low=low, high=high, confidence=0.9, seeds=5)

    assert is_narrow(interval(0.95, 1.05), 0.0501)
    assert not is_narrow(interval(0.095, 0.115), 0.05)


# --- selection ---


def correct(means: np.ndarray, spread: float, delta: float, **more: Any) -> tuple[int, float]:
    """How often of 300 the first is selected, and after how many seeds on average."""
    rng = RNG(2)
    hits, seeds = 0, 0
    for _ in range(300):
        common = rng.normal(0, 3, (400, 1))  # common random numbers
        found = select_best(
            means + common + rng.normal(0, spread, (400, len(means))), delta, **more
        )
        assert found.selected
        hits += found.best == 0
        seeds += found.seeds
    return hits, seeds / 300


def test_the_best_is_selected_as_often_as_promised() -> None:
    """The least favourable case: all others are worse by exactly delta."""
    means = np.array([0.0, 1.0, 1.0, 1.0, 1.0])
    hits, _ = correct(means, 2.0, 1.0)
    assert binomtest(hits, 300, 0.95, alternative="less").pvalue > 0.001
    few, _ = correct(means, 2.0, 1.0, first=2, confidence=0.201)  # hardly more than guessing
    assert few < hits


def test_with_too_small_a_variance_the_promise_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: the zone of a procedure that believes in a fiftieth of the variance."""
    monkeypatch.setattr("mmusim.stats.selection.boundary", lambda k, n, c: boundary(k, n, c) / 50)
    hits, _ = correct(np.array([0.0, 1.0, 1.0, 1.0, 1.0]), 3.0, 1.0)
    assert binomtest(hits, 300, 0.95, alternative="less").pvalue < 1e-6


def test_common_random_numbers_save_seeds() -> None:
    rng = RNG(3)
    common = rng.normal(0, 3, (4000, 1)) + rng.normal(0, 0.5, (4000, 3)) + [0, 1, 1]
    own = rng.normal(0, 3, (4000, 3)) + rng.normal(0, 0.5, (4000, 3)) + [0, 1, 1]
    assert select_best(common, 1.0).seeds * 3 < select_best(own, 1.0).seeds


def test_a_selection_tells_where_it_stands() -> None:
    x = RNG(4).normal((50.0, 0.0, 0.2), 1, (12, 3))
    found = select_best(x, 0.5, first=10)
    assert not found.selected
    assert found.dropped_at[0] == 10
    assert set(found.alive) == {1, 2}
    assert found.ranking[-1] == 0
    assert found.needed > 12
    x[10:, 0] = np.nan
    assert select_best(x, 0.5, first=10) == found, "who was dropped need not run"
    assert select_best(-x[:10], 0.5, more_is_better=True).ranking[-1] == 0
    x[11, 1] = np.nan
    assert select_best(x, 0.5, first=10).seeds == 11, "it stands where somebody is missing"
    x[3, 2] = np.nan
    with pytest.raises(ValueError, match="the first 10 seeds are not complete"):
        select_best(x, 0.5, first=10)


def test_equal_competitors_end_with_a_tie() -> None:
    same = np.tile(RNG(5).normal(0, 1, (12, 1)), (1, 3))
    found = select_best(same, 0.1)
    assert found.selected
    assert found.alive == (0, 1, 2)


@pytest.mark.parametrize(
    ("shape", "delta", "message"),
    [
        ((12, 1), 1.0, "at least 2 competitors"),
        ((5, 3), 1.0, "10 seeds"),
        ((12, 3), 0.0, "positive"),
    ],
)
def test_what_cannot_be_selected_from_is_refused(
    shape: tuple[int, int], delta: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        select_best(np.zeros(shape), delta)


# --- warm-up ---


def series(bias: float, seed: int, n: int = 1000, memory: float = 0.5) -> np.ndarray:
    """An AR(1) process of mean 10 that begins `bias` too high and forgets it in 60 steps."""
    from scipy.signal import lfilter

    noise = lfilter([1], [1, -memory], RNG(seed).normal(0, 1, n))
    return np.asarray(10 + noise + bias * np.exp(-np.arange(n) / 20))


def test_mser_leaves_out_the_warm_up_and_little_else() -> None:
    found = [mser5(series(30.0, seed)) for seed in range(100)]
    assert 40 <= np.median([f.skip for f in found]) <= 150
    errors = np.array([f.mean for f in found]) - 10
    assert abs(errors.mean()) < 0.05
    raw = np.array([series(30.0, seed).mean() for seed in range(100)]) - 10
    assert raw.mean() > 0.4, "negative control: the biased mean"
    settled = [mser5(series(0.0, seed)).skip for seed in range(100)]
    assert np.median(settled) <= 100


def test_mser_minimises_what_it_says() -> None:
    x = series(5.0, 1, n=203)
    z = x[:200].reshape(-1, 5).mean(axis=1)
    by_hand = [z[d:].var() / (40 - d) for d in range(35)]
    found = mser5(x)
    assert found.skip == 5 * int(np.argmin(by_hand))
    assert found.standard_error == pytest.approx(np.sqrt(min(by_hand)))
    assert found.batches == 40 - found.skip // 5


def test_a_series_that_is_too_short_or_never_settles_is_refused() -> None:
    with pytest.raises(ValueError, match="too short for a warm-up; give at least 50"):
        mser5(np.ones(49))
    with pytest.raises(ValueError, match="has not settled"):
        mser5(np.arange(200.0) ** 2)
