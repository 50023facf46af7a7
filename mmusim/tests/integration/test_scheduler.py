"""Runs are made in rounds, each stored as it ends, by whom one says."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mmusim.base.errors import ConfigError
from mmusim.cli import app
from mmusim.config import settings
from mmusim.config.settings import Setting
from mmusim.engine import choice
from mmusim.execution.progress import ProgressReport
from mmusim.execution.workers import Job
from mmusim.experiment.run import run_experiment
from mmusim.experiment.scheduler import RunDirectory
from mmusim.store import Store
from mmusim.tests.support.experiment_files import MINIMAL

TINY = MINIMAL + '[vm]\nmemory = "2MiB"\n[replications]\nseeds = 2\n'


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "experiment.toml"
    path.write_text(TINY)
    return path


def test_seeds_are_added_until_nothing_more_is_wanted(tiny: Path, tmp_path: Path) -> None:
    """A rule that looks at what is there, and asks for one seed more until there are four."""
    seen: list[int] = []
    told: list[ProgressReport] = []

    def rule(directory: RunDirectory) -> list[Job]:
        there = len(directory.runs().get((0, "lazy-drop"), []))
        seen.append(there)
        return directory.planned(min(4, max(2, there + 1)))

    outcome = run_experiment(
        tiny, tmp_path / "out", workers=1, rounds=rule, progress=told.append, engine="simpy"
    )
    assert seen == [0, 2, 3, 4]
    assert [run.seed for run in outcome.settings[0].runs["lazy-drop"]] == [1, 2, 3, 4]
    assert [(s.finished, s.total) for s in told if s.under_way is None] == [
        (1, 4), (2, 4), (3, 4), (4, 4), (5, 6), (6, 6), (7, 8), (8, 8),
    ]  # fmt: skip

    seen.clear()
    run_experiment(tiny, tmp_path / "out", workers=1, rounds=rule, engine="simpy")
    assert seen == [4], "what is there is not run again"


def test_only_what_was_wanted_counts(tiny: Path, tmp_path: Path) -> None:
    run_experiment(tiny, tmp_path / "out", workers=1, seeds=3, engine="simpy")
    outcome = run_experiment(tiny, tmp_path / "out", workers=1, engine="simpy")
    assert [run.seed for run in outcome.settings[0].runs["lazy-drop"]] == [1, 2]


def test_an_engine_that_is_not_there_is_refused_before_anything_is_written(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"--engine.*'fast': is not an engine; choose one of"):
        run_experiment(tiny, tmp_path / "out", engine="fast")
    monkeypatch.setenv(choice.VARIABLE, "fast")
    with pytest.raises(ConfigError, match=r"environment.*MMUSIM_ENGINE = 'fast': is not an engine"):
        run_experiment(tiny, tmp_path / "out")
    monkeypatch.setenv(choice.VARIABLE, "compiled")
    monkeypatch.setattr(choice, "numba_trouble", lambda: "is not installed")
    with pytest.raises(ConfigError, match="needs Numba, which is not installed"):
        run_experiment(tiny, tmp_path / "out", engine="compiled")
    with pytest.raises(ConfigError, match="environment: MMUSIM_ENGINE = 'compiled': needs Numba"):
        run_experiment(tiny, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_line_says_when_auto_falls_back(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "numba_trouble", lambda: "is not installed")
    monkeypatch.setattr("mmusim.cli.shared.progress.numba_trouble", lambda: "is not installed")
    monkeypatch.delenv(choice.VARIABLE)
    args = ["run", str(tiny), "--out", str(tmp_path / "out"), "--workers", "1"]
    told = CliRunner().invoke(app, args)
    assert told.exit_code == 0
    assert told.stderr.count("so the SimPy engine runs: the same results, slower; install") == 1
    quiet = CliRunner().invoke(app, [*args, "--engine", "simpy"])
    assert "SimPy engine" not in quiet.stderr
    store = Store.open(tmp_path / "out")
    assert {key.engine for key, _ in store.made(store.version())} == {"simpy"}
    store.close()


def test_runs_of_another_engine_are_other_runs(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks for an engine gets its runs, though they are the same."""
    pytest.importorskip("numba", reason="Numba is not installed; install mmusim[compiled]")
    run_experiment(tiny, tmp_path / "out", workers=1, engine="simpy")
    both = run_experiment(tiny, tmp_path / "out", workers=1, engine="compiled")
    store = Store.open(tmp_path / "out")
    assert {key.engine for key, _ in store.made(store.version())} == {"simpy", "compiled"}
    assert store.states()["done"] == 8
    simpy, compiled = (list(store.results(engine=name)) for name in ("simpy", "compiled"))
    assert simpy == compiled
    assert len(list(store.results())) == 4
    store.close()
    assert [run.seed for run in both.settings[0].runs["lazy-drop"]] == [1, 2]


def test_the_benchmark_of_the_store_measures_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = importlib.import_module("mmusim.cli.speed.bench_store")
    monkeypatch.setattr(bench, "ROUNDS", 1)
    monkeypatch.setattr(bench, "STORED", 50)
    monkeypatch.setattr(bench, "processors", lambda: 1)
    for size in ("TINY_RUNS", "LONG_RUNS"):
        monkeypatch.setattr(bench, size, bench.TINY_RUNS | {"seeds": 10})
    told = CliRunner().invoke(app, ["bench-store", "--json"])
    rows = {row["what"]: (row["value"], row["unit"]) for row in json.loads(told.output)["rows"]}
    assert 500 < rows["a stored run"][0] < 10_000
    assert rows["loading 50 runs into a frame"][1] == "s"
    inside, unit = rows["tiny runs, in this process: processors inside runs"]
    assert 0 < inside <= 105
    assert unit == "%"
    assert len(rows) == 16


@pytest.mark.parametrize("guarded", [False, True])
def test_a_script_that_starts_itself_again_is_refused(tmp_path: Path, guarded: bool) -> None:
    """With the guard that Python's documentation asks for it runs."""
    call = f"run_experiment({str(tmp_path / 'e.toml')!r}, {str(tmp_path / 'out')!r}, workers=2)"
    (tmp_path / "e.toml").write_text(TINY)
    body = f'if __name__ == "__main__":\n    print(len({call}.settings))' if guarded else call
    script = tmp_path / "script.py"
    script.write_text(f"from mmusim import run_experiment\n{body}\n")
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=300, check=False
    )
    if guarded:
        assert int(done.stdout) > 0, done.stderr
    else:
        assert "every new process would run again" in done.stderr
        assert 'if __name__ == "__main__"' in done.stderr


def test_the_run_verb_reads_its_experiment_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mmusim: Callable[..., tuple[int, str, str]]
) -> None:
    read: list[str] = []
    original = settings.settings_of

    def counted(data: dict[str, Any], source: str, folder: Path) -> list[Setting]:
        read.append(source)
        return original(data, source, folder)

    monkeypatch.setattr(settings, "settings_of", counted)
    file = tmp_path / "experiment.toml"
    file.write_text(TINY)
    status, out, err = mmusim("run", file, "--seeds", 2, "--workers", 1, "--out", tmp_path / "out")
    assert (status, read) == (0, [str(file)]), out + err
