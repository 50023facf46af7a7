"""Levels of vCPUs: each has its own for the whole run, the same on both engines."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mmusim.config.measured import LEVELLED, Measurement
from mmusim.config.settings import Setting, settings_of
from mmusim.costs.distributions import scaled
from mmusim.costs.random_streams import Draws, Pairing
from mmusim.engine import simulate
from mmusim.engine.choice import COMPILED, SIMPY
from mmusim.plan.levels import costs_of_vcpus, side_by_side
from mmusim.plan.make import Plan, make_plan
from mmusim.tests.support.settings import setting
from mmusim.vocabulary import COSTS

FREE: dict[str, Any] = dict.fromkeys(COSTS, "0ns")
FAULT = {"c_exit": "2us", "c_entry": "3us", "c_fault_slow": "10us"}
POLICY = "linux-6.18+shadow"
PROFILE = "emerald-rapids-pvm-2"


def plan_of(levels: list[float]) -> Plan:
    """Faults of 10 us without a lock, and vCPUs with these levels."""
    phases: list[dict[str, Any]] = [{"do": "write"}]
    made = setting(phases, vcpus=2, memory="4MiB", vm={"kernel": "linux-6.18"}, costs=FREE | FAULT)
    plan = make_plan(made, POLICY, 1)
    own = tuple(
        {**plan.costs, **{name: scaled(plan.costs[name], level) for name in LEVELLED}}
        for level in levels
    )
    return replace(plan, own_costs=own)


@pytest.mark.parametrize("engine", [SIMPY, COMPILED])
def test_a_vcpu_of_another_level_takes_longer_for_each_fault(engine: str) -> None:
    """The first access of each 2 MiB faults, and hits take 1 ns."""
    same, apart, none = (
        simulate(plan_of(levels), engine=engine).phases[0]
        for levels in ([1.0, 1.0], [1.0, 1.5], [])
    )
    faults = same.counters["pf_taken"]
    assert same.ledger == none.ledger, "negative control: without levels all have the run's costs"
    assert same.end_ns - same.start_ns == faults // 2 * 10_000 + 512
    assert apart.end_ns - apart.start_ns == faults // 2 * 15_000 + 512
    for cause in ("page_fault", "fault_entry", "fault_exit"):
        if cause in same.ledger:
            assert apart.ledger[cause] == 1.25 * same.ledger[cause]


def test_engines_agree_where_vcpus_have_levels_of_their_own() -> None:
    (made,) = measured(3)
    plan = make_plan(made, POLICY, 4)
    assert len(set(map(repr, plan.own_costs))) > 1
    one, other = simulate(plan, engine=SIMPY), simulate(plan, engine=COMPILED)
    assert [p.ledger for p in one.phases] == [p.ledger for p in other.phases]
    assert one.fingerprint == other.fingerprint
    level = simulate(replace(plan, own_costs=()), engine=COMPILED)
    assert [p.ledger for p in level.phases] != [p.ledger for p in other.phases]


def measured(vcpus: int, **host: Any) -> list[Setting]:
    """An experiment on a host whose vCPUs were measured side by side."""
    data = {
        "schema": 1, "id": "levels", "question": "?",
        "vm": {"vcpus": vcpus, "memory": f"{4 * vcpus}MiB", "kernel": "linux-6.18",
               "mmu": "shadow"},
        "host": {"profile": PROFILE} | host,
        "driver": {"phases": [{"do": "enable-logging"}, {"do": "write"}, {"do": "get-dirty-log"},
                              {"do": "write"}]},
        "policies": {"baseline": POLICY, "compare": ["none"]},
    }  # fmt: skip
    return list(settings_of(data, "levels", Path()))


def facts_of(made: Setting) -> Measurement:
    found = made.profile.measurement
    assert found is not None
    assert found.together
    return found


def factors(made: Setting, seed: int, pairing: Pairing = Pairing.BY_ACCESS) -> list[float]:
    """The levels of a run's vCPUs; one if all have the run's."""
    costs, own = costs_of_vcpus(made, Draws(seed, pairing))
    found = []
    for each in own or (costs,):
        of_costs = {round(each[n].mean() / made.costs[n].mean(), 4) for n in LEVELLED}
        assert len(of_costs) == 1, "shares of a fault stay"
        found.append(of_costs.pop())
    return found


def test_every_two_vcpus_have_the_levels_of_a_measured_machine() -> None:
    (made,) = measured(4)
    pairs = facts_of(made).together
    seen: Counter[tuple[float, float]] = Counter()
    for seed in range(200):
        drawn = factors(made, seed)
        assert len(drawn) == 4
        for one, other in (drawn[:2], drawn[2:]):
            assert [one, other] in pairs or [other, one] in pairs
            seen[one, other] += 1
    forward, backward = (
        sum(n for (a, b), n in seen.items() if (b > a) is way) for way in (True, False)
    )
    assert 0.4 < forward / (forward + backward) < 0.6, "in either order"


def test_an_odd_vcpu_has_one_level_of_a_pair() -> None:
    found = side_by_side([[1.0, 2.0]], 5, Draws(1))
    assert len(found) == 5
    assert sorted(found[:2]) == sorted(found[2:4]) == [1.0, 2.0]


def test_who_is_alone_or_counts_payments_has_one_level() -> None:
    (alone,) = measured(1)
    (two,) = measured(2)
    levels = facts_of(alone).levels
    assert all(factors(alone, seed)[0] in levels for seed in range(50))
    assert len(factors(two, 1, Pairing.BY_OCCURRENCE)) == 1, "one stream for all vCPUs"
    for host in ({"variance": "none"}, {"costs": {"c_exit": "1us"}}):
        (fixed,) = measured(2, **host)
        assert costs_of_vcpus(fixed, Draws(1)) == (fixed.costs, ())


def test_a_changed_level_is_another_run() -> None:
    """Stored runs of a profile whose levels were edited are not those of the new one."""
    (made,) = measured(2)
    facts = facts_of(made)
    for name, value in (("together", facts.together[1:]), ("levels", facts.levels[1:])):
        changed = facts.model_copy(update={name: value})
        profile = made.profile.model_copy(update={"measurement": changed})
        assert replace(made, profile=profile).key() != made.key()
    assert replace(made, profile=made.profile.model_copy()).key() == made.key()
