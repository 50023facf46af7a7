"""What a run costs: events per fault beside contention, memory beside the length of a run."""

from __future__ import annotations

import importlib
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import simpy
from typer.testing import CliRunner

from mmusim.base.histogram import Histogram
from mmusim.cli import app
from mmusim.cli.shared import lock_model
from mmusim.cli.shared.bench_extras import EXTRAS
from mmusim.cli.shared.bench_history import read
from mmusim.cli.shared.bench_scale import Cost, slopes
from mmusim.costs.distributions import Constant
from mmusim.costs.machine import LAWS
from mmusim.engine import simulate
from mmusim.engine.state.mmu_lock import SpinLock
from mmusim.plan.make import make_plan
from mmusim.tests.support.settings import setting
from mmusim.trace.records import Trace


class Events:
    """Counts the events of a run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        step = simpy.Environment.step

        def counted(env: simpy.Environment) -> None:
            self.count += 1
            step(env)

        monkeypatch.setattr(simpy.Environment, "step", counted)

    def per_fault(self, policy: str, vcpus: int, **vm: Any) -> float:
        """Events for each slow fault of vCPUs that do nothing else."""
        regions = max(8, vcpus)
        phases = [{"do": "enable-logging"}, {"do": "write", "pages": f"{800 / regions}%"}]
        made = setting(phases, vcpus=vcpus, memory=f"{2 * regions}MiB", vm=vm)
        self.count = 0
        trace = simulate(make_plan(made, policy, 1), engine="simpy")
        assert trace.counters["pf_taken"] == 4_096
        if not trace.lock.shared.acquisitions:
            assert (trace.lock.wait_ns > 0) == (vcpus > 1)
        return self.count / 4_096


@pytest.mark.parametrize("policy", ["linux-3.16", "linux-6.13"])
def test_contention_adds_no_more_than_a_constant_to_a_fault(
    policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting adds two events at most, however many wait: at 256 vCPUs as at 16."""
    events = Events(monkeypatch)
    flushes = 1 / 4_096  # each vCPU serves the flush of enabling once, since 6.0
    alone, *contended = (
        events.per_fault(policy, n, kernel=policy) - n * flushes for n in (1, 16, 256)
    )
    assert 3 <= alone <= 6
    for found in contended:
        assert found <= alone + 2.1
        assert found == pytest.approx(contended[0], rel=0.03)


def test_waiters_that_look_again_and_again_would_be_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Negative control: each grant wakes everybody who waits, as a lock that is polled does."""
    release = SpinLock.release

    def woken(self: SpinLock, who: int) -> None:
        for _ in range(self.waiters):
            self._env.timeout(0)
        release(self, who)

    monkeypatch.setattr(SpinLock, "release", woken)
    events = Events(monkeypatch)
    few, many = (events.per_fault("linux-3.16", n, kernel="linux-3.16") for n in (16, 64))
    assert many > 2 * few


SLACK = 160 * 1024
"""Bytes by which the peak differs from one run to the next."""
FEW_LAPS, MANY_LAPS = "1ms", "20ms"
"""A histogram takes memory from its first time on: after 1 ms each has one."""


def laps(time: str) -> tuple[Trace, int]:
    """A guest that goes round for so long; and the most memory that the run held."""
    phases = [
        {"do": "write"}, {"do": "enable-logging"},
        {"do": "touch", "writes": "30%", "background": True, "repeat": True, "name": "busy"},
        {"do": "sleep", "time": time}, {"do": "wait"},
    ]  # fmt: skip
    made = setting(phases, vcpus=1, memory="2MiB", vm={"kernel": "linux-6.13"},
                driver={"measure": "busy"})  # fmt: skip
    plan = make_plan(made, "linux-6.13", 1)
    tracemalloc.start()
    try:
        trace = simulate(plan, engine="simpy")
        return trace, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_accesses() -> None:
    """Forty times the accesses in the memory of the first few laps."""
    laps("50us")  # imports and caches
    (short, before), (long, after) = laps(FEW_LAPS), laps(MANY_LAPS)
    few, many = (t.phases[t.measured].reads.count for t in (short, long))
    assert many > 40 * few > 10_000
    assert after < before + SLACK, (before, after)


def test_a_list_of_latencies_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control."""
    kept: list[Any] = []
    add = Histogram.add

    def keeping(self: Histogram, ns: Any) -> None:
        kept.append(ns)
        add(self, ns)

    laps("50us")
    monkeypatch.setattr(Histogram, "add", keeping)
    (_, before), (_, after) = laps(FEW_LAPS), laps(MANY_LAPS)
    assert after > before + SLACK, (before, after)


