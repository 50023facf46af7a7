"""An open-loop service before, during and after a migration."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from mmusim.engine import simulate
from mmusim.engine.choice import COMPILED, SIMPY
from mmusim.engine.state.planned_run import RUN_LIMIT
from mmusim.metrics.measure import measure
from mmusim.metrics.service import of_service, recovered, since_request, waiting
from mmusim.metrics.stored import from_record, to_record
from mmusim.plan.make import make_plan
from mmusim.tests.support.migrations import FREE
from mmusim.tests.support.settings import setting
from mmusim.trace.records import MigrationTrace, Served, Trace

EVERY_NS = 200_000
DOWNTIME_NS = 30_000_000


def served(engine: str = COMPILED, limit: int = RUN_LIMIT, **more: Any) -> Trace:
    """A guest with regular requests on a host on which only stopping takes time."""
    work = {
        "pattern": "open-loop-requests", "requests": 50, "interarrival": f"{EVERY_NS}ns",
        "arrivals": "regular", "touches": 4, "writes": "10%",
    }  # fmt: skip
    phase = {"do": "migrate", "workload": "work", "lead": "20050us", "tail": "40ms"} | more
    network = {"bandwidth": "200MB/s", "max-bandwidth": "0B/s", "downtime-limit": "300ms"}
    made = setting(
        [{"do": "write"}, phase], vcpus=2, memory="8MiB", workloads={"work": work},
        vm={"kernel": "linux-6.13"}, costs=FREE | {"c_device_state": f"{DOWNTIME_NS}ns"},
        policies={"baseline": "linux-6.13", "compare": ["linux-6.13+legacy"]},
        driver={"migration": network},
    )  # fmt: skip
    plan = make_plan(made, "linux-6.13", 1)
    return simulate(plan, engine=engine, run_limit=limit)


def migration_of(trace: Trace) -> MigrationTrace:
    found = trace.phases[-1].migration
    assert found is not None
    return found


def test_what_waits_at_the_end_is_what_arrived_while_the_guest_was_stopped() -> None:
    """Closed form: regular arrivals of two vCPUs in the downtime; before the request none waits."""
    m = migration_of(served())
    began, asked, ended, last = m.service_marks
    assert m.outcome == "completed"
    assert asked.at_ns - began.at_ns == 20_050_000
    assert last.at_ns - ended.at_ns == 40_000_000
    assert waiting(asked) == 0, "control: nothing stops the guest"
    assert m.downtime_ns >= DOWNTIME_NS
    assert waiting(ended) == pytest.approx(2 * m.downtime_ns / EVERY_NS, abs=2)
    assert waiting(last) == 0
    assert last.arrived == last.served == pytest.approx(2 * (last.at_ns - began.at_ns) / EVERY_NS,
                                                        abs=4)  # fmt: skip


def test_counts_only_grow_and_laps_go_on_without_a_gap() -> None:
    m = migration_of(served())
    points = since_request(m)
    assert len(points) > 60
    assert points[0].at_ns == -20_050_000
    for one, after in itertools.pairwise(points):
        assert one.at_ns < after.at_ns
        assert 0 <= one.served <= after.served
        assert one.arrived <= after.arrived
        assert after.served <= after.arrived
    assert points[-1].arrived > 2 * 3 * 50, "several laps"


def test_readings_are_the_same_on_both_engines_and_for_every_length_of_runs() -> None:
    fast = served()
    assert fast == served(SIMPY)
    assert fast == served(limit=1)
    other = migration_of(served(lead="21ms"))
    assert other.service != migration_of(fast).service, "control"


def test_without_lead_and_tail_nothing_is_followed_and_nothing_changes() -> None:
    without = migration_of(served(lead="0ns", tail="0ns"))
    assert without.service == without.service_marks == ()
    assert "served_during" not in of_service(without)
    lead = migration_of(served(tail="0ns"))
    assert lead.service_marks[2] == lead.service_marks[3]
    assert "served_after" not in of_service(lead)


def test_metrics_of_a_service_survive_storage() -> None:
    made = measure(served())
    assert made.values["served_before"] == 1
    assert made.values["served_during"] < 0.7
    assert made.values["served_after"] > 1.5
    assert made.values["most_waiting"] == pytest.approx(2 * DOWNTIME_NS / EVERY_NS, rel=0.1)
    assert 0 < made.values["service_recovery"] < 2e6
    again = from_record(made.policy, made.seed, to_record(made))
    assert again.service == made.service
    assert again.blocked is None


def test_a_backlog_that_stays_has_no_recovery() -> None:
    points = [Served(0, 0, 0), Served(10, 5, 5), Served(20, 9, 5), Served(30, 12, 10)]
    assert recovered(points, points[2], 1) is None
    assert recovered([*points, Served(40, 13, 12)], points[2], 1) == 40
