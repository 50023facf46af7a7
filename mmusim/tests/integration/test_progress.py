"""Long runs say how far they are, and how long the rest may take."""

from __future__ import annotations

import importlib
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mmusim.cli import app
from mmusim.engine import run_progress, simulate
from mmusim.engine.run_progress import Reached
from mmusim.engine.simulate import Simulation
from mmusim.execution import beats, workers
from mmusim.execution.parallel import in_parallel
from mmusim.execution.progress import ProgressReport, Watch, show_seconds
from mmusim.execution.workers import Job, run_job
from mmusim.experiment.run import run_experiment
from mmusim.plan.make import Plan, make_plan
from mmusim.tests.support.experiment_files import MINIMAL
from mmusim.tests.support.migrations import migrating
from mmusim.tests.support.settings import busy_setting, only, setting
from mmusim.trace.records import Trace
from mmusim.validation import migrations
from mmusim.validation.migrations import cases, predict, table

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


def seen_while(plan: Plan) -> tuple[list[Reached], Trace]:
    """Run a plan, and look at it whenever the host thread begins to let time pass."""
    simulation = Simulation(plan, engine="simpy")
    seen, ever = [simulation.reached()], simulation._vm.spend

    def spend(ns: int) -> Any:
        seen.append(simulation.reached())
        return ever(ns)

    simulation._vm.spend = spend  # type: ignore[method-assign]
    trace = simulation.run()
    return [*seen, simulation.reached()], trace


def test_a_migration_tells_how_much_of_the_memory_has_arrived() -> None:
    """From 0 to 1, never back, although pages that were sent become dirty again."""
    seen, trace = seen_while(migrating(bandwidth="10MB/s", bandwidth_cv="10%"))
    shares = [one.share for one in seen if one.share is not None]
    assert len(shares) == len(seen)
    assert (shares[0], seen[-1]) == (0.0, (trace.end_ns, 1.0))
    assert shares == sorted(shares)
    assert len(set(shares)) > 3
    (phase,) = (p for p in trace.phases if p.migration is not None)
    assert phase.migration is not None
    assert phase.migration.rounds[0].dirty_pages > 0, "control: some became dirty again"


def test_what_comes_before_a_migration_counts_too() -> None:
    """Four phases last: a quarter each, with the part of the one under way."""
    before = [{"do": "write"}, {"do": "enable-logging"}, {"do": "sleep", "time": "3s"},
              {"do": "sync-dirty-log", "after": "1s"}, {"do": "disable-logging"}]  # fmt: skip
    seen, trace = seen_while(migrating(before=before))
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == ((0, 0.0), (trace.end_ns, 1.0))
    begins = {phase.do: phase.start_ns for phase in trace.phases}
    for do, low, high in [
        ("sleep", 0.25, 0.5),
        ("sync-dirty-log", 0.5, 0.75),
        ("migrate", 0.75, 1),
    ]:
        (phase,) = (one for one in trace.phases if one.do == do)
        shares = {s for now, s in seen if phase.start_ns <= now < phase.end_ns and s is not None}
        assert shares, do
        assert low <= min(shares) <= max(shares) <= high, do
    assert len({s for now, s in seen if now > begins["migrate"]}) > 3, "control: it moves inside"


@pytest.mark.parametrize(
    "phase",
    [{"do": "checkpoint", "times": 4, "every": "20ms"}, {"do": "snapshot"}],
    ids=lambda phase: phase["do"],
)
def test_checkpoints_and_snapshots_tell_how_far_they_are(phase: dict[str, Any]) -> None:
    plan = make_plan(
        setting(
            [{"do": "write"}, phase | {"workload": "work"}],
            workloads={"work": {"pattern": "uniform", "accesses_per_page": 2.0, "writes": "30%"}},
            driver={"migration": {"bandwidth": "20MB/s", "max-bandwidth": "0B/s"}},
            vm={"kernel": "linux-6.13"},
            policies={"baseline": "linux-6.13", "compare": ["linux-6.13+legacy"]},
        ),
        "linux-6.13",
        1,
    )
    seen, trace = seen_while(plan)
    begins = trace.phases[1].start_ns
    shares = [one.share or 0.0 for one in seen if one.now_ns > begins]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(set(shares)) > 3


