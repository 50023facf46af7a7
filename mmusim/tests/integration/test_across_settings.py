"""Settings against settings: strategies of one migration, with runs that did not converge."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from mmusim.base.errors import ConfigError
from mmusim.config.settings import load_settings
from mmusim.experiment.across_settings import SettingContrast, setting_contrasts, values
from mmusim.experiment.exposure import warnings
from mmusim.experiment.run import Outcome, run_experiment
from mmusim.experiment.selection import Rules, _state_of
from mmusim.report.across_settings import sentence, setting_rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five seeds of a migration that converges, that does not, and under an idle dirty limit."""
    made = tmp_path_factory.mktemp("strategies")
    data: dict[str, Any] = {
        "schema": 1,
        "id": "strategies",
        "question": "Which strategy has the shortest downtime?",
        "answer_by": "downtime",
        "vm": {"vcpus": 1, "memory": "4MiB", "kernel": "linux-6.13"},
        "host": {"profile": "skylake-2021"},
        "policies": {"baseline": "linux-6.13+dirty-ring", "compare": ["linux-6.13+pml+dirty-ring"]},
        "driver": {
            "phases": [{"do": "write"}, {"do": "migrate", "workload": "busy", "think": "20us"}],
            "migration": {
                "bandwidth": "2GB/s", "max-bandwidth": "0B/s", "downtime-limit": "1ms",
                "max_rounds": 100_000, "max_time": "130ms",
            },
        },
        "workloads": {
            "busy": {"pattern": "uniform", "accesses_per_page": 0.5, "writes": "100%"},
        },
        "replications": {"seeds": 5},
        "variants": {
            "fast": {"driver.migration.bandwidth": "20GB/s"},
            "slow": {"driver.migration.bandwidth": "100MB/s"},
            "limited": {
                "driver.migration.bandwidth": "20GB/s",
                "driver.migration.vcpu-dirty-limit": "1MB/s",
            },
        },
    }  # fmt: skip
    (made / "experiment.toml").write_text(tomli_w.dumps(data))
    return made


@pytest.fixture(scope="module")
def outcome(folder: Path) -> Outcome:
    return run_experiment(folder / "experiment.toml", folder / "out", workers=1, engine="simpy")


def against_fast(outcome: Outcome, metric: str, setting: str) -> SettingContrast:
    found = setting_contrasts(outcome, metric, policy="linux-6.13+dirty-ring")
    return next(one for one in found if one.candidate == setting)


def test_a_downtime_that_some_runs_do_not_have_is_worse_than_any(outcome: Outcome) -> None:
    one = against_fast(outcome, "downtime", "slow")
    assert one.censored
    assert (one.baseline_known, one.candidate_known, one.seeds) == (5, 0, 5)
    assert one.candidate_median == float("inf")
    assert one.baseline_median < 10e6
    assert one.better.estimate == 0.0
    assert one.comparison is None


def test_who_gives_up_sooner_has_not_migrated_sooner(outcome: Outcome) -> None:
    """Where it ended, a migration has a time; where it was given up, only a time of giving up."""
    one = against_fast(outcome, "migration_time", "slow")
    assert (one.baseline_known, one.candidate_known) == (5, 0)
    assert (one.candidate_median, one.better.estimate, one.comparison) == (float("inf"), 0.0, None)
    runs = outcome.settings[1].runs["linux-6.13+dirty-ring"]
    assert {run.outcome for run in runs} == {"did-not-converge"}
    assert max(run.values["migration_time"] for run in runs) < 150e6, "control: it has a number"
    assert values(runs, "sent_bytes") == [run.values["sent_bytes"] for run in runs], "control"


def test_settings_in_which_all_runs_have_it_are_compared_as_policies_are(outcome: Outcome) -> None:
    """Control: a limit that never acts changes nothing, on equal seeds to the nanosecond."""
    one = against_fast(outcome, "downtime", "limited")
    assert not one.censored
    assert one.better.estimate == 0.5, "all are ties"
    assert one.comparison is not None
    assert one.comparison.difference.estimate == 0
    more = against_fast(outcome, "migrated", "slow")
    assert more.better.estimate == 0.0, "higher is better, and slow migrates nothing"


