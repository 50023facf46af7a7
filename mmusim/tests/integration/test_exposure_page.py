"""The page `docs/evidence/exposure.md` says what runs of today's model say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest
from typer.testing import CliRunner

from mmusim.cli import app
from mmusim.experiment.claims import experiment_files
from mmusim.tests.support.places import ROOT

PAGE: Final = ROOT / "docs" / "evidence" / "exposure.md"
CHEAP: Final = ("clear-that-splits", "read-after-write-protect", "jitter-protect-vs-fault")
"""Experiments whose reduced runs take seconds, with and without differences."""


def rows_of(page: str, experiment: str) -> list[str]:
    """The rows of both tables about an experiment."""
    return [line for line in page.splitlines() if line.startswith(f"| `{experiment}` |")]


def stale(page: str, made: str, experiments: Sequence[str]) -> list[str]:
    """Rows that a page has and runs do not, or the other way round."""
    return [
        row
        for name in experiments
        for row in set(rows_of(page, name)) ^ set(rows_of(made, name))
    ]  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of the cheap experiments, made by the command that the shipped one names."""
    folder = tmp_path_factory.mktemp("exposure")
    (folder / "experiments").mkdir()
    for name in CHEAP:
        (folder / "experiments" / name).symlink_to(ROOT / "experiments" / name)
    command = next(line.split() for line in PAGE.read_text().splitlines() if "--seeds" in line)
    assert command[:3] == ["mmusim", "exposure", "experiments"]
    options = command[3 : command.index("--to")]
    told = CliRunner().invoke(
        app,
        ["exposure", str(folder / "experiments"), *options, "--workers", "1",
         "--out", str(folder / "out"), "--to", str(folder / "page")],
    )  # fmt: skip
    assert told.exit_code == 0, told.output
    return (folder / "page" / "exposure.md").read_text()


def test_the_page_says_what_runs_of_today_say(made: str) -> None:
    page = PAGE.read_text()
    assert stale(page, made, CHEAP) == []
    assert all(rows_of(page, name) for name in CHEAP)


def test_a_page_of_another_model_is_found(made: str) -> None:
    """Negative control: one page more or less is armed, one row is lost."""
    page = PAGE.read_text()
    assert "262,144" in page
    other = stale(page.replace("262,144", "262,145"), made, CHEAP)
    assert len(other) >= 4, "each row that has it, on both sides"
    lost = rows_of(page, "jitter-protect-vs-fault")[-1]
    assert stale(page.replace(lost, ""), made, CHEAP) == [lost]


@pytest.mark.parametrize("name", ["exposure.md", "exposure-full-size.md"])
def test_the_page_has_every_shipped_experiment(name: str) -> None:
    page = PAGE.with_name(name).read_text()
    for file in experiment_files([ROOT / "experiments"]):
        assert rows_of(page, file.parent.name), file.parent.name
    assert not rows_of(page, Path("no-such-experiment").name), "control"
