"""Guests that are given by rates: the same on both engines, and the same as access by access."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mmusim.base.errors import MmusimError
from mmusim.config.settings import Setting
from mmusim.engine import simulate
from mmusim.engine.choice import COMPILED, SIMPY
from mmusim.engine.compiled.vm import CompiledVm
from mmusim.engine.state.planned_run import RUN_LIMIT
from mmusim.plan.make import make_plan
from mmusim.tests.support.any_run import runs, windowed_runs
from mmusim.tests.support.settings import setting
from mmusim.trace.records import Trace

EVERY_POINT = 1
"""Accesses that are one event: then every point of the processes is an event of its own."""


def ends(made: Setting, policy: str, seed: int, engine: str, limit: int = RUN_LIMIT) -> Any:
    """The trace of a run, or the words in which it fails."""
    try:
        return simulate(make_plan(made, policy, seed), engine=engine, run_limit=limit)
    except MmusimError as error:
        return f"{type(error).__name__}: {error}"


def examples(count: int) -> settings:
    return settings(
        max_examples=count, deadline=None, suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
    )  # fmt: skip


@given(runs(by_rates=True), st.integers(0, 9999))
@examples(40)
def test_only_accesses_that_change_something_are_needed(
    run: tuple[str, Setting], seed: int
) -> None:
    """Theorem: a run whose every access is an event has the same trace, to the nanosecond."""
    policy, made = run
    fast = ends(made, policy, seed, COMPILED)
    assert fast == ends(made, policy, seed, COMPILED, EVERY_POINT)
    assert fast == ends(made, policy, seed, SIMPY)


@given(windowed_runs(by_rates=True), st.integers(0, 9999))
@examples(15)
def test_windows_cut_guests_by_rates_too(run: tuple[str, Setting, Setting], seed: int) -> None:
    policy, made, _ = run
    fast = ends(made, policy, seed, COMPILED)
    assert fast == ends(made, policy, seed, SIMPY)
    if isinstance(fast, Trace):
        for part in (*fast.windows, *(phase for phase in fast.phases if phase.guest)):
            assert sum(part.ledger.values()) == part.vcpu_ns


def no_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Break the hook: what flushes and copies arm is not looked at again."""
    monkeypatch.setattr(CompiledVm, "look_at", lambda *_: None)


def rated(policy: str, **more: Any) -> Setting:
    phases = [
        {"do": "write"}, {"do": "enable-logging"},
        {"do": "run", "workload": "it", "background": True},
        {"do": "sleep", "time": "2ms"}, {"do": "sync-dirty-log"},
        {"do": "sleep", "time": "2ms"}, {"do": "sync-dirty-log"}, {"do": "wait"},
    ]  # fmt: skip
    other = "lazy-drop" if policy == "write-protect" else "write-protect"
    policies = {"baseline": policy, "compare": [other]}
    return setting(phases, vcpus=1, memory="8MiB", policies=policies, **more)


def test_a_call_that_looks_again_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control of the theorem."""
    made = rated("write-protect", workloads={"it": by_rate(1.0)})
    right = ends(made, "write-protect", 1, COMPILED)
    assert right == ends(made, "write-protect", 1, COMPILED, EVERY_POINT)
    no_looks(monkeypatch)
    assert right != ends(made, "write-protect", 1, COMPILED)


PER_PAGE = 200.0  # writes a second


def by_rate(times: float) -> dict[str, Any]:
    return {
        "pattern": "dirty-rate", "time": "5ms",
        "classes": [{"share": "100%", "writes": times * PER_PAGE, "reads": 100.0}],
    }  # fmt: skip


def dirty(made: Setting, policy: str, seeds: range) -> np.ndarray:
    """What the two syncs find, shape (seeds, 2)."""
    traces = [simulate(make_plan(made, policy, seed), engine=COMPILED) for seed in seeds]
    return np.array([[p.dirty for p in t.phases if p.do == "sync-dirty-log"] for t in traces])


def test_rates_equal_accesses_that_are_drawn_one_by_one() -> None:
    """In distribution, over seeds; a guest that writes a tenth more is told apart."""
    from scipy.stats import ks_2samp

    nothing = dict.fromkeys(("t_hit_2M", "t_walk_4K", "t_write"), "0ns")
    per_second = 2048 * (PER_PAGE + 100.0)
    drawn = {
        "pattern": "uniform", "accesses_per_page": 1.6,
        "writes": f"{PER_PAGE / (PER_PAGE + 100.0):.6%}",
    }  # fmt: skip
    phases = [
        {"do": "write"}, {"do": "enable-logging"},
        {"do": "run", "workload": "it", "background": True,
         "think": {"gamma": {"mean": f"{1e9 / per_second:.3f}ns", "cv": 1.0}}},
        {"do": "sleep", "time": "2ms"}, {"do": "sync-dirty-log"},
        {"do": "sleep", "time": "2ms"}, {"do": "sync-dirty-log"}, {"do": "wait"},
    ]  # fmt: skip
    by_access = setting(
        phases, vcpus=1, memory="8MiB", workloads={"it": drawn}, host={"costs": nothing},
        policies={"baseline": "write-protect", "compare": ["lazy-drop"]},
    )  # fmt: skip
    seeds = 100
    one = dirty(by_access, "write-protect", range(seeds))
    two = dirty(
        rated("write-protect", workloads={"it": by_rate(1.0)}), "write-protect",
        range(1000, 1000 + seeds),
    )  # fmt: skip
    more = dirty(
        rated("write-protect", workloads={"it": by_rate(1.1)}), "write-protect",
        range(2000, 2000 + seeds),
    )  # fmt: skip
    for sync in range(2):
        assert ks_2samp(one[:, sync], two[:, sync]).pvalue > 0.005
        assert ks_2samp(one[:, sync], more[:, sync]).pvalue < 1e-6, "control"


def test_runs_of_one_seed_are_paired_across_policies() -> None:
    """The variance of the difference is well below that of runs with seeds of their own."""

    def of(policy: str, seeds: range) -> np.ndarray:
        return dirty(rated(policy, workloads={"it": by_rate(1.0)}), policy, seeds)[:, 1]

    base, same, other = (
        of("write-protect", range(60)), of("lazy-drop", range(60)), of("lazy-drop", range(60, 120)),
    )  # fmt: skip
    assert np.var(base - same) < 0.7 * (np.var(base) + np.var(same))
    assert np.var(base - other) > 0.7 * (np.var(base) + np.var(other)), "control"
