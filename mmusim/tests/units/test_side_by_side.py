"""Levels of vCPUs side by side, found again in made-up samples."""

from __future__ import annotations

import numpy as np
import pytest

from mmusim.calibration.fault_costs import fault_costs
from mmusim.calibration.samples import Samples
from mmusim.calibration.side_by_side import MIN_MACHINES, together, without_levels

MACHINES = 40
FAULT_NS = 16_000.0


def probed(slow: float, wait_ns: float = 0.0, machines: int = MACHINES) -> Samples:
    """Machines on which every fault of the second vCPU takes longer by a factor.

    A tenth of the faults side by side waits.
    """
    rng, samples = np.random.default_rng(7), Samples()

    def faults(level: float, waits: float) -> np.ndarray:
        own = level * FAULT_NS * (1 + 0.01 * rng.standard_normal(240))
        return own + np.where(rng.random(240) < 0.1, waits, 0.0)

    for _ in range(machines):
        samples.add("contention/alone", faults(1.0, 0.0))
        samples.add("contention/both", faults(1.0, wait_ns))
        samples.add("contention/both", faults(slow, wait_ns))
        samples.add("fault/slow/write-protected-4K", faults(1.0, 0.0))
        samples.add("flush/in-flight", [[1.0, 1.0, 1.0, 1.0, 1.0]])
    samples.add("clock", np.zeros(8))
    samples.add("cpuid", np.full(100, 10_000.0))
    return samples


def test_levels_are_found_again() -> None:
    pairs = together(probed(1.4))
    assert len(pairs) == MACHINES
    assert np.mean(pairs, axis=0) == pytest.approx([1.0, 1.4], rel=0.005)


def test_too_few_machines_and_old_samples_give_none() -> None:
    assert together(probed(1.4, machines=MIN_MACHINES - 1)) == []
    assert together(Samples()) == []
    lacking = probed(1.4)
    lacking.arrays["contention/both"].pop()
    assert together(lacking) == []


def test_a_slower_processor_is_no_wait_for_the_lock() -> None:
    found = fault_costs(probed(1.4), None)["c_lock_section"]
    assert found.provenance == "derived"
    assert "not significant" in found.note


def test_a_wait_is_none_of_the_processor() -> None:
    """Control: what only some faults wait is left when levels are taken out."""
    found = fault_costs(probed(1.4, wait_ns=2_000.0), None)["c_lock_section"]
    assert found.provenance == "measured"
    alone, both = without_levels(probed(1.4, wait_ns=2_000.0))
    more = np.mean(np.concatenate(both)) - np.mean(np.concatenate(alone))
    assert more == pytest.approx(2_000 / 10 / 1.2, rel=0.25), "at the median level alone"
    pairs = np.array(together(probed(1.4, wait_ns=2_000.0)))
    assert pairs.mean(axis=0) == pytest.approx([1.0, 1.4], rel=0.01), "the median waits little"
