"""Long runs say how far they are, and how long the rest may take."""

from __future__ import annotations

import importlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mmusim.engine import simulate
from mmusim.engine.simulate import Reached, Simulation
from mmusim.execution import workers
from mmusim.execution.progress import ProgressReport, Watch, show_seconds
from mmusim.execution.workers import Job, run_job
from mmusim.experiment.run import run_experiment
from mmusim.plan.make import make_plan
from mmusim.tests.support.experiment_files import MINIMAL
from mmusim.tests.support.migrations import migrating
from mmusim.tests.support.settings import busy_setting, only, setting

cli: Any = importlib.import_module("mmusim.cli.shared.progress")


def watch(clock: list[float]) -> tuple[Watch, list[ProgressReport], list[Job]]:
    settings = [setting([{"do": "write"}], memory=memory) for memory in ("12MiB", "4MiB")]
    jobs = [Job(number, "eager-drop", seed) for number in (0, 1) for seed in (1, 2)]
    told: list[ProgressReport] = []
    return Watch(settings, jobs, 6, told.append, lambda: clock[0]), told, jobs


def test_the_estimate_is_what_is_left_at_the_speed_so_far() -> None:
    """Of 12 + 12 + 4 + 4 MiB, 12 and a quarter of 12 took 30 s: 17 are left, 34 s."""
    clock = [100.0]
    seen, told, jobs = watch(clock)
    seen.beat(jobs[0], Reached(0, 0.0))
    clock[0] += 20
    seen.ended(jobs[0])
    assert (told[-1].finished, told[-1].total, told[-1].done) == (3, 6, 3)
    assert told[-1].left_s == pytest.approx(20 * 20 / 12)
    clock[0] += 10
    seen.beat(jobs[1], Reached(5_000_000, 0.25))
    assert told[-1].left_s == pytest.approx(30 * 17 / 15)
    assert told[-1].done == 3.25
    assert str(told[-1]) == ("3/6 runs, eager-drop seed 2 at 5 ms, 25% done, about 34 s left")
    for job in jobs[1:]:
        seen.ended(job)
    assert str(told[-1]) == "6/6 runs, last eager-drop seed 2"


def test_too_early_there_is_no_estimate() -> None:
    seen, told, jobs = watch([0.0])
    seen.beat(jobs[0], Reached(7, None))
    assert told[-1].left_s is None
    assert str(told[-1]) == "2/6 runs, eager-drop seed 1 at 7 ns"
    seen.ended(jobs[0])
    seen.beat(jobs[0], Reached(9, 1.0))
    assert len(told) == 2, "a beat that comes late says nothing"


def test_the_estimate_leaves_out_the_time_in_which_the_engine_is_compiled() -> None:
    """And negative control: a run that starts later does not set the clock back."""
    clock = [0.0]
    seen, told, jobs = watch(clock)
    clock[0] = 60.0
    seen.beat(jobs[0], Reached(0, 0.0))
    clock[0] = 61.0
    seen.ended(jobs[0])
    assert told[-1].left_s == pytest.approx(1 * 20 / 12)
    seen.beat(jobs[1], Reached(0, 0.0))
    assert told[-1].left_s == pytest.approx(1 * 20 / 12)


def test_a_second_worker_that_begins_later_leaves_the_clock_as_it_is() -> None:
    """The first run has done 6 of 32 MiB in 10 s when the other worker begins: 26 are left."""
    clock = [0.0]
    seen, told, jobs = watch(clock)
    seen.beat(jobs[0], Reached(0, 0.0))
    clock[0] = 10.0
    seen.beat(jobs[0], Reached(0, 0.5))
    seen.beat(jobs[1], Reached(0, 0.0))
    assert told[-1].left_s == pytest.approx(10 * 26 / 6)


def test_a_first_run_that_ends_before_it_reports_gives_no_estimate() -> None:
    """It may have waited for the compiler. The second run has 12 of 20 MiB and took 3 s."""
    clock = [0.0]
    seen, told, jobs = watch(clock)
    clock[0] = 60.0
    seen.ended(jobs[0])
    assert told[-1].left_s is None
    clock[0] = 63.0
    seen.ended(jobs[1])
    assert told[-1].left_s == pytest.approx(3 * 8 / 12)


@pytest.mark.parametrize(("seconds", "text"), [(89, "89 s"), (720, "12 min"), (12_600, "3.5 h")])
def test_times_to_wait(seconds: float, text: str) -> None:
    assert show_seconds(seconds) == text


