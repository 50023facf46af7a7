"""Timelines: what the compiled engine writes down is what the SimPy engine tells."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mmusim.base.errors import ConfigError
from mmusim.config.settings import Setting
from mmusim.engine.choice import AUTO, COMPILED, SIMPY
from mmusim.engine.compiled.probe_rows import pass_on
from mmusim.engine.kinds import kind_of
from mmusim.engine.simpy_kind import SimpyKind
from mmusim.engine.simulate import simulate
from mmusim.plan.make import make_plan
from mmusim.tests.support.any_run import runs
from mmusim.tests.support.migrations import migrating
from mmusim.tests.support.settings import busy_setting, setting
from mmusim.timeline.perfetto import trace_events
from mmusim.timeline.record import GUEST, Slice, Timeline, record
from mmusim.trace.records import Probe

BOTH = (SIMPY, COMPILED)


def differences(one: Timeline, other: Timeline) -> Iterator[str]:
    """Say where two timelines differ."""
    for number, (lane, same) in enumerate(zip(one.vcpus, other.vcpus, strict=True)):
        for a, b in zip(lane, same, strict=False):
            if a != b:
                yield f"vCPU {number}: {a} and {b}"
                break
        if len(lane) != len(same):
            yield f"vCPU {number}: {len(lane)} and {len(same)} slices"
    for what in ("holds", "readings", "requests", "phases", "start_ns", "end_ns", "left_out"):
        if getattr(one, what) != getattr(other, what):
            yield what


@given(runs(), st.integers(0, 9999))
@settings(
    max_examples=25, deadline=None, derandomize=True, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
def test_both_engines_record_the_same(run: tuple[str, Setting], seed: int) -> None:
    """Every slice, hold and gauge, whatever the run has."""
    policy, made = run
    slow, fast = (record(make_plan(made, policy, seed), engine=engine) for engine in BOTH)
    assert list(differences(slow, fast)) == []
    assert slow == fast
    assert list(slow.requests) == sorted(slow.requests, key=lambda one: (one.due_ns, one.cpu))


def test_a_row_that_is_lost_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control."""
    plan = make_plan(busy_setting(), "lazy-drop", 1)

    def forgetful(memory: Any, probe: Probe) -> None:
        memory.set("probe_rows_n", max(0, memory.get("probe_rows_n") - 1))
        pass_on(memory, probe)

    slow = record(plan, engine=SIMPY)
    monkeypatch.setattr("mmusim.engine.compiled.probed_vm.pass_on", forgetful)
    assert list(differences(slow, record(plan, engine=COMPILED)))


def test_a_fault_has_the_page_that_it_is_about_and_time_in_the_guest_has_none() -> None:
    plan = make_plan(busy_setting(), "lazy-drop", 1)
    lanes = record(plan, engine=COMPILED).vcpus
    slices = [one for lane in lanes for one in lane]
    of_faults = [one for one in slices if one.state == "fault_slow"]
    assert of_faults
    assert all(0 <= one.gfn < plan.pages for one in of_faults)
    assert len({one.gfn for one in of_faults}) > 10
    assert {one.gfn for one in slices if one.state == GUEST} == {-1}


def test_requests_are_recorded_from_their_arrival_to_their_completion() -> None:
    work = {"pattern": "open-loop-requests", "requests": 30, "interarrival": "2us", "touches": 3}
    served = setting(
        [{"do": "enable-logging"}, {"do": "run", "workload": "served"}],
        vcpus=2, workloads={"served": work},
    )  # fmt: skip
    plan = make_plan(served, "eager-drop", 1)
    slow, fast = (record(plan, engine=engine) for engine in BOTH)
    assert list(differences(slow, fast)) == []
    (guest,) = (phase for phase in fast.phases if phase.guest)
    assert guest.requests.count == len(fast.requests) > 30
    assert guest.requests.total_ns == sum(one.end_ns - one.due_ns for one in fast.requests)
    tracks: dict[int, list[tuple[float, float]]] = {}
    for event in trace_events(fast)["traceEvents"]:
        if event["ph"] == "X" and event["name"] == "request":
            tracks.setdefault(event["tid"], []).append((event["ts"], event["ts"] + event["dur"]))
    assert len(tracks) == 2
    for track in tracks.values():
        assert all(a[1] <= b[0] + 1e-6 for a, b in pairwise(track)), "requests overlap"


def within(timeline: Timeline) -> list[list[tuple[int, int, str]]]:
    """The states of every vCPU in the interval that was asked for."""
    start, end = timeline.start_ns, timeline.end_ns

    def clipped(one: Slice) -> tuple[int, int, str]:
        return max(one.start_ns, start), min(one.end_ns, end), one.state

    return [[clipped(one) for one in lane] for lane in timeline.vcpus]


def test_an_interval_is_the_same_part_of_the_run() -> None:
    plan = make_plan(busy_setting(), "lazy-drop", 1)
    end = simulate(plan, engine=COMPILED).end_ns
    interval: dict[str, Any] = {"start_ns": end // 3, "end_ns": end // 2}
    slow, fast = (record(plan, engine=engine, **interval) for engine in BOTH)
    assert within(slow) == within(fast)
    assert slow.holds == fast.holds
    assert slow.readings == fast.readings
    assert 0 < sum(map(len, fast.vcpus)) < sum(map(len, record(plan, engine=COMPILED).vcpus))


def test_where_there_is_no_room_both_stop_at_the_same_record() -> None:
    plan = make_plan(busy_setting(), "lazy-drop", 1)
    slow, fast = (record(plan, engine=engine, most=500) for engine in BOTH)
    assert "room for 500 records" in fast.left_out
    assert list(differences(slow, fast)) == []


def test_rounds_of_a_migration_are_recorded() -> None:
    slow, fast = (record(migrating(), engine=engine) for engine in BOTH)
    assert list(differences(slow, fast)) == []
    assert any(phase.migration for phase in fast.phases)


class Counts(Probe):
    """A probe of single accesses."""

    def __init__(self) -> None:
        self.accesses = 0

    def accessed(self, cpu: int, gfns: list[int], writes: list[bool], end_ns: int) -> None:
        self.accesses += len(gfns)


def test_a_probe_of_accesses_runs_on_simpy_and_compiled_code_refuses_it() -> None:
    assert isinstance(kind_of(AUTO, Counts()), SimpyKind)
    assert not isinstance(kind_of(COMPILED, Probe()), SimpyKind)
    with pytest.raises(ConfigError, match="does not tell a probe what is accessed"):
        kind_of(COMPILED, Counts())


def test_the_trace_is_the_same_with_a_probe_and_without() -> None:
    plan = make_plan(busy_setting(), "lazy-drop", 1)
    assert simulate(plan, engine=COMPILED, probe=Probe()) == simulate(plan, engine=COMPILED)
