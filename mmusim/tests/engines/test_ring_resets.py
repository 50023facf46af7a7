"""Resets of dirty rings: masks that nobody can tell apart are one event, with the same trace."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from mmusim.engine.choice import COMPILED, SIMPY
from mmusim.engine.compiled.shared import CompiledLock
from mmusim.engine.processes import dirty_rings
from mmusim.engine.state.mmu_lock import SpinLock
from mmusim.plan.make import Plan
from mmusim.tests.support.agreement import differences, ends
from mmusim.tests.support.migrations import migrating

LOCKS: dict[str, type[SpinLock]] = {SIMPY: SpinLock, COMPILED: CompiledLock}


def plan_of(policy: str = "dirty-ring", entries: int = 512) -> Plan:
    """Two vCPUs that fill their rings while the other's is reset."""
    plan = migrating(policy, think="3us", max_time="30ms", workload={"writes": "100%"})
    return dataclasses.replace(plan, ring_entries=entries)


@pytest.mark.parametrize("engine", [SIMPY, COMPILED])
@pytest.mark.parametrize(
    ("policy", "entries", "together"),
    [("dirty-ring", 512, True), ("linux-6.13+pml+dirty-ring", 1024, False)],
    ids=["dirty-ring", "control: PML logs writes that are under way"],
)
def test_masks_in_one_event_leave_the_trace_as_it_is(
    policy: str, entries: int, together: bool, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, counts = LOCKS[engine], list[int]()
    was_held = lock.was_held

    def counted(held: Any, times_ns: list[int]) -> None:
        counts.append(len(times_ns))
        was_held(held, times_ns)

    monkeypatch.setattr(lock, "was_held", counted)
    trace = ends(plan_of(policy, entries), engine)
    assert trace.counters["ring_entries"] > 1000
    assert (sum(counts) > 10 * max(1, len(counts))) == together
    monkeypatch.setattr(dirty_rings, "undisturbed_ns", lambda _: 0.0)
    assert not list(differences(trace, ends(plan_of(policy, entries), engine)))


def test_a_reset_that_looks_at_nobody_has_another_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control."""
    trace = ends(plan_of(), SIMPY)
    monkeypatch.setattr(dirty_rings, "undisturbed_ns", lambda _: math.inf)
    assert list(differences(trace, ends(plan_of(), SIMPY)))
