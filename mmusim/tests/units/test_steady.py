"""Series over the time of one run, and the warm-up that is left out of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mmusim.analysis.time_series import laps, utilisation
from mmusim.engine import simulate
from mmusim.plan.make import make_plan
from mmusim.stats.warm_up import mser5
from mmusim.tests.support.experiment_files import MINIMAL
from mmusim.tests.support.settings import busy_setting, setting
from mmusim.timeline.record import record


def test_laps_are_the_phases_of_one_name_in_order() -> None:
    phases = [{"do": "write", "name": "lap"}, {"do": "read", "name": "look"}] * 3
    trace = simulate(make_plan(setting(phases), "eager-drop", 1))
    found = laps(trace, "lap")
    assert found.tolist() == [p.end_ns - p.start_ns for p in trace.phases if p.name == "lap"]
    assert laps(trace, "read").tolist() == laps(trace, "look").tolist()
    assert laps(trace, "").size == 0
    assert found[0] > found[1], "the first lap populates the memory"


def test_windows_add_up_to_what_the_run_lost() -> None:
    """Of whole windows over a run of one vCPU: what is lost in them is lost in the ledger."""
    made = setting([{"do": "write"}, {"do": "read"}], vcpus=1)
    timeline = record(make_plan(made, "eager-drop", 1))
    found = utilisation(timeline, 1000)
    (lane,) = timeline.vcpus
    lost = sum(s.end_ns - s.start_ns for s in lane if s.state not in ("guest", "idle"))
    assert (1 - found).sum() * 1000 == pytest.approx(lost, rel=0.02)
    assert len(found) == pytest.approx(timeline.end_ns / 1000, abs=2)
    assert ((found >= 0) & (found <= 1)).all()
    with pytest.raises(ValueError, match="is too short"):
        mser5(laps(simulate(make_plan(made, "eager-drop", 1)), "read"))
    four = utilisation(record(make_plan(busy_setting(), "eager-drop", 1)), 10_000)
    assert 0 < four.mean() < 1
    with pytest.raises(ValueError, match="does not fit"):
        utilisation(timeline, 10**12)
    short = record(make_plan(made, "eager-drop", 1), most=2)
    with pytest.raises(ValueError, match="is left out"):
        utilisation(short, 1000)


def test_the_command_line_finds_the_warm_up_of_a_test_with_many_iterations(
    tmp_path: Path, mmusim: Callable[..., tuple[int, str, str]]
) -> None:
    path = tmp_path / "experiment.toml"
    driver = 'kind = "dirty-log-perf-test"\niterations = 52\nwrite_percent = 10'
    text = MINIMAL[: MINIMAL.index("[driver]")] + f"[driver]\n{driver}\n[vm]\nmemory = '2MiB'\n"
    path.write_text(text)
    status, out, _ = mmusim("warm-up", path, "--lap", "dirty memory", "--json")
    data = json.loads(out)
    assert status == 0
    (row,) = data["rows"]
    assert row["of"] == len(data["series"]) == 52
    assert row == {**row, **vars_of(np.array(data["series"]))}
    status, out, _ = mmusim("warm-up", path, "--window", "5us")
    assert status == 0
    assert "windows of 5us" in out

    for arguments, message in [
        ((), "or --lap must be given"),
        (("--lap", "a", "--window", "1us"), "and not both"),
        (("--window", "1"), "write e.g."),
        (("--lap", "dirty", "--setting", "R1"), "is not a setting"),
    ]:
        status, _, err = mmusim("warm-up", path, *arguments)
        assert status == 2
        assert message in err


def vars_of(series: np.ndarray) -> dict[str, float]:
    found = mser5(series)
    return {"skip": found.skip, "mean": found.mean, "batches": found.batches}
