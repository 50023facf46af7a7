"""Metrics that every run has, and quantiles that say little."""

from __future__ import annotations

import pytest

from mmusim.comparison.compare import compare
from mmusim.comparison.pairing import UnlikeRunsError, values_of
from mmusim.engine import simulate
from mmusim.metrics.few_beyond import all_few_beyond, few_beyond
from mmusim.metrics.measure import Metrics, measure
from mmusim.metrics.undefined import why_undefined
from mmusim.plan.make import make_plan
from mmusim.tests.support.settings import busy_setting, setting
from mmusim.vocabulary.metrics import METRICS, QUANTILES, STALL_STATISTICS

REQUESTS = {
    "pattern": "open-loop-requests", "requests": 100, "interarrival": "2us", "touches": 2,
    "writes": "20%",
}  # fmt: skip


def run(*, vcpus: int = 1, requests: int = 100, seed: int = 1) -> Metrics:
    """A run of requests beside a host that writes protection."""
    phases = [
        {"do": "write"}, {"do": "run", "workload": "asked", "background": True, "name": "busy"},
        {"do": "enable-logging"}, {"do": "sleep", "time": "20us"}, {"do": "sync-dirty-log"},
    ]  # fmt: skip
    made = setting(
        phases, vcpus=vcpus, memory="8MiB", workloads={"asked": REQUESTS | {"requests": requests}},
        driver={"measure": "busy"},
    )  # fmt: skip
    return measure(simulate(make_plan(made, "eager-drop", seed)))


def test_a_run_without_a_stall_has_stalls_of_nothing() -> None:
    still = setting([{"do": "write"}, {"do": "read"}], memory="4MiB")
    values = measure(simulate(make_plan(still, "eager-drop", 1))).values
    assert values["stalls"] == 0
    assert {values[f"{part}_stall"] for part in STALL_STATISTICS} == {0}
    busy = measure(simulate(make_plan(busy_setting(), "eager-drop", 1))).values
    assert busy["max_stall"] > busy["p50_stall"] > 0, "negative control"


def test_faults_are_those_of_the_guest_also_in_the_background() -> None:
    """A background phase of the host's script ends at once; the guest's stretch does not."""
    measured = run()
    assert measured.values["stalls"] > 0
    assert measured.values["faults"] > 0


@pytest.mark.parametrize(
    ("requests", "metric", "marked"),
    [
        (150, "p999_request", True), (150, "p99_request", True), (150, "p50_request", False),
        (999, "p99_request", True), (1000, "p99_request", False), (150, "max_request", False),
        (150, "mean_request", False), (150, "phase_time", False),
    ],
)  # fmt: skip
def test_a_quantile_with_fewer_than_ten_beyond_is_marked(
    requests: int, metric: str, marked: bool
) -> None:
    said = few_beyond(run(requests=requests).values, metric)
    assert bool(said) == marked
    if marked:
        assert f"{metric} is a quantile of {requests} times, beyond which" in said


def test_the_requests_of_all_vcpus_count() -> None:
    assert few_beyond(run(vcpus=4, requests=249).values, "p99_request")
    assert not few_beyond(run(vcpus=4, requests=250).values, "p99_request")


def test_waits_of_postcopy_are_marked() -> None:
    """p99 of 40 faults is their maximum."""
    for count, marked in ((999, True), (1000, False)):
        values = {"postcopy_faults": count, "p99_postcopy_fault": 1.0}
        assert bool(few_beyond(values, "p99_postcopy_fault")) == marked
        assert not few_beyond(values, "max_postcopy_fault")
    phases = [{"do": "write"}, {"do": "migrate", "workload": "it"}]
    made = setting(
        phases, memory="16MiB", vm={"kernel": "linux-6.13"},
        workloads={"it": {"pattern": "dirty-rate", "dirty_rate": "300MB/s", "over": "10ms"}},
        driver={"migration": {
            "bandwidth": "100MB/s", "max-bandwidth": "0B/s", "downtime-limit": "1ms",
            "postcopy_after": 1,
        }},
        policies={"baseline": "linux-6.13", "compare": ["linux-6.13+pml"]},
    )  # fmt: skip
    found = measure(simulate(make_plan(made, "linux-6.13", 1)))
    assert found.blocked is not None
    assert 0 < found.values["postcopy_faults"] == found.blocked.count < 1000
    assert few_beyond(found.values, "p99_postcopy_fault")


def test_comparisons_carry_the_mark() -> None:
    runs = [run(seed=seed) for seed in (1, 2, 3)]
    assert "10 are needed" in compare(runs, runs, "p99_request").caveat
    assert compare(runs, runs, "mean_request").caveat == ""
    assert compare(runs, runs, "phase_time").caveat == ""


def test_who_asks_for_what_a_run_does_not_have_is_told_why() -> None:
    still = setting([{"do": "write"}], memory="4MiB")
    without = [measure(simulate(make_plan(still, "eager-drop", 1)))]
    with pytest.raises(UnlikeRunsError, match="which has no log operation, or no work for one"):
        values_of(without, "moved_work")
    assert all(why_undefined(metric) for metric in METRICS.names)
    assert why_undefined("p99999_read").startswith("fewer than 1,000,000")
    assert why_undefined("p99_request").startswith("no requests")


def test_every_quantile_above_the_median_can_be_marked() -> None:
    """Quantiles of waits for a snapshot had no count, so a p99 of three waits was not marked."""
    counted = {
        name: 3.0 for name, metric in METRICS.items() if metric.unit == "" and "p9" not in name
    }
    values = dict.fromkeys(METRICS, 1e6) | counted
    deep = {name for name in METRICS if QUANTILES.get(name.partition("_")[0], 0) > 0.5}
    assert set(all_few_beyond(values)) == deep
    assert not all_few_beyond(dict.fromkeys(METRICS, 1e9)), "negative control"
