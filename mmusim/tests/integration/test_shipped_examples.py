"""What comes with mmusim to start from: all of it is listed, and a copy runs where it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmusim.base.errors import ConfigError
from mmusim.config.settings import load_settings
from mmusim.config.workloads import load_workload
from mmusim.examples import Example, copy_example, examples
from mmusim.tests.support.command_line import mmusim_here
from mmusim.tests.support.places import ROOT

EVERY = examples()


def test_every_experiment_workload_and_notebook_is_listed() -> None:
    expected = {
        *(f"experiments/{p.parent.name}" for p in ROOT.glob("experiments/*/experiment.toml")),
        *(f"workloads/{p.stem}" for p in ROOT.glob("workloads/*.toml")),
        *(f"notebooks/{p.stem}" for p in ROOT.glob("notebooks/*.ipynb")),
    }
    assert {one.name for one in EVERY} == expected
    assert all(one.about for one in EVERY)


@pytest.mark.parametrize("one", EVERY, ids=lambda one: one.name)
def test_a_copy_is_complete(one: Example, tmp_path: Path) -> None:
    copied = copy_example(one.name, tmp_path)
    files = {p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file()}
    assert files == set(copied.files)
    if copied.name.startswith("experiments/"):
        assert load_settings(tmp_path / copied.start)[1], "it loads, with what it refers to"
    elif copied.name.startswith("workloads/"):
        workload = load_workload(tmp_path / copied.start)
        assert Path(getattr(workload, "trace", tmp_path)).exists()


def test_what_an_experiment_refers_to_comes_with_it(tmp_path: Path) -> None:
    copy_example("experiments/reads-beside-writes", tmp_path)
    (tmp_path / "workloads" / "reads-beside-writes.toml").unlink()
    with pytest.raises(ConfigError, match=r"reads-beside-writes\.toml"):
        load_settings(tmp_path / "experiments" / "reads-beside-writes" / "experiment.toml")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    mine = tmp_path / "workloads" / "zipf.toml"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(ConfigError, match="is in the way"):
        copy_example("zipf", tmp_path)
    assert mine.read_text() == "mine"
    copy_example("uniform", tmp_path)
    copy_example("uniform", tmp_path)  # the same file is not in the way


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("reads-beside-writes", "experiments/reads-beside-writes, workloads/reads-beside-writes"),
        ("workloads/zpif", "did you mean 'workloads/zipf'?"),
        ("xxxxxxxxxxxxxxxxxxxxx", "`mmusim examples` lists them"),
    ],
)
def test_a_name_that_is_not_one_example_is_refused(name: str, remedy: str, tmp_path: Path) -> None:
    done = mmusim_here("examples", name, cwd=tmp_path)
    assert done.returncode == 2
    assert remedy in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = mmusim_here("examples", "zipf", "--to", tmp_path / "file")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_the_verb_lists_and_copies(tmp_path: Path) -> None:
    rows = json.loads(mmusim_here("examples", "--json").stdout)["rows"]
    assert [row["example"] for row in rows] == [one.name for one in EVERY]
    done = mmusim_here("examples", "ring-or-bitmap", cwd=tmp_path)
    assert "next: mmusim run experiments/ring-or-bitmap/experiment.toml" in done.stdout
    assert (tmp_path / "experiments" / "ring-or-bitmap" / "experiment.toml").is_file()
    facts = json.loads(mmusim_here("examples", "zipf", "--json", cwd=tmp_path).stdout)
    assert facts["start"] == "workloads/zipf.toml"
