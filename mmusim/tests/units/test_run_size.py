"""What `show` says of a run's size: no run is larger, and phases of a known length are exact."""

from __future__ import annotations

from typing import Any

import pytest

from mmusim.config.run_size import described, size_of
from mmusim.engine import simulate
from mmusim.metrics.measure import measure
from mmusim.plan.make import make_plan
from mmusim.tests.support.settings import setting

UNIFORM = {"pattern": "uniform", "writes": "100%"}
REQUESTS = {"pattern": "open-loop-requests", "requests": 60, "interarrival": "5us", "touches": 3}


@pytest.mark.parametrize(
    "phase",
    [
        {"do": "write"}, {"do": "read", "pages": "25%"}, {"do": "touch", "writes": "50%"},
        {"do": "touch", "overlap": True}, {"do": "run", "workload": "asked"},
        {"do": "run", "workload": "some"},
    ],
)  # fmt: skip
def test_phases_of_a_known_length_are_counted(phase: dict[str, Any]) -> None:
    """Control: a vCPU more makes more requests, and touches no more pages of its own."""
    for vcpus in (1, 3):
        made = setting(
            [phase], vcpus=vcpus, memory="6MiB", workloads={"asked": REQUESTS, "some": UNIFORM},
            driver={},
        )  # fmt: skip
        values = measure(simulate(make_plan(made, "eager-drop", 1))).values
        (counted,) = size_of(made)
        assert counted.accesses == values["read_count"] + values["write_count"] > 0


def migration(**limits: Any) -> Any:
    """Never converges: pages are dirtied faster than they are sent."""
    parameters = {"bandwidth": "200MB/s", "max-bandwidth": "0B/s", "downtime-limit": "1ms"}
    return setting(
        [{"do": "migrate", "workload": "some", "think": "10us"}], vcpus=2, memory="4MiB",
        workloads={"some": UNIFORM}, driver={"migration": parameters | limits},
    )  # fmt: skip


@pytest.mark.parametrize("limits", [{"max_rounds": 4}, {"max_rounds": 100, "max_time": "60ms"}])
def test_no_migration_makes_more_than_its_bound(limits: dict[str, Any]) -> None:
    """Up to a lap of the workload, which vCPUs finish, and the last stop."""
    made = migration(**limits)
    values = measure(simulate(make_plan(made, "eager-drop", 1))).values
    _, busy = size_of(made)
    lap = sum(made.experiment.workloads["some"].length(512) for _ in range(2))
    done = values["read_count"] + values["write_count"]
    assert done <= busy.accesses + lap
    assert done > busy.accesses / 20, "control: the bound says something"


def test_a_run_without_an_end_in_sight_is_told() -> None:
    """100,000 rounds of a guest that never rests, and the same with a limit in time."""
    lines = described(migration(max_rounds=100_000))
    assert "in a migration, for up to about 35 minutes of guest time" in lines[1]
    assert lines[2] == "max_time, cancel_after and max_rounds of driver.migration bound a migration"
    bounded = described(migration(max_rounds=100_000, max_time="1s"))
    assert "for up to about 1 s of guest time" in bounded[1]
    still = described(setting([{"do": "write"}], memory="4MiB", driver={}))
    assert still[0].startswith("60 runs; in each the guest makes 1,024 accesses")
    assert len(still) == 1, "negative control"


def test_what_goes_on_in_the_background_is_bounded_by_the_host() -> None:
    phases = [
        {"do": "write"},
        {"do": "run", "workload": "some", "background": True, "repeat": True, "think": "1us"},
        {"do": "sleep", "time": "3ms"}, {"do": "wait"},
    ]  # fmt: skip
    made = setting(phases, memory="4MiB", workloads={"some": UNIFORM}, driver={})
    beside = size_of(made)[-1]
    assert (beside.what, beside.ns) == ("guests in the background", 3e6)
    assert 1000 < beside.accesses < 3000
