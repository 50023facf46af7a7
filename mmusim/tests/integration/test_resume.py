"""Whatever ends a sweep, nothing that was finished is lost or run again; processes share it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mmusim.cli import app
from mmusim.cli.results.export import export
from mmusim.engine import choice
from mmusim.execution import workers
from mmusim.execution.workers import RunEnd, Task
from mmusim.experiment.claims import judged as judged_claims
from mmusim.experiment.run import run_experiment
from mmusim.plan.make import make_plan
from mmusim.store import LEDGER, Store
from mmusim.tests.support.experiment_files import MINIMAL

TINY = (
    MINIMAL.replace('{ do = "write" }', '{ do = "write", pages = "2%" }')
    + '[vm]\nmemory = "2MiB"\n[replications]\nseeds = 4\n'
)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "experiment.toml"
    path.write_text(TINY)
    return path


def table_of(folder: Path) -> bytes:
    to = folder.with_suffix(".csv")
    export(folder, to)
    return to.read_bytes()


def test_twenty_kills_at_random_moments_change_nothing(tmp_path: Path) -> None:
    """Kill -9 from before there is a ledger on; the table is the same, byte for byte."""
    program = "mmusim.tests.support.killed_sweep"
    command = [sys.executable, "-m", program, str(tmp_path), "20", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout.splitlines()[-1])
    assert (tmp_path / "killed.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert facts["repeated"] == 0, "no finished run is begun again"
    assert facts["left"] == sorted(facts["left"]), "nothing that was finished is lost"
    assert facts["left"][-1] == 160
    assert len(set(facts["left"])) > 8, "the kills hit the runs, and not only the start"


def test_workers_end_with_a_parent_that_was_killed(tiny: Path, tmp_path: Path) -> None:
    tiny.write_text(TINY.replace("seeds = 4", "seeds = 5000"))
    out = tmp_path / "out"
    command = [sys.executable, "-m", "mmusim", "run", str(tiny), "--out", str(out)]
    with subprocess.Popen(
        [*command, "--workers", "2", "--engine", "simpy"], stderr=subprocess.DEVNULL
    ) as parent:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not done(out):
            time.sleep(0.1)
        if parent.poll() is not None:
            pytest.fail("it was over before it could be killed")
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        parent.send_signal(signal.SIGKILL)
    assert len(children) >= 2
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and any(Path(f"/proc/{c}").exists() for c in children):
        time.sleep(0.05)
    assert not [c for c in children if Path(f"/proc/{c}").exists()]
    store = Store.open(out)
    left = store._db.execute("SELECT count(*) FROM runs WHERE state = 'running'").fetchone()
    assert left[0] > 0, "it had no time to tidy up"
    assert store.states()["running"] == 0, "and nobody makes them"
    assert store.damaged(store.version()) == []
    store.close()


def done(out: Path) -> int:
    if not (out / LEDGER).exists():
        return 0
    store = Store.open(out)
    count = store.states()["done"]
    store.close()
    return count


def test_two_processes_share_a_sweep(tiny: Path, tmp_path: Path) -> None:
    """Two at once on one new folder: every run is made once, and both have the whole answer."""
    tiny.write_text(TINY.replace("seeds = 4", "seeds = 30"))
    made: list[tuple[str, Any]] = []
    real = workers.run_job

    def noted(setting: Any, job: Any, *rest: Any) -> Any:
        made.append((threading.current_thread().name, job))
        return real(setting, job, *rest)

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as both:
        patch.setattr(workers, "run_job", noted)
        outcomes = [
            both.submit(run_experiment, tiny, tmp_path / "out", workers=1, engine="simpy")
            for _ in range(2)
        ]
        runs = [outcome.result().settings[0].runs for outcome in outcomes]
    assert len(made) == len({job for _, job in made}) == 60
    assert len({who for who, _ in made}) == 2, "both did something"
    assert [len(r["lazy-drop"]) for r in runs] == [30, 30]


class Mortal:
    """A pool whose worker dies of some seeds, and takes with it what is under way."""

    deadly: tuple[int, ...] = ()
    pools = 0

    def __init__(self, *args: Any, **more: Any) -> None:
        type(self).pools += 1
        self.pending: list[Future[RunEnd]] = []
        self.broken = False

    def submit(self, work: Any, task: Task) -> Future[RunEnd]:
        future: Future[RunEnd] = Future()
        self.broken = self.broken or task.job.seed in self.deadly
        self.pending.append(future)
        if self.broken:
            for each in self.pending:
                if not each.done():
                    each.set_exception(BrokenProcessPool())
        elif len(self.pending) % 2:  # every second one is still under way when the next comes
            threading.Timer(0.02, self.finish, (future, work, task)).start()
        else:
            self.finish(future, work, task)
        return future

    def finish(self, future: Future[RunEnd], work: Any, task: Task) -> None:
        with contextlib.suppress(InvalidStateError):  # the pool broke meanwhile
            future.set_result(work(task))

    def shutdown(self, **more: Any) -> None:
        pass


def test_a_run_that_kills_its_worker_fails_and_stops_nothing_else(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "ProcessPoolExecutor", Mortal)
    monkeypatch.setattr(Mortal, "deadly", (2,))
    outcome = run_experiment(tiny, tmp_path / "out", workers=2, engine="simpy")
    told = "the process that ran it died twice (killed, or out of memory)"
    assert [failure.partition(": ")[0] for failure in outcome.failures] == [
        "eager-drop seed 2", "lazy-drop seed 2",
    ]  # fmt: skip
    assert all(told in failure for failure in outcome.failures)
    assert [run.seed for run in outcome.settings[0].runs["eager-drop"]] == [1, 3, 4]
    store = Store.open(tmp_path / "out")
    assert store.states() == {"queued": 2, "running": 0, "done": 6, "failed": 0}, "no result"
    store.close()
    monkeypatch.setattr(Mortal, "deadly", ())
    again = run_experiment(tiny, tmp_path / "out", workers=2, engine="simpy")
    assert again.failures == []
    assert len(again.settings[0].runs["lazy-drop"]) == 4


def test_any_exception_of_a_run_is_that_runs_only(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = make_plan

    def plan(setting: Any, policy: str, seed: int) -> Any:
        if seed == 3:
            raise ZeroDivisionError("of a policy from outside")
        return real(setting, policy, seed)

    monkeypatch.setattr(workers, "make_plan", plan)
    outcome = run_experiment(tiny, tmp_path / "out", workers=1, engine="simpy")
    assert len(outcome.failures) == 2
    assert "seed 3: ZeroDivisionError: of a policy from outside (line " in outcome.failures[0]
    assert [run.seed for run in outcome.settings[0].runs["lazy-drop"]] == [1, 2, 4]
    told = CliRunner().invoke(app, ["status", str(tmp_path / "out"), "--json"]).output
    facts = json.loads(told)
    (row,) = facts["rows"]
    assert [row[state] for state in ("queued", "running", "done", "failed")] == [0, 0, 6, 2]
    assert [(f["policy"], f["seed"]) for f in facts["failed"]] == [
        ("eager-drop", 3), ("lazy-drop", 3),
    ]  # fmt: skip
    assert "ZeroDivisionError" in facts["failed"][0]["error"]


def test_only_a_damaged_run_is_made_again(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    run_experiment(tiny, out, workers=1, engine="simpy")
    before = table_of(out)
    store = Store.open(out)
    with store._db as db:
        db.execute("UPDATE runs SET result = x'00' WHERE policy = 'lazy-drop' AND seed = 2")
    store.close()
    made: list[Any] = []
    real = workers.run_job

    def noted(setting: Any, job: Any, *rest: Any) -> Any:
        made.append(job)
        return real(setting, job, *rest)

    monkeypatch.setattr(workers, "run_job", noted)
    outcome = run_experiment(tiny, out, workers=1, engine="simpy")
    assert [(job.policy, job.seed) for job in made] == [("lazy-drop", 2)]
    assert "lazy-drop, seed 2 (simpy) was damaged: it is run again" in outcome.notices[0]
    assert table_of(out) == before


def test_every_result_carries_its_provenance(tiny: Path, tmp_path: Path) -> None:
    outcome = run_experiment(tiny, tmp_path / "out", workers=1, engine="simpy")
    store = Store.open(tmp_path / "out")
    facts = store.origin(outcome.settings[0].setting.key(), "lazy-drop", 1)
    store.close()
    assert (facts["policy"], facts["seed"], facts["engine"]) == ("lazy-drop", 1, "simpy")
    assert (facts["host_profile"], len(facts["host_profile_hash"])) == ("skylake-2021", 16)
    assert {"config", "model_version", "commit", "python", "numpy", "simpy"} <= set(facts)
    assert os.uname().machine in facts["platform"]


def failing(monkeypatch: pytest.MonkeyPatch, **how: Exception) -> None:
    """Let runs of one policy, or of one seed, fail; named ``lazy_drop_2``."""
    real = make_plan

    def plan(setting: Any, policy: str, seed: int) -> Any:
        name = f"{policy.replace('-', '_')}_{seed}"
        if name in how:
            raise how[name]
        return real(setting, policy, seed)

    monkeypatch.setattr(workers, "make_plan", plan)


CLAIM = """
[[claims]]
says = "lazy drop is the quicker"
order = "lazy-drop < eager-drop"
"""


def test_a_failed_run_is_listed_and_the_others_are_evaluated_on_the_seeds_they_share(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, lazy_drop_2=ZeroDivisionError("of a policy from outside"))
    out = tmp_path / "out"
    command = ["run", str(tiny), "--out", str(out), "--workers", "1", "--engine", "simpy"]
    told = CliRunner().invoke(app, command)
    assert told.exit_code == 1
    assert "failed: lazy-drop seed 2: ZeroDivisionError" in told.output
    repeat = f"mmusim trace {tiny} --policy lazy-drop --seed 2"
    assert repeat in told.output
    outcome = run_experiment(tiny, out, workers=1, engine="simpy")
    assert {tuple(r.seed for r in rows) for rows in outcome.settings[0].runs.values()} == {
        (1, 3, 4)
    }
    assert outcome.settings[0].comparisons["phase_time"][0].difference.seeds == 3
    reported = CliRunner().invoke(app, ["report", str(tiny), "--out", str(out)])
    assert reported.exit_code == 1
    assert repeat in (out / "report.html").read_text()


def test_verbs_that_look_at_results_say_that_runs_failed(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """By a notice, and the exit status of export; a whole run directory has neither."""
    out, to = str(tmp_path / "out"), tmp_path / "runs.csv"
    verbs = {
        "export": [out, "--to", str(to)],
        "publish": [out, "--to", str(tmp_path / "published")],
        "statistics": [str(tiny), "--out", out],
    }

    def told(verb: str) -> tuple[int, bool]:
        caplog.clear()
        code = CliRunner().invoke(app, [verb, *verbs[verb]]).exit_code
        return code, "1 of 8 runs failed; `mmusim status` lists them" in caplog.text

    with monkeypatch.context() as patch:
        failing(patch, lazy_drop_2=ZeroDivisionError("of a policy from outside"))
        run_experiment(tiny, out, workers=1, engine="simpy")
    assert [told(verb) for verb in verbs] == [(1, True), (0, True), (0, True)]
    assert len(to.read_text().splitlines()) == 8
    run_experiment(tiny, out, workers=1, engine="simpy", retry_failed=True)
    assert [told(verb) for verb in ("export", "statistics")] == [(0, False), (0, False)]


def test_a_page_of_exposures_lists_failed_runs(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And writes what the others say; without a failed run the exit status is 0."""
    (tmp_path / "all" / "tiny").mkdir(parents=True)
    tiny.rename(tmp_path / "all" / "tiny" / "experiment.toml")
    page = tmp_path / "page"
    monkeypatch.setenv(choice.VARIABLE, "simpy")

    def told(out: str) -> tuple[int, bool]:
        command = ["exposure", str(tmp_path / "all"), "--to", str(page), "--workers", "1"]
        done = CliRunner().invoke(app, [*command, "--out", str(tmp_path / out)])
        assert "lazy-drop" in (page / "exposure-full-size.md").read_text()
        return done.exit_code, "failed: lazy-drop seed 2: ZeroDivisionError" in done.output

    assert told("whole") == (0, False)
    failing(monkeypatch, lazy_drop_2=ZeroDivisionError("of a policy from outside"))
    assert told("failed") == (1, True)


