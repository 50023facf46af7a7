"""Work that moves is told from work that vanishes, and the ledger closes to the nanosecond."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mmusim.comparison.decomposition import (
    OTHER,
    WORK,
    Decomposition,
    Part,
    decompose,
    mean_decomposition,
)
from mmusim.comparison.pairing import UnlikeRunsError
from mmusim.engine import simulate
from mmusim.metrics.measure import Metrics, measure
from mmusim.metrics.stored import from_record, to_record
from mmusim.plan.make import make_plan
from mmusim.tests.support.settings import setting
from mmusim.vocabulary import CAUSES, COSTS


def run(policy: str, seed: int = 1, writes: str = "10%") -> Metrics:
    made = setting(
        [
            {"do": "write"},
            {"do": "enable-logging"},
            {"do": "run", "workload": "mixed", "name": "mixed"},
            {"do": "sync-dirty-log"},
        ],
        vcpus=2,
        memory="16MiB",
        driver={"measure": "mixed"},
        workloads={"mixed": {"pattern": "uniform", "accesses_per_page": 2.0, "writes": writes}},
    )
    return measure(simulate(make_plan(made, policy, seed)))


@pytest.mark.parametrize("writes", ["0%", "5%", "100%"])
def test_the_parts_sum_to_the_whole(writes: str) -> None:
    a, b = run("eager-drop", writes=writes), run("lazy-drop", writes=writes)
    one = decompose(a, b)
    assert one.host_ns == b.values["protect_time"] - a.values["protect_time"]
    assert one.guest_ns == sum(b.ledger.values()) - sum(a.ledger.values())
    assert one.host_ns + one.guest_ns == sum(part.net_ns for part in one.parts)


def test_a_line_that_is_left_out_opens_the_ledger() -> None:
    """Negative control."""
    a, b = run("eager-drop"), run("lazy-drop")
    less = replace(b, ledger={cause: ns for cause, ns in b.ledger.items() if cause != "fault_slow"})
    assert decompose(a, less).guest_ns != sum(b.ledger.values()) - sum(a.ledger.values())


def test_dropping_moves_to_the_guest_and_read_faults_vanish() -> None:
    """Large sptes are zapped by the host or by the first write; reads of kept ones do not fault."""
    parts = {part.kind: part for part in decompose(run("eager-drop"), run("lazy-drop")).parts}
    dropping = parts["dropping large sptes"]
    assert dropping.host_ns < 0 < dropping.guest_ns
    assert dropping.moved_ns == min(-dropping.host_ns, dropping.guest_ns)
    reads_only = decompose(run("eager-drop", writes="0%"), run("lazy-drop", writes="0%"))
    parts = {part.kind: part for part in reads_only.parts}
    assert parts["dropping large sptes"].moved_ns == 0, "nobody drops them"
    assert parts["handling faults"].guest_ns < 0
    assert reads_only.vanished_ns > 0
    assert reads_only.moved_ns == 0


def test_what_moves_and_what_vanishes_by_hand() -> None:
    parts = (
        Part("dropping large sptes", -100, 80),
        Part("handling faults", 0, 30),
        Part("flushing TLBs", 5, -9),
        Part("time that the guest has left", 0, -110),
    )
    one = Decomposition(baseline="a", candidate="b", parts=parts)
    assert [part.moved_ns for part in parts] == [80, 0, -5, 0]
    assert one.moved_ns == 75
    assert one.vanished_ns == 20 + 4
    assert one.new_ns == 30
    assert (one.host_ns, one.guest_ns) == (-95, -9)


def test_a_run_against_itself_has_no_parts() -> None:
    assert decompose(run("lazy-drop"), run("lazy-drop")).parts == ()


def test_the_mean_is_that_of_paired_seeds() -> None:
    a, b = ([run(policy, seed) for seed in (1, 2)] for policy in ("eager-drop", "lazy-drop"))
    both = [decompose(*pair) for pair in zip(a, b, strict=True)]
    mean = mean_decomposition(a, b)
    assert mean.host_ns == pytest.approx(sum(one.host_ns for one in both) / 2)
    with pytest.raises(UnlikeRunsError):
        mean_decomposition(a, b[::-1])


def test_every_cause_is_of_some_kind_of_work_and_every_line_is_known() -> None:
    """A name that is misspelt would fall under anything else."""
    host = {line for lines, _ in WORK.values() for line in lines}
    guest = {cause for _, causes in WORK.values() for cause in causes}
    waits = {"flush", "srcu_wait", "mmu_lock_wait", "slots_lock_wait", "run_delay"}
    assert host <= set(COSTS) | waits
    assert guest <= set(CAUSES)
    rest = set(CAUSES) - guest
    assert rest == {
        "interference",
        "user_exit",
        "throttle",
        "paused",
        "postcopy_wait",
        "snapshot_wait",
    }
    assert WORK[OTHER] == ((), ())


def test_a_window_has_the_operations_that_ended_in_it_and_its_own_time() -> None:
    """What is in no window is left out; two windows that part a run sum to it."""

    def windowed(policy: str) -> Metrics:
        made = setting(
            [
                {"do": "write"},
                {"do": "run", "workload": "mixed", "name": "mixed", "background": True},
                {"do": "enable-logging", "at": "20us"},
                {"do": "sync-dirty-log", "at": "700us"},
                {"do": "wait"},
            ],
            vcpus=2,
            memory="16MiB",
            driver={
                "measure": "early",
                "windows": [
                    {"name": "early", "from": "mixed", "to": "end of enable-logging"},
                    {
                        "name": "late",
                        "from": "end of enable-logging",
                        "to": "end of sync-dirty-log",
                    },
                ],
            },
            workloads={"mixed": {"pattern": "uniform", "accesses_per_page": 2.0, "writes": "10%"}},
        )
        return measure(simulate(make_plan(made, policy, 1)))

    a, b = windowed("eager-drop"), windowed("lazy-drop")
    for run in (a, b):
        early, late = run.window_costs["early"].host, run.window_costs["late"].host
        assert "c_srcu" in early
        assert "c_srcu" not in late
        assert "c_get_floor" in late
        assert sum(early.values()) + sum(late.values()) == run.values["protect_time"]
        assert run.window_costs["early"].guest == run.ledger, "it is what is measured"
    parts = [decompose(a, b, window) for window in ("early", "late")]
    assert sum(one.host_ns for one in parts) == decompose(a, b).host_ns
    assert parts[0].guest_ns == sum(b.ledger.values()) - sum(a.ledger.values())
    assert parts[1].host_ns != decompose(a, b).host_ns, "control"
    with pytest.raises(KeyError):
        decompose(a, b, "later")
    assert from_record("lazy-drop", 1, to_record(b)).window_costs == b.window_costs
