"""Benchmarks over commits: kept, compared and drawn; a file of something else is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmusim.base.errors import ConfigError
from mmusim.cli.shared import bench_history
from mmusim.cli.shared.bench_history import append, read
from mmusim.tests.support.command_line import mmusim_here


def rows(speed: float) -> list[dict[str, Any]]:
    return [
        {"work": "events", "by": "bare SimPy", "ns_each": 500.0, "relative_to_SimPy": 1.0},
        {"work": "faults", "by": "compiled engine", "ns_each": 9.0, "relative_to_SimPy": speed},
    ]


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "benchmarks" / "history.csv"
    for commit, speed in (("aaaa", 80.0), ("bbbb", 60.0)):
        facts = {"commit": commit, "mmusim": "0.2.0+x", "python": "3.11"}
        monkeypatch.setattr(bench_history, "provenance", lambda facts=facts: facts)
        append(path, rows(speed))
    return path


def test_a_measurement_is_added_and_what_was_there_stays(history: Path) -> None:
    kept = read(history)
    assert [(row["commit"], row["work"], float(row["ratio"])) for row in kept] == [
        ("aaaa", "events", 1.0), ("aaaa", "faults", 80.0),
        ("bbbb", "events", 1.0), ("bbbb", "faults", 60.0),
    ]  # fmt: skip


def test_the_last_two_are_compared_and_all_are_drawn(history: Path, tmp_path: Path) -> None:
    figure = tmp_path / "speed.svg"
    done = mmusim_here("bench-history", history, "--to", figure, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["rows"]
    assert [(row["work"], row["change"]) for row in found] == [
        ("events", "+0.0%"), ("faults", "-25.0%"),
    ]  # fmt: skip
    text = figure.read_text()
    assert "<svg" in text
    assert "faults" in text


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a,b\n1,2\n", "are not date, commit"),
        (",".join(bench_history.FIELDS) + "\n1,2,3,4,5,6,7,8,9,zero\n", "line 2"),
        (",".join(bench_history.FIELDS) + "\n1,2\n", "line 2"),
        ("", "are not date, commit"),
    ],
)
def test_a_file_of_something_else_is_refused_and_left_alone(
    text: str, complaint: str, tmp_path: Path
) -> None:
    path = tmp_path / "other.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=complaint):
        append(path, rows(1.0))
    assert path.read_text() == text