def test_claims_that_lack_seeds_are_inconclusive_and_say_why(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.write_text(tiny.read_text() + CLAIM)
    wrong = {f"lazy_drop_{seed}": ValueError("no") for seed in (1, 2, 3)}
    failing(monkeypatch, **wrong)
    out = tmp_path / "out"
    command = ["run", str(tiny), "--out", str(out), "--workers", "1", "--engine", "simpy"]
    told = CliRunner().invoke(app, [*command, "--json"])
    assert told.exit_code == 1
    facts = json.loads(told.stdout)
    (claim,) = facts["claims"]
    assert claim["verdict"] == "inconclusive"
    assert claim["reason"] == (
        "3 runs failed, and of every policy there are runs on 1 seeds; 2 are needed"
    )
    assert claim["measured"]["estimate"] is None
    assert len(facts["failures"]) == 3
    outcome = run_experiment(tiny, out, workers=1, engine="simpy")
    assert [judged.outcome for judged in judged_claims(outcome)] == ["inconclusive"]
    monkeypatch.undo()
    repaired = run_experiment(tiny, out, workers=1, engine="simpy", retry_failed=True)
    assert repaired.failures == []
    assert repaired.verdicts[0].reason == ""


@pytest.mark.parametrize(
    "error", [MemoryError("no memory"), OSError(28, "No space left"), ImportError("no library")]
)
def test_what_the_machine_does_is_never_stored(
    error: Exception, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, lazy_drop_2=error)
    outcome = run_experiment(tiny, tmp_path / "out", workers=1, engine="simpy")
    (failure,) = outcome.failures
    assert "lazy-drop seed 2" in failure
    assert "the machine is at fault, so nothing is stored" in failure
    store = Store.open(tmp_path / "out")
    assert store.states() == {"queued": 1, "running": 0, "done": 7, "failed": 0}
    store.close()
    monkeypatch.undo()
    again = run_experiment(tiny, tmp_path / "out", workers=1, engine="simpy")
    assert again.failures == []
    assert len(again.settings[0].runs["lazy-drop"]) == 4
