"""Intervals cover the truth as often as they say, and comparisons refuse what is unlike."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from mmusim.comparison.compare import UnlikeRunsError, compare, judge
from mmusim.config.claims import Claim
from mmusim.engine import simulate
from mmusim.metrics.measure import Metrics, from_record, measure, to_record
from mmusim.plan.make import make_plan
from mmusim.stats import correlation, mean_interval, paired_ratio
from mmusim.tests.support.settings import setting

PHASES = [{"do": "write"}, {"do": "enable-logging"}, {"do": "read"}]


@pytest.fixture(scope="module")
def runs() -> dict[str, list[Metrics]]:
    made = setting(PHASES)
    return {
        policy: [measure(simulate(make_plan(made, policy, seed))) for seed in range(8)]
        for policy in ("eager-drop", "lazy-drop")
    }


def test_a_policy_against_itself_is_exactly_one() -> None:
    times = np.random.default_rng(0).lognormal(10, 1, 20)
    ratio = paired_ratio(times, times)
    assert (ratio.low, ratio.estimate, ratio.high) == (1, 1, 1)


def test_what_does_not_vary_has_a_point_for_an_interval() -> None:
    ratio = paired_ratio([4.0, 4.0, 4.0], [2.0, 2.0, 2.0])
    assert (ratio.low, ratio.estimate, ratio.high) == (0.5, 0.5, 0.5)


def test_units_cancel() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.lognormal(size=(2, 25))
    ns, us = paired_ratio(a, b), paired_ratio(a / 1000, b / 1000)
    assert ns.estimate == pytest.approx(us.estimate)
    assert ns.low == pytest.approx(us.low)


def coverage(level: float, shift: float, experiments: int = 300) -> tuple[int, int]:
    """How many of the intervals contain a ratio that is off by `shift`."""
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(experiments):
        common = rng.lognormal(0, 0.3, 30)
        a, b = common * rng.lognormal(0, 0.1, 30), 0.5 * common * rng.lognormal(0, 0.1, 30)
        ratio = paired_ratio(a, b, confidence=level)
        hits += (0.5 + shift) in ratio
    return hits, experiments


def test_the_interval_of_a_ratio_covers_the_truth_as_often_as_it_says() -> None:
    """BCa is a little short at 30 seeds; the test allows 92 % for 95 %, and no less."""
    hits, n = coverage(0.95, 0.0)
    assert binomtest(hits, n, 0.92).pvalue > 0.001 or hits / n > 0.92
    wrong, n = coverage(0.95, 0.05)
    assert binomtest(wrong, n, 0.92).pvalue < 1e-6, "negative control: a wrong truth is excluded"


def test_students_interval_covers_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    hits = sum(3.0 in mean_interval(rng.normal(3, 2, 12), 0.9) for _ in range(2000))
    assert binomtest(hits, 2000, 0.9).pvalue > 0.001
    wrong = sum(3.5 in mean_interval(rng.normal(3, 2, 12), 0.9) for _ in range(2000))
    assert binomtest(wrong, 2000, 0.9).pvalue < 0.001, "negative control"


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
        ([1.0, 0.0], [1.0, 1.0], "positive figures"),
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
