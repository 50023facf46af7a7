"""A metric in every setting: marks, intervals, and what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmusim.experiment.run import run_experiment
from mmusim.plots import across
from mmusim.stats import mean_interval
from mmusim.tests.support.experiment_files import experiment_text

TEXT = experiment_text(
    "small",
    vm='memory = "4MiB"\nkernel = "linux-3.7"',
    more='[replications]\nseeds = 3\n[sweep]\n"vm.memory" = ["2MiB", "4MiB"]\n',
)


def test_each_setting_has_a_mark_for_each_policy_at_its_mean(tmp_path: Path) -> None:
    path = tmp_path / "experiment.toml"
    path.write_text(TEXT)
    outcome = run_experiment(path, tmp_path / "out", workers=1)
    (axes,) = across(outcome, "faults").axes
    containers: list[Any] = list(axes.containers)
    assert len(containers) == 2
    for policy, container in zip(["eager-drop", "lazy-drop"], containers, strict=True):
        marks = container.lines[0].get_ydata()
        means = [
            mean_interval([run.values["faults"] for run in result.runs[policy]]).estimate
            for result in outcome.settings
        ]
        assert list(marks) == pytest.approx(means)
    assert [label.get_text() for label in axes.get_xticklabels()] == [
        result.setting.name for result in outcome.settings
    ]
    (empty,) = across(outcome, "downtime").axes
    assert all(len(c.lines[0].get_ydata()) == 0 for c in list[Any](empty.containers)), (
        "nobody has it"
    )
