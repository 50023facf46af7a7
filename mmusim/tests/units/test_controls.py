"""A control variate leaves the expectation and takes the variance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from mmusim.comparison.controls import controlled
from mmusim.engine import simulate
from mmusim.metrics.measure import Metrics, measure
from mmusim.plan.make import make_plan
from mmusim.stats import paired_ratio
from mmusim.tests.support.made_up_runs import run
from mmusim.tests.support.settings import setting

PHASES = [{"do": "write"}, {"do": "enable-logging"}, {"do": "read"}, {"do": "disable-logging"}]


def column(runs: Sequence[Metrics]) -> np.ndarray:
    return np.array([run.values["protect_time"] for run in runs])


def test_every_grace_period_of_a_run_is_counted() -> None:
    made = setting(PHASES)
    found = measure(simulate(make_plan(made, "eager-drop", 1), engine="simpy"))
    assert found.values["grace_periods"] == 2
    spent = [times["c_srcu"] for times in found.operation_times.values() if "c_srcu" in times]
    assert len(spent) == 2
    assert found.values["grace_time"] == sum(spent)
    (steady,) = controlled(made, [found])
    rest = found.values["protect_time"] - sum(spent)
    assert steady.values["protect_time"] == rest + 2 * made.costs["c_srcu"].mean()


def heavy(n: int, rng: np.random.Generator, own: float) -> list[Metrics]:
    """Runs with one grace period each, as heavy as the one of skylake-2021."""
    grace = np.exp(np.log(60e3) + 1.507 * rng.normal(size=n))
    rest = rng.normal(own, own / 100, n)
    return [
        run("p", k, protect_time=float(g + r), grace_time=float(g), grace_periods=1.0)
        for k, (g, r) in enumerate(zip(grace, rest, strict=True))
    ]


def test_the_mean_stays_and_an_interval_covers_that_does_not_without() -> None:
    made = setting(PHASES)
    mean = made.costs["c_srcu"].mean()
    rng, plain, better = np.random.default_rng(0), 0, 0
    expected = 60e3 * np.exp(1.507**2 / 2)
    assert column(controlled(made, heavy(4000, rng, 5e4))).mean() == pytest.approx(
        5e4 + mean, rel=0.01
    ), "the mean of the profile in the place of what was drawn"
    for _ in range(150):
        a, b = heavy(10, rng, 2e5), heavy(10, rng, 4e5)
        plain += (4e5 + expected) / (2e5 + expected) in paired_ratio(
            column(a), column(b), resamples=499
        )
        better += (4e5 + mean) / (2e5 + mean) in paired_ratio(
            column(controlled(made, a)), column(controlled(made, b)), resamples=499
        )
    assert better >= 140
    assert plain < better, "negative control: the draws as they are"


def test_runs_without_the_metrics_stay_as_they_are() -> None:
    made, old = setting(PHASES), run("p", 1, protect_time=5.0)
    assert controlled(made, [old]) == [old]