def test_bench_reports_faults_per_second_by_vcpus_and_keeps_ratios(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bench: Any = importlib.import_module("mmusim.cli.speed.bench")
    monkeypatch.setattr(bench, "ROUNDS", 1)
    monkeypatch.setattr(bench, "PAIRS", 2)
    monkeypatch.setattr(bench, "FAULTS", 2_048)
    plan = bench._plan

    def small(
        passes: int, vcpus: int = 1, regions: int = 4, pages: str = "100%", more: Any = None
    ) -> Any:
        return plan(min(passes, 4), vcpus, regions, pages, more)

    monkeypatch.setattr(bench, "_plan", small)
    monkeypatch.delenv("MMUSIM_ENGINE")
    history = tmp_path / "kept" / "history.csv"
    command = ["bench", "--append", str(history), "--json"]
    printed = json.loads(CliRunner().invoke(app, command).stdout)
    rows, extras = printed["rows"], printed["extras"]
    told = [(row["with"], row["vcpus"]) for row in extras]
    assert told == [(extra.name, vcpus) for extra in EXTRAS for vcpus in (1, 16, 64)]
    assert all(row["lowest"] <= row["ratio"] <= row["highest"] for row in extras)
    kept, rows_kept = read(history), [row for row in rows if row["relative_to_SimPy"] > 0]
    told = [(row["work"], row["by"]) for row in rows_kept]
    assert [(row["work"], row["by"]) for row in kept] == told
    ratios = [float(row["ratio"]) for row in kept]
    assert ratios == pytest.approx([row["relative_to_SimPy"] for row in rows_kept], rel=1e-5)
    rates = {row["work"]: row["median_per_second"] for row in rows}
    assert {row["by"] for row in rows} >= {"bare SimPy", "SimPy engine", "compiled engine"}
    for vcpus in (16, 64, 256):
        assert rates[f"slow faults, {vcpus} vCPUs at mmu_lock"] > 0
    assert rates["slow faults, uncontended"] > 0


def test_bench_compares_runs_with_what_is_named_and_runs_without() -> None:
    bench: Any = importlib.import_module("mmusim.cli.speed.bench")
    found = [
        (bench._contended("simpy", 16, extra.without), bench._contended("simpy", 16, extra.with_it))
        for extra in EXTRAS
    ]
    machines, one, four, reach, drawn, curve = found
    assert machines[0].machine is None
    assert all(machines[1].machine.follows(law) for law in LAWS)
    assert machines[1].machine.line_extra(16, 0.65) > 0
    assert [len(plan.driver.windows) for plan in (*one, *four)] == [0, 1, 1, 4]
    assert [plan.tlb for plan in reach] == [None, (1536, 64, 1)]
    assert [plan.curve is not None for plan in (*drawn, *curve)] == [False, False, False, True]
    plain = [isinstance(plan.costs["t_walk_4K"], Constant) for plan in (*drawn, *curve)]
    assert plain == [True, False, False, False], "a constant needs no draw"
    for without, with_it in found:
        assert without.accesses() == with_it.accesses()


def test_the_lock_model_is_the_same_in_c_and_in_python() -> None:
    in_c = lock_model.in_c()
    if in_c is None:
        pytest.skip("there is no C compiler; install gcc or clang")
    assert in_c(30) == lock_model.in_python(30) > 0
    assert in_c(30) != in_c(31)


def test_slopes_are_read_from_the_two_largest_sizes() -> None:
    straight = [Cost("a", n, n * 1e-6) for n in (10, 100, 1000)]
    flat = [Cost("b", n, 2.0) for n in (10, 100)]
    found = slopes([*straight, *flat])
    assert found["a"] == pytest.approx((1, 1000))
    assert found["b"] == (0, 0)


def test_bench_shows_how_cost_grows(tmp_path: Path) -> None:
    figure = tmp_path / "growth.svg"
    command = ["bench", "--scale", "--faults", str(1 << 13), "--to", str(figure), "--json"]
    printed = json.loads(CliRunner().invoke(app, command).stdout)
    assert len(printed["slopes"]) == 4
    assert all(row["processor_s"] > 0 for row in printed["rows"])
    assert "slope" in figure.read_text()