def test_who_asks_is_told_and_the_run_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: a run shorter than a heartbeat tells nothing."""
    plan = migrating(memory="16MiB")
    told: list[Reached] = []
    quiet = simulate(plan, tell=told.append)
    assert told == []
    monkeypatch.setattr(run_progress, "HEARTBEAT_S", 0.0)
    trace = simulate(plan, engine="simpy", tell=told.append)
    assert trace.fingerprint == quiet.fingerprint
    assert told == sorted(told)
    shares = [one.share for one in told if one.share is not None]
    assert any(0 < share < 0.5 for share in shares), "while memory is written, the first of two"
    assert any(0.5 < share < 1 for share in shares), "while it migrates"


def reporting(job: int) -> int:
    for number in range(3):
        beats.report((job, number))
    return job


@pytest.mark.parametrize("workers", [1, 2])
def test_jobs_in_parallel_report_here_and_in_processes(workers: int) -> None:
    """Negative control: without anybody who takes them, reports go nowhere."""
    told: list[tuple[int, int]] = []
    assert list(in_parallel(reporting, [1, 2], workers=workers, take=told.append)) == [1, 2]
    assert sorted(told) == [(job, number) for job in (1, 2) for number in range(3)]
    told.clear()
    assert list(in_parallel(reporting, [1, 2], workers=workers)) == [1, 2]
    assert not told


def test_published_migrations_tell_of_each_while_it_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a run tells comes with the name of its migration; the run is in this process."""

    def half_way(plan: Plan, *, tell: Callable[[Reached], None]) -> Trace:
        tell(Reached(5_000_000, 0.5))
        return simulate(plan)

    monkeypatch.setattr(migrations, "simulate", half_way)
    told: list[ProgressReport] = []
    small = [
        replace(one, data=one.data | {"vm": one.data["vm"] | {"memory": "256MiB"}}, seeds=1)
        for one in cases(table())
        if one.posting == "P24"
    ]
    predict(small, workers=1, progress=told.append)
    assert [one.finished for one in told if one.under_way is None] == [
        number for number, _ in enumerate(small, 1)
    ]
    inside = [one for one in told if one.under_way is not None]
    assert [one.under_way for one in inside] == [Reached(5_000_000, 0.5)] * len(small)
    assert all(one.name.startswith("P24 ") for one in inside)


@pytest.mark.parametrize(
    "command", [["trace"], ["plot", "timeline"], ["warm-up", "--window", "100us"]], ids=" ".join
)
def test_verbs_that_simulate_one_run_tell_how_far_it_is(
    command: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Negative control: a short run prints nothing but its result."""
    monkeypatch.setattr(cli, "LONG_S", 0.0)
    path = tmp_path / "experiment.toml"
    path.write_text(MINIMAL + '[vm]\nmemory = "16MiB"\n')
    to = {"trace": "x.json", "plot": "x.svg"}.get(command[0], "")
    rest = [str(path), *(["--to", str(tmp_path / to)] if to else [])]
    line = r"0/1 runs, [\w.+-]+ seed 1 at .*, \d+% done"
    for beat, expected in (10.0, False), (0.001, True):
        monkeypatch.setattr(run_progress, "HEARTBEAT_S", beat)
        app([*command, *rest], standalone_mode=False)
        assert bool(re.search(line, capsys.readouterr().err)) == expected


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
    monkeypatch.setattr(run_progress, "HEARTBEAT_S", 0.01)
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

    monkeypatch.setattr(run_progress, "HEARTBEAT_S", 0.005)
    monkeypatch.setattr(beats, "_take", Queue().put)
    job = Job(0, "eager-drop", 1)
    run_job(busy_setting(), job)
    assert sent
    assert all(of == job and 0 <= beat.share <= 1 for of, beat in sent)


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

    monkeypatch.setattr(run_progress, "HEARTBEAT_S", 1000.0)
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
