"""Intervals cover the truth as often as they say, and comparisons refuse what is unlike."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from mmusim.base.units import show_number
from mmusim.comparison.compare import UnlikeRunsError, compare, judge
from mmusim.config.claims import Claim
from mmusim.engine import simulate
from mmusim.metrics.measure import Metrics, measure
from mmusim.metrics.stored import from_record, to_record
from mmusim.plan.make import make_plan
from mmusim.stats import (
    correlation,
    mean_interval,
    paired_difference,
    paired_p_value,
    paired_ratio,
)
from mmusim.stats.marks import unseen_share
from mmusim.tests.support.settings import setting

PHASES = [{"do": "write"}, {"do": "enable-logging"}, {"do": "read"}]


@pytest.fixture(scope="module")
def runs() -> dict[str, list[Metrics]]:
    made = setting(PHASES)
    return {
        policy: [measure(simulate(make_plan(made, policy, seed))) for seed in range(8)]
        for policy in ("eager-drop", "lazy-drop")
    }


def test_a_policy_against_itself_is_one_but_for_what_no_seed_shows() -> None:
    """The rule of three: 20 equal pairs leave room for 14 % of seeds that differ."""
    times = np.random.default_rng(0).lognormal(10, 1, 20)
    ratio = paired_ratio(times, times)
    assert (ratio.estimate, ratio.mark) == (1, "identical")
    assert unseen_share(20) == pytest.approx(1 - 0.05 ** (1 / 20))
    size = np.ptp(times) / times.mean()
    assert ratio.high - 1 == pytest.approx(1 - ratio.low) == pytest.approx(unseen_share(20) * size)
    difference = paired_difference(times, times)
    assert difference.high == pytest.approx(unseen_share(20) * np.ptp(times))
    constant = paired_ratio(np.full(30, 7.0), np.full(30, 7.0))
    assert constant.high == pytest.approx(1 + unseen_share(30))


def test_a_ratio_that_is_the_same_in_all_seeds_has_the_rule_of_three_too() -> None:
    """It once had no width and no mark, and left equality out where its p-value did not."""
    times = np.random.default_rng(0).lognormal(10, 0.1, 20)
    ratio, size = paired_ratio(times, times / 2), np.ptp(times) / times.mean()
    assert ratio.mark == "identical"
    assert ratio.high == pytest.approx(0.5 + unseen_share(20) * size)
    for n in (5, 20):
        for factor in (1.02, 1.2, 3.0):
            found = paired_ratio(times[:n], factor * times[:n])
            assert (1 not in found) == (paired_p_value(times[:n], factor * times[:n]) <= 0.05)
    assert paired_p_value(times[:5], 3 * times[:5]) > 0.05, "negative control: five say little"


def test_what_no_seed_changes_is_its_own_bounds_and_is_marked() -> None:
    for found in (paired_ratio([4.0] * 5, [2.0] * 5), paired_difference([0.0] * 5, [0.5] * 5)):
        assert (found.low, found.estimate, found.high, found.mark) == (0.5, 0.5, 0.5, "identical")
    assert paired_p_value([4.0] * 5, [2.0] * 5) == 2**-4
    assert paired_ratio([4.0] * 5, [4.0] * 5).high > 1, "negative control: no difference at all"


@pytest.mark.parametrize("wrong", [np.inf, -np.inf, np.nan])
def test_what_is_no_number_has_no_interval(wrong: float) -> None:
    """An infinite value gave bounds that were no numbers."""
    x, ones = [1.0, 2.0, wrong, 1.5, 1.0], [1.0] * 5
    with pytest.raises(ValueError, match="leave such seeds out"):
        mean_interval(x)
    with pytest.raises(ValueError, match="leave such seeds out"):
        paired_ratio(ones, x)
    with pytest.raises(ValueError, match="leave such seeds out"):
        paired_difference(x, ones)


def test_a_bound_that_is_open_in_practice_is_written_in_a_few_characters() -> None:
    """One seed of a thousand times the others: the upper bound had 300 digits."""
    rng = np.random.default_rng(3)
    b = rng.normal(1e6, 1e4, 10)
    b[3] = 1e9
    found = paired_ratio(rng.normal(1e6, 1e4, 10), b)
    assert found.mark == "seeds set apart"
    assert found.high > 1e15
    assert len(found.span(show_number)) < 40
    assert show_number(1e14) == "100,000,000,000,000", "negative control"


def test_a_mean_that_is_the_same_in_all_seeds_is_marked() -> None:
    assert mean_interval([7.0] * 5).mark == "identical"
    assert mean_interval([0.0] * 5).mark == "identical"
    assert mean_interval([7.0, 7.0, 7.0, 7.1, 7.2]).mark == "", "negative control"


def test_an_interval_of_what_is_never_negative_ends_at_zero() -> None:
    counts = [0.0, 0.0, 0.0, 0.0, 0.0, 1.0]
    assert mean_interval(counts).low < 0, "negative control"
    found = mean_interval(counts, lowest=0.0)
    assert (found.low, found.high) == (0.0, mean_interval(counts).high)
    assert 0.0 in found


def test_a_share_of_seeds_is_never_known_for_certain() -> None:
    """Five of five that converge were called certain, and 41 of 100 such samples were wrong."""
    rng = np.random.default_rng(5)
    for share in (0.1, 0.5, 0.8, 0.9):
        for n in (5, 10, 30):
            x = (rng.random((300, n)) < share).astype(float)
            hits = sum(share in mean_interval(row, yes_or_no=True) for row in x)
            assert binomtest(hits, 300, 0.93, alternative="less").pvalue > 0.001, (share, n)
    assert mean_interval([1.0] * 5, yes_or_no=True).low == pytest.approx(0.05**0.2)
    assert mean_interval([0.0] * 5, yes_or_no=True).high == pytest.approx(unseen_share(5))
    x = (rng.random((300, 5)) < 0.9).astype(float)
    plain = sum(0.9 in mean_interval(row, resamples=499) for row in x)
    assert binomtest(plain, 300, 0.95, alternative="less").pvalue < 1e-6, "negative control"
    with pytest.raises(ValueError, match="values of 0 and 1"):
        mean_interval([0.0, 0.5, 1.0, 1.0, 1.0], yes_or_no=True)


def test_what_is_smaller_than_the_least_width_sets_no_seed_apart() -> None:
    """However rare such a mode is, it cannot move the mean out of the interval."""
    x = 100 + np.array([0, 1e-6, 2e-6, 3e-6, 0.05, 1e-6])
    assert mean_interval(x).mark == ""
    assert mean_interval(x + np.where(np.arange(6) == 4, 1.0, 0.0)).mark == "seeds set apart"
    assert paired_ratio(np.full(6, 100.0), x / 2).mark == ""
    assert paired_ratio(np.full(6, 100.0), 9 * x).mark == "seeds set apart", (
        "0.45 % of the baseline"
    )


def test_fewer_than_five_seeds_have_no_interval() -> None:
    for n in (2, 3, 4):
        x, y = np.random.default_rng(n).lognormal(0, 0.01, (2, n))
        for found in (paired_ratio(x, 3 * y), paired_difference(x, 3 * y), mean_interval(x)):
            assert (found.low, found.high, found.mark) == (-np.inf, np.inf, "few seeds")
            assert "no interval" in str(found)
            assert found.span(str) == f"none of {n} seeds"
        assert paired_p_value(x, 3 * y) == 1
    assert paired_ratio([1.0, 2, 3, 4, 5], [2.0, 4, 7, 8, 10]).exists


def test_units_cancel() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.lognormal(size=(2, 25))
    ns, us = paired_ratio(a, b), paired_ratio(a / 1000, b / 1000)
    assert ns.estimate == pytest.approx(us.estimate)
    assert ns.low == pytest.approx(us.low)


def test_a_wrong_truth_is_excluded() -> None:
    """Negative control of coverage (``test_coverage.py``): a ratio that is off by 10 %."""
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(100):
        common = rng.lognormal(0, 0.3, 30)
        a, b = common * rng.lognormal(0, 0.1, 30), 0.5 * common * rng.lognormal(0, 0.1, 30)
        hits += 0.55 in paired_ratio(a, b, resamples=499)
    assert hits < 30


def test_the_interval_of_a_mean_covers_it_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    hits = sum(3.0 in mean_interval(rng.normal(3, 2, 12), 0.9) for _ in range(600))
    assert binomtest(hits, 600, 0.9, alternative="less").pvalue > 0.001
    wrong = sum(3.9 in mean_interval(rng.normal(3, 2, 12), 0.9) for _ in range(600))
    assert binomtest(wrong, 600, 0.9, alternative="less").pvalue < 0.001, "negative control"


def test_pairing_is_measured() -> None:
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=(2, 400))
    assert correlation(a, 2 * a + 1) == pytest.approx(1)
    assert abs(correlation(a, b) or 0) < 0.2
    assert correlation(a, np.ones(400)) is None


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([1.0, 2.0, 3.0], [1.0, 2.0], "rows of equal length, got 3 and 2 seeds"),
        ([1.0], [1.0], "at least 2 seeds"),
        ([1.0, 0.0], [1.0, 1.0], "positive values"),
    ],
)
def test_what_has_no_ratio_is_refused(a: list[float], b: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paired_ratio(a, b)


def test_runs_on_different_seeds_are_refused(runs: dict[str, list[Metrics]]) -> None:
    with pytest.raises(UnlikeRunsError, match=r"different seeds: \[7\] are missing"):
        compare(runs["eager-drop"], runs["lazy-drop"][:-1], "phase_time")


def test_a_metric_that_a_run_lacks_is_refused(runs: dict[str, list[Metrics]]) -> None:
    with pytest.raises(UnlikeRunsError, match="fault_free_pages is not defined in the run of"):
        compare(runs["eager-drop"], runs["lazy-drop"], "fault_free_pages")


def test_a_record_gives_the_metrics_back(runs: dict[str, list[Metrics]]) -> None:
    run = runs["lazy-drop"][0]
    again = from_record(run.policy, run.seed, to_record(run))
    assert again.values == run.values
    assert again.ledger == run.ledger
    assert (again.latency.counts == run.latency.counts).all()


@pytest.mark.parametrize(
    ("expect", "outcome"),
    [([0.0, 1.0], "supported"), ([1.0, 9.0], "refuted"), ("straddling", "inconclusive")],
)
def test_a_claim_is_supported_refuted_or_left_open(
    expect: object, outcome: str, runs: dict[str, list[Metrics]]
) -> None:
    ratio = compare(runs["eager-drop"], runs["lazy-drop"], "phase_time").ratio
    assert ratio is not None
    assert ratio.low < ratio.high
    bounds = [ratio.estimate, 1.0] if expect == "straddling" else expect
    data = {"says": "?", "ratio": "lazy-drop / eager-drop", "expect": bounds}
    verdict = judge(Claim.model_validate(data), setting(PHASES), runs)
    assert verdict.outcome == outcome


def test_a_published_time_is_judged_by_the_interval_of_the_mean(
    runs: dict[str, list[Metrics]],
) -> None:
    mean = sum(run.values["phase_time"] for run in runs["eager-drop"]) / 8
    for factor, outcome in ((1.0, "supported"), (2.0, "refuted")):
        data = {"says": "?", "policy": "eager-drop", "within": "5%"}
        claim = Claim.model_validate(data | {"published": f"{mean * factor:.0f}ns"})
        assert judge(claim, setting(PHASES), runs).outcome == outcome
