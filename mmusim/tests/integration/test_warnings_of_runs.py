"""`mmusim run` says by name where runs cannot answer: one real run for each condition."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tomli_w
from typer.testing import CliRunner

from mmusim.cli import app

REQUESTS = {
    "pattern": "open-loop-requests", "requests": 60, "interarrival": "20us", "touches": 4,
    "arrivals": "regular", "writes": "0%",
}  # fmt: skip
UNIFORM = {"pattern": "uniform", "writes": "0%"}
GUEST = {"do": "run", "workload": "guest", "name": "guest", "background": True}
ENABLE = {"do": "enable-logging", "at": "100us"}
WINDOW = {"name": "w", "from": "end of enable-logging", "lasts": "500us"}
SETTLED: dict[str, Any] = {"phases": [{"do": "write"}, GUEST, ENABLE, {"do": "wait"}]}
"""A guest that only reads, in a window behind the enabling, of one length for each policy."""

CONDITIONS: dict[str, tuple[dict[str, Any], str]] = {
    "exposures differ by more than 10 %": (
        {"workloads": {"guest": REQUESTS | {"arrivals": "poisson", "writes": "50%"}},
         "driver": SETTLED | {"measure": "guest", "phases": [
             {"do": "write"}, GUEST, ENABLE, {"do": "sync-dirty-log", "after": "50us"},
             {"do": "wait"}]}},
        "warning: split-on-fault and eager_page_split met different things: pages reported truly ",
    ),
    "an operation has not ended with the window": (
        {"driver": SETTLED | {"windows": [WINDOW | {"from": "enable-logging", "lasts": "1us"}],
                              "measure": "w"}},
        "warning: eager_page_split: in 2 of 2 runs an operation had not ended with the window",
    ),
    "mmu_lock is above 70 %": (
        {"vm": {"vcpus": 16, "memory": "32MiB", "kernel": "linux-3.16"},
         "policies": {"baseline": "eager-drop", "compare": ["lazy-drop"]},
         "workloads": {"guest": UNIFORM | {"writes": "100%", "accesses_per_page": 2.0}},
         "driver": {"measure": "guest", "phases": [
             {"do": "write"}, {"do": "enable-logging"}, GUEST | {"background": False}]}},
        "warning: lazy-drop: mmu_lock is busy for ",
    ),
    "the guest has not settled": (
        {"vm": {"kernel": "linux-3.16"},
         "policies": {"baseline": "eager-drop", "compare": ["lazy-drop"]},
         "workloads": {"guest": UNIFORM | {"accesses_per_page": 4.0},
                       "settle": UNIFORM | {"accesses_per_page": 1.0}},
         "driver": {"measure": "guest", "phases": [
             {"do": "write"}, {"do": "enable-logging"}, {"do": "run", "workload": "settle"},
             GUEST | {"background": False}]}},
        "warning: eager-drop: the guest had not settled: ",
    ),
    "a policy never met the log": (
        {"driver": SETTLED | {"windows": [WINDOW | {"from": "guest", "lasts": "50us"}],
                              "measure": "w"}},
        "warning: split-on-fault never met the log",
    ),
}  # fmt: skip
"""What is changed in a file that warns of nothing, and how the line then begins."""


def printed(folder: Path, changes: dict[str, Any]) -> list[str]:
    data: dict[str, Any] = {
        "schema": 1, "id": "warned", "question": "?", "answer_by": "phase_time",
        "vm": {"vcpus": 2, "memory": "8MiB", "kernel": "linux-6.8"},
        "host": {"profile": "skylake-2021"},
        "policies": {"baseline": "eager_page_split", "compare": ["split-on-fault"]},
        "driver": SETTLED | {"windows": [WINDOW], "measure": "w"},
        "workloads": {"guest": REQUESTS},
        "replications": {"seeds": 2},
    }  # fmt: skip
    for key, value in changes.items():
        data[key] = data[key] | value if key == "vm" else value
    path = folder / "experiment.toml"
    path.write_text(tomli_w.dumps(data))
    ran = CliRunner().invoke(
        app, ["run", str(path), "--out", str(folder / "out"), "--engine", "simpy", "--workers", "1"]
    )
    assert ran.exit_code == 0, ran.output
    return ran.output.splitlines()


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_run_that_cannot_answer_is_warned_of_by_name(condition: str, tmp_path: Path) -> None:
    changes, words = CONDITIONS[condition]
    lines = printed(tmp_path, changes)
    said = [line for line in lines if line.startswith("warning: ")]
    assert any(line.startswith(words) for line in said), said
    verdict = any(line.startswith("There is no verdict on split-on-fault") for line in lines)
    assert verdict == ("never met" in condition)


def test_runs_that_can_answer_are_not_warned_of(tmp_path: Path) -> None:
    """Control: the file that the others change."""
    lines = printed(tmp_path, {})
    assert [line for line in lines if line.startswith("warning: ")] == []
    assert not any("no verdict" in line for line in lines)
