"""`mmusim select` runs what it needs, and says how sure it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mmusim.base.errors import ConfigError
from mmusim.execution.progress import ProgressReport
from mmusim.experiment.selection import Rules, select
from mmusim.tests.support.experiment_files import MINIMAL

READS = MINIMAL.replace('{ do = "enable-logging" }, { do = "write" }',
                        '{ do = "write" }, { do = "enable-logging" }, { do = "read" }')  # fmt: skip


@pytest.fixture
def reads(tmp_path: Path) -> Path:
    """Reads after write protection: lazy-drop is faster by far, and least so with one vCPU."""
    path = tmp_path / "experiment.toml"
    path.write_text(
        READS.replace("minimal", "reads")
        + '[vm]\nmemory = "4MiB"\n[sweep]\n"vm.vcpus" = [1, 2]\n[replications]\nseeds = 2\n'
    )
    return path


def test_the_better_policy_is_selected_in_each_setting(reads: Path, tmp_path: Path) -> None:
    told: list[ProgressReport] = []
    rules = Rules(metric="phase_time", delta=0.02, first=5)
    made, failures = select(reads, tmp_path / "out", rules, workers=1, progress=told.append)
    assert not failures
    assert [contest.title for contest in made] == ["vcpus=1", "vcpus=2"]
    for contest in made:
        assert contest.selection is not None
        assert contest.selection.selected
        assert contest.names[contest.selection.best] == "lazy-drop"
        assert contest.selection.delta == pytest.approx(0.02 * contest.selection.means[1], rel=0.1)
        assert "lazy-drop has the lowest phase_time, with probability 0.95" in str(contest)
    assert told[-1].total == 5 * 4, "no more than the first seeds were needed"

    told.clear()
    again, _ = select(reads, tmp_path / "out", rules, workers=1, progress=told.append)
    assert again == made
    assert not told, "nothing is run twice"


def test_settings_and_everything_can_compete(
    reads: Path, tmp_path: Path, mmusim: Callable[..., tuple[int, str, str]]
) -> None:
    common = ("--out", tmp_path / "out", "--workers", 1, "--min-seeds", 5, "--json")
    status, text, _ = mmusim(
        "select", reads, "--among", "settings", "--policy", "lazy-drop", *common
    )
    data = json.loads(text)
    assert status == 0
    assert data["contests"][0]["names"] == ["vcpus=1", "vcpus=2"]
    assert data["rows"][0]["competitor"] == "vcpus=2", "two vCPUs read half each"
    status, text, _ = mmusim("select", reads, "--among", "all", *common)
    data = json.loads(text)
    assert status == 0
    assert data["rows"][0]["competitor"] == "vcpus=2 lazy-drop"
    assert len(data["rows"]) == 4


def test_who_cannot_be_told_apart_within_the_limit_is_named(
    tmp_path: Path, mmusim: Callable[..., tuple[int, str, str]]
) -> None:
    """Both write alike in this experiment, on streams of their own: the control of pairing."""
    path = tmp_path / "experiment.toml"
    path.write_text(
        MINIMAL + '[vm]\nmemory = "2MiB"\n[replications]\nseeds = 2\npairing = "independent"\n'
    )
    common = ("--out", tmp_path / "out", "--workers", 1, "--min-seeds", 4)
    status, text, _ = mmusim("select", path, "--delta", "0.001%", "--max-seeds", 7, *common)
    assert status == 1
    assert "not selected within 7 seeds" in text
    assert "may be the best" in text
    status, text, _ = mmusim("select", path, "--metric", "faults", *common)
    assert status == 0
    assert "equal in every seed: eager-drop, lazy-drop" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--metric", "phase_tme"], "did you mean 'phase_time'?"),
        (["--delta", "2"], "--delta = '2'"),
        (["--delta", "0%"], "is not positive; write e.g. 2%"),
        (["--confidence", "95"], "should be less than or equal to 0.9999"),
        (["--max-seeds", "5"], "is less than the first seeds; give 10 or more"),
        (["--min-seeds", "2"], "should be greater than or equal to 3"),
        (["--among", "policy"], "choose policies, settings or all"),
        (["--setting", "vcpus=3"], "did you mean 'vcpus="),
        (["--policy", "lazydrop"], "did you mean 'lazy-drop'?"),
        (["--policy", "lazy-drop"], "fewer than two competitors"),
    ],
)
def test_wrong_rules_are_refused(
    arguments: list[str],
    message: str,
    reads: Path,
    tmp_path: Path,
    mmusim: Callable[..., tuple[int, str, str]],
) -> None:
    status, _, err = mmusim("select", reads, "--out", tmp_path / "out", *arguments)
    assert status == 2
    assert message in err


def test_the_metric_that_answers_the_file_decides(
    reads: Path, tmp_path: Path, mmusim: Callable[..., tuple[int, str, str]]
) -> None:
    """A file that asks about faults is not answered by the time of a phase; an option still is."""
    reads.write_text(reads.read_text().replace("schema = 1", 'schema = 1\nanswer_by = "faults"'))
    common = (reads, "--out", tmp_path / "out", "--workers", 1, "--min-seeds", 3, "--costs", 0)
    status, text, _ = mmusim("select", *common, "--json")
    found = json.loads(text)["contests"][0]
    assert status == 0
    assert found["metric"] == "faults"
    assert found["selection"]["means"] == [1024.0, 0.0], "eager-drop faults on each page"
    assert "Selection by faults" in mmusim("select", *common)[1]
    _, text, _ = mmusim("select", *common, "--json", "--metric", "phase_time")
    assert json.loads(text)["contests"][0]["metric"] == "phase_time"


def test_a_metric_that_is_zero_has_no_best(reads: Path, tmp_path: Path) -> None:
    rules = Rules(metric="false_dirty", delta=0.02, first=3)
    with pytest.raises(ConfigError, match="is zero in every run"):
        select(reads, tmp_path / "out", rules, workers=1)
