"""Times of any size: both engines hold them, or say in one sentence that they do not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mmusim.base.errors import ClockError, ConfigError
from mmusim.costs.distributions import LONGEST_NS, Lognormal, Mixture, Shifted
from mmusim.costs.random_streams import costs
from mmusim.engine.choice import COMPILED, SIMPY
from mmusim.engine.simulate import simulate
from mmusim.plan.make import make_plan
from mmusim.tests.support.settings import busy_setting, setting

ENDLESS = Lognormal.from_quantile(1.0, 0.9, 1e6)  # its mean would be 10^25 ns


def test_engines_agree_where_a_lock_is_handed_off_for_hours() -> None:
    tail = {"c_lock_handoff": {"lognormal": {"median": "1ns", "p90": "1ms"}}}
    plan = make_plan(busy_setting(tail), "lazy-drop", 1)
    slow, fast = (simulate(plan, engine=engine) for engine in (SIMPY, COMPILED))
    assert slow == fast
    assert slow.lock.handoff_ns > 3600 * 10**9, "the tail was not paid"


@pytest.mark.parametrize("cost", ["t_hit_2M", "t_walk_4K", "t_write"])
def test_engines_agree_where_an_access_takes_longer_than_32_bits_hold(cost: str) -> None:
    plan = make_plan(busy_setting({cost: "3s"}), "eager-drop", 1)
    slow, fast = (simulate(plan, engine=engine) for engine in (SIMPY, COMPILED))
    assert slow == fast
    assert slow.end_ns > 1 << 32


@pytest.mark.parametrize("engine", [SIMPY, COMPILED])
def test_a_run_that_outlasts_the_clock_says_so(engine: str) -> None:
    years = {"do": "sleep", "time": "900000000s"}
    forever = setting([{"do": "write"}, *[years] * 6, {"do": "write"}])
    with pytest.raises(ClockError, match=r"longer than 146 years.*shorter tails"):
        simulate(make_plan(forever, "eager-drop", 1), engine=engine)


def test_no_draw_and_no_mean_lies_behind_the_bound() -> None:
    for endless in (ENDLESS, Shifted(5.0, ENDLESS), Mixture((0.5, 0.5), (ENDLESS, ENDLESS))):
        drawn = costs(endless, 7, 0, 200_000)
        assert drawn.min() >= 0
        assert drawn.max() <= LONGEST_NS + 6
        assert np.mean(drawn) == pytest.approx(endless.mean(), rel=0.1)


def test_a_bound_that_is_far_away_changes_nothing() -> None:
    """To the last bit: published runs stay what they were."""
    for median, sigma in ((450.0, 0.3), (1.0, 2.0), (3_000.0, 2.2)):
        usual = Lognormal(median, sigma)
        assert usual.mean() == median * math.exp(sigma**2 / 2)


def test_a_cost_of_more_than_hours_is_refused() -> None:
    with pytest.raises(ConfigError, match="c_exit"):
        setting([{"do": "write"}], costs={"c_exit": "300min"})
