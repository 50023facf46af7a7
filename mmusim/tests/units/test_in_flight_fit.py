"""From gets beside a faulting vCPU to the time in flight; words with dirty bits; levels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mmusim.calibration.fault_costs import LEVELS, fault_costs, levels
from mmusim.calibration.findings import Findings, constant
from mmusim.calibration.in_flight import in_flight
from mmusim.calibration.log_costs import log_costs, words_of
from mmusim.calibration.samples import Samples
from mmusim.config.measured import LEVELLED
from mmusim.config.settings import settings_of
from mmusim.costs.random_streams import Draws
from mmusim.plan.levels import costs_of_vcpus
from mmusim.plan.make import make_plan
from mmusim.tests.support.places import ROOT

PERIOD, WAY, TARGET = 16_000.0, 5_000.0, 30_000.0
FLOOR, WORD, STEP, PAGE, DIRTY_WORD = 1_500.0, 1.0, 2_000.0, 12.0, 60.0


def own(pages: float, dirty: Any, words: Any) -> Any:
    return FLOOR + WORD * pages / 64 + STEP * (dirty > 0) + PAGE * dirty + DIRTY_WORD * words


def probed(way: float = WAY, seed: int = 1) -> Samples:
    """A probe of a machine whose kicks find a vCPU within `way` of the guest, on each side."""
    rng, samples = np.random.default_rng(seed), Samples()
    for _ in range(16):
        dirty, words = rng.integers(1, 500, 12), rng.integers(1, 128, 12)
        waits = (rng.random(12) < 2 * way / PERIOD) * TARGET * rng.uniform(0.8, 1.2, 12)
        ns = own(8192, dirty, words) * rng.uniform(0.97, 1.03, 12) + waits
        samples.add("flush/in-flight", np.column_stack(
            [dirty, words, ns, np.full(12, 5e4), np.full(12, PERIOD)]))  # fmt: skip
        density, some = rng.choice([1, 4, 16, 64], 9), rng.choice([16, 64], 9)
        some[0] = 0
        samples.add("log/get-words", np.column_stack(
            [np.full(9, 16384.0), density * some, some,
             own(16384, density * some, some) * rng.uniform(0.97, 1.03, 9)]))  # fmt: skip
        for pages in (6144.0, 98304.0):
            drawn = np.array([0, 0, 200, 600, 1400])
            found = words_of(np.full(5, pages), drawn.astype(float))
            samples.add("log/get", np.column_stack(
                [np.full(5, pages), drawn, own(pages, drawn, found)]))  # fmt: skip
    return samples


def costs_of(samples: Samples) -> Findings:
    known = {"c_exit": 7_000.0, "c_entry": 7_000.0, "c_flush_target": 45_000.0}
    return log_costs(samples, {}) | {n: constant(ns, None, "given") for n, ns in known.items()}


def test_words_and_pages_are_told_apart() -> None:
    found = log_costs(probed(), {})
    for name, ns in (("c_dirty_word", DIRTY_WORD), ("c_wclear", PAGE), ("c_word", WORD)):
        assert found[name].distribution.mean() == pytest.approx(ns, rel=0.1), name
    samples = probed()
    del samples.arrays["log/get-words"]
    assert "c_dirty_word" not in log_costs(samples, {}), "older samples do not tell"


def test_bits_drawn_at_random_fill_words() -> None:
    pages, dirty = 16384, 300
    rng = np.random.default_rng(3)
    drawn = [len(np.unique(rng.choice(pages, dirty, replace=False) // 64)) for _ in range(200)]
    told = words_of(np.array([float(pages)]), np.array([float(dirty)]))[0]
    assert np.mean(drawn) == pytest.approx(told, rel=0.01)


def test_the_time_in_flight_is_found_again() -> None:
    samples = probed()
    found = in_flight(samples, costs_of(samples))
    assert found["c_in_flight"].distribution.mean() == pytest.approx(WAY, rel=0.15)
    assert found["c_flush_target"].distribution.mean() == pytest.approx(TARGET, rel=0.15)
    sure = found["c_in_flight"].certainty
    assert sure is not None
    assert sure.low < WAY * 1.15
    assert sure.high > WAY


def test_where_nobody_is_waited_for_nothing_is_in_flight() -> None:
    """Negative control: up to a tenth of a fault, which is what counts as noise."""
    samples = probed(way=0.0)
    found = in_flight(samples, costs_of(samples))
    assert found["c_in_flight"].distribution.mean() < 0.07 * PERIOD
    assert "c_flush_target" not in found, "that of vCPUs in the guest stays"
    assert in_flight(Samples(), {}) == {}


def leveled(slow: float) -> Samples:
    """Faults of 80 machines, of which one in eight takes longer by a factor."""
    rng, samples = np.random.default_rng(5), probed()
    samples.add("clock", np.zeros(8))
    samples.add("cpuid", np.full(100, 14_000.0))
    for number in range(80):
        level = slow if number % 8 == 0 else 1.0
        ns = level * 16_000 * (1 + 0.01 * rng.standard_normal(400))
        samples.add("fault/slow/write-protected-4K", ns)
    return samples


def test_levels_are_those_of_the_machines_and_the_table_is_of_one() -> None:
    found = levels(leveled(1.5))
    assert len(found) == LEVELS
    assert sum(level > 1.4 for level in found) == LEVELS // 8
    spread = fault_costs(leveled(1.5), None)["c_fault_slow"].distribution
    assert spread.quantile(0.95) / spread.quantile(0.5) < 1.03, "within a machine"
    assert max(levels(leveled(1.0))) < 1.01, "negative control"
    old = leveled(1.5)
    del old.arrays["flush/in-flight"]
    assert levels(old) == []


def test_a_run_has_a_level_by_its_seed_and_all_policies_the_same() -> None:
    data = {
        "schema": 1, "id": "levels", "question": "?",
        "vm": {"vcpus": 1, "memory": "4MiB", "kernel": "linux-6.18", "mmu": "shadow"},
        "host": {"profile": NEW}, "driver": {"phases": [{"do": "write"}]},
        "policies": {"baseline": "linux-6.18+shadow", "compare": ["none"]},
    }  # fmt: skip
    (setting,) = settings_of(data, "levels", ROOT)
    measurement = setting.profile.measurement
    assert measurement is not None
    means = []
    for seed in range(64):
        costs = [make_plan(setting, policy, seed).costs for policy in ("linux-6.18+shadow", "none")]
        assert costs[0] == costs[1]
        factors = {
            round(costs[0][name].mean() / setting.costs[name].mean(), 6) for name in LEVELLED
        }
        assert len(factors) == 1, "shares of a fault stay"
        means.append(factors.pop())
    assert set(means) <= {round(level, 6) for level in measurement.levels}
    assert len(set(means)) > 16
    for host in ({"variance": "none"}, {"costs": {"c_exit": "1us"}}):
        (own_costs,) = settings_of(data | {"host": {"profile": NEW} | host}, "levels", ROOT)
        assert costs_of_vcpus(own_costs, Draws(1)) == (own_costs.costs, ())


NEW = "emerald-rapids-pvm-2"