def test_a_dirty_limit_that_never_acts_is_said(outcome: Outcome) -> None:
    said = [line for line in warnings(outcome) if "dirty limit never acted" in line]
    assert said
    assert all(line.startswith("limited: ") for line in said), "control: nor of the others"


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ({"metric": "downtim"}, "did you mean 'downtime'"),
        ({"metric": "downtime", "baseline": "fats"}, "did you mean 'fast'"),
        ({"metric": "downtime", "policy": "none"}, "is not a policy"),
    ],
)
def test_what_does_not_exist_is_refused(outcome: Outcome, key: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        setting_contrasts(outcome, **key)


def test_the_verb_prints_medians_and_who_has_none(
    folder: Path, outcome: Outcome, mmusim: Callable[..., tuple[int, str, str]]
) -> None:
    args = ("settings", str(folder / "experiment.toml"), "--out", str(folder / "out"))
    status, out, _ = mmusim(*args)
    assert status == 0
    assert "none" in out
    assert "5 and 0 of 5" in out
    assert "count as worse" in out


# --- one policy is enough ---


@pytest.fixture
def one_policy(folder: Path, tmp_path: Path) -> Path:
    """The same question about one policy; its file."""
    data = tomllib.loads((folder / "experiment.toml").read_text())
    data["policies"] = {"baseline": "linux-6.13+dirty-ring"}
    path = tmp_path / "experiment.toml"
    path.write_text(tomli_w.dumps(data))
    return path


def test_a_file_with_one_policy_compares_its_settings(
    one_policy: Path, mmusim: Callable[..., tuple[int, str, str]]
) -> None:
    out = ("--out", str(one_policy.parent / "out"), "--workers", "1")
    status, text, errors = mmusim("run", str(one_policy), *out)
    assert status == 0, errors
    assert "slow: downtime under linux-6.13+dirty-ring is better than that of fast with" in text
    assert "limited: downtime under linux-6.13+dirty-ring is 1 times that of fast" in text
    assert "count as worse than all that do" in text
    status, text, errors = mmusim("run", str(one_policy), *out, "--json")
    rows = json.loads(text)["rows"]
    assert {row["setting"]: row["known"] for row in rows} == {"slow": [5, 0], "limited": [5, 5]}
    assert status == 0, errors

    few = ("--min-seeds", "5", "--metric", "downtime")
    status, text, errors = mmusim("select", str(one_policy), *out, *few, "--json")
    assert status == 0, errors
    (contest,) = json.loads(text)["contests"]
    assert contest["names"] == ["fast", "slow", "limited"]
    assert contest["selection"]["alive"] == [0, 2], "equal in every seed"
    assert contest["selection"]["dropped_at"] == [None, 1, None]
    assert contest["selection"]["means"][1] is None
    status, text, errors = mmusim("select", str(one_policy), *out, *few)
    wrapped = r"a run\b.*without\b.*the\b.*metric,.*seed\b.*1\b"
    assert re.search(wrapped, text, re.DOTALL), "within its cell, in a table of 100 columns"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"variants": {}}, "leaves nothing to compare: one policy, one setting"),
        (
            {"replications": {"seeds": 5, "precision": "5%", "max_seeds": 9}},
            "is of ratios between policies",
        ),
    ],
)
def test_one_policy_in_one_setting_is_refused(
    one_policy: Path, more: dict[str, Any], words: str
) -> None:
    data = tomllib.loads(one_policy.read_text()) | more
    one_policy.write_text(tomli_w.dumps(data))
    with pytest.raises(ConfigError, match=words):
        load_settings(one_policy)


def test_nobody_is_selected_where_nobody_has_the_metric() -> None:
    rules = Rules(metric="downtime", delta=0.02, first=3)
    never = [float("inf")] * 3
    with pytest.raises(ConfigError, match="is missing in runs of every competitor"):
        _state_of([never, never], rules)
    alone = _state_of([[5.0, 6.0, 7.0], never], rules)
    assert alone is not None
    assert (alone.selected, alone.alive, alone.dropped_at) == (True, (0,), (None, 1))


def test_there_is_no_verdict_where_no_run_has_the_metric(outcome: Outcome) -> None:
    one = next(c for c in setting_contrasts(outcome, "downtime") if c.candidate == "slow")
    assert one.baseline_known
    assert "no verdict" not in sentence(one), "control"
    nothing = replace(one, baseline_known=0, candidate_known=0)
    assert sentence(nothing).startswith("slow: there is no verdict on downtime")
    (row,) = setting_rows([nothing])
    assert row["better"] == "unknown"