def test_a_simulation_can_be_looked_at_from_another_thread() -> None:
    """Simulated time and share only grow, the share ends at 1, and the run does not notice."""
    plan = make_plan(busy_setting(policies=only("eager-drop")), "eager-drop", 1)
    simulation = Simulation(plan, engine="simpy")
    seen, over = [simulation.reached()], threading.Event()

    def look() -> None:
        while not over.wait(0.002):
            seen.append(simulation.reached())

    thread = threading.Thread(target=look)
    thread.start()
    trace = simulation.run()
    over.set()
    thread.join()
    assert trace.fingerprint == simulate(plan).fingerprint
    assert seen == sorted(seen)
    assert len({r.share for r in seen}) > 3, "nothing was seen on the way"
    assert seen[0] == (0, 0.0)
    assert simulation.reached() == (trace.end_ns, 1.0)


def test_a_migration_tells_how_much_of_the_memory_has_arrived() -> None:
    """From 0 to 1, never back, although pages that were sent become dirty again."""
    simulation = Simulation(migrating(bandwidth="10MB/s", bandwidth_cv="10%"), engine="simpy")
    seen, ever = [simulation.reached()], simulation._vm.spend

    def spend(ns: int) -> Any:
        seen.append(simulation.reached())
        return ever(ns)

    simulation._vm.spend = spend  # type: ignore[method-assign]
    trace = simulation.run()
    shares = [reached.share for reached in seen if reached.share is not None]
    assert len(shares) == len(seen)
    assert (shares[0], simulation.reached()) == (0.0, (trace.end_ns, 1.0))
    assert shares == sorted(shares)
    assert len(set(shares)) > 3
    (phase,) = (p for p in trace.phases if p.migration is not None)
    assert phase.migration is not None
    assert phase.migration.rounds[0].dirty_pages > 0, "control: some became dirty again"


def test_a_run_without_a_known_number_of_accesses_tells_its_time_only() -> None:
    phases = [{"do": "write-page-table"}]
    plan = make_plan(
        setting(phases, vm={"mmu": "shadow"}, policies=only("eager-drop")), "eager-drop", 1
    )
    simulation = Simulation(plan)
    simulation.run()
    assert simulation.reached().share is None
    assert simulation.reached().now_ns > 0


@pytest.fixture
def long_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(workers, "HEARTBEAT_S", 0.01)
    path = tmp_path / "experiment.toml"
    path.write_text(
        MINIMAL + '[vm]\nmemory = "16MiB"\n[replications]\nseeds = 2\n'
    )  # fmt: skip
    return path


def test_an_experiment_tells_of_runs_under_way(long_file: Path, tmp_path: Path) -> None:
    told: list[ProgressReport] = []
    run_experiment(long_file, tmp_path / "out", workers=1, progress=told.append)
    assert [s.finished for s in told if s.under_way is None] == [1, 2, 3, 4]
    assert any(s.under_way is not None and s.under_way.now_ns > 0 for s in told)
    assert [s.done for s in told] == sorted(s.done for s in told)


def test_beats_of_a_worker_go_where_its_parent_reads_them(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []

    class Queue:
        def put(self, beat: Any) -> None:
            sent.append(beat)

    monkeypatch.setattr(workers, "HEARTBEAT_S", 0.005)
    monkeypatch.setattr(workers, "_beats", Queue())
    job = Job(0, "eager-drop", 1)
    run_job(busy_setting(), job)
    assert sent
    assert all(of == job and 0 <= reached.share <= 1 for of, reached in sent)


def test_every_run_reports_its_beginning_after_the_engine_was_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where loading is quick: the start of a worker must not count as speed of a run."""
    order: list[Any] = []

    class Loads(Simulation):
        def __init__(self, *given: Any, **named: Any) -> None:
            order.append("loaded")
            super().__init__(*given, **named)

        def run(self) -> Any:
            order.append("run")
            return super().run()

    monkeypatch.setattr(workers, "HEARTBEAT_S", 1000.0)
    monkeypatch.setattr(workers, "Simulation", Loads)
    job = Job(0, "eager-drop", 1)
    run_job(busy_setting(), job, lambda of, reached: order.append((of, reached)))
    assert order == ["loaded", (job, Reached(0, 0.0)), "run"]


def test_a_foreign_executor_has_no_beats_and_the_same_results(
    long_file: Path, tmp_path: Path
) -> None:
    told: list[ProgressReport] = []
    with ThreadPoolExecutor(1) as executor:
        outcome = run_experiment(
            long_file, tmp_path / "out", executor=executor, progress=told.append
        )
    assert [s.finished for s in told] == [1, 2, 3, 4]
    assert len(outcome.settings) == 1


def test_without_a_terminal_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(cli.time, "monotonic", lambda: clock[0])
    lines = cli.Lines()
    under_way = ProgressReport(
        finished=3, total=100, name="x", under_way=Reached(1_000, 0.5), done=3.5, left_s=60.0
    )
    line = "3/100 runs, x at 1 us, 50% done, about 60 s left\n"
    lines(under_way)
    assert capsys.readouterr().err == line, "the first report of a run, at once"
    lines(under_way)
    assert capsys.readouterr().err == ""
    clock[0] += cli.LONG_S
    lines(under_way)
    lines(under_way)
    assert capsys.readouterr().err == line
