"""Claims about a window, and the map of one comparison over all windows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w

from mmusim import plots
from mmusim.analysis import load
from mmusim.analysis.horizons import is_sure, over_windows
from mmusim.base.errors import ConfigError
from mmusim.config.settings import settings_of
from mmusim.experiment.run import Outcome, run_experiment
from mmusim.metrics.few_beyond import few_beyond
from mmusim.tests.support.command_line import mmusim

WHAT = {"says": "dropping is slower", "ratio": "lazy-drop / eager_page_split", "expect": [1.05, 99]}
DATA: dict[str, Any] = {
    "schema": 1,
    "id": "horizons",
    "question": "Until when?",
    "answer_by": "mean_request",
    "vm": {"vcpus": 2, "memory": "8MiB", "kernel": "linux-6.13"},
    "host": {"profile": "skylake-2021"},
    "policies": {"baseline": "eager_page_split", "compare": ["lazy-drop"]},
    "driver": {
        "measure": "early",
        "windows": [
            {"name": "before", "from": "requests", "to": "enable-logging"},
            {"name": "early", "from": "end of enable-logging", "lasts": "200us"},
            {"name": "late", "from": "end of enable-logging", "after": "9ms", "lasts": "1ms"},
        ],
        "phases": [
            {"do": "write"},
            {"do": "run", "workload": "requests", "name": "requests", "background": True},
            {"do": "enable-logging", "at": "100us"},
        ],
    },
    "workloads": {
        "requests": {
            "pattern": "open-loop-requests", "requests": 100, "interarrival": "20us",
            "arrivals": "regular", "touches": 8, "writes": "50%",
        },
    },
    "replications": {"seeds": 8, "costs": 8},
    "claims": [
        {**WHAT, "metric": "mean_request"},
        {**WHAT, "metric": "mean_request", "window": "early"},
        {**WHAT, "metric": "mean_request", "window": "late"},
        {**WHAT, "metric": "mean_request", "window": "before"},
        {**WHAT, "metric": "p99_request", "window": "early"},
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("horizons") / "experiment.toml"
    path.write_text(tomli_w.dumps(DATA))
    return path


@pytest.fixture(scope="module")
def outcome(file: Path) -> Outcome:
    return run_experiment(file, file.parent / "out", workers=1, engine="simpy")


def test_a_claim_about_a_window_is_judged_by_what_was_met_there(outcome: Outcome) -> None:
    measured, early, late, before, quantile = outcome.verdicts
    assert early.measured == measured.measured, "this window is what the driver measures"
    assert early.outcome == "supported"
    assert late.measured.estimate < early.measured.estimate, "by then most pages are mapped"
    assert before.outcome == "inconclusive", "no policy met the log"
    assert "never met the log" in before.reason
    assert quantile.outcome == "inconclusive", "20 requests have no 99th percentile"
    assert "20 times" in quantile.reason
    assert early.over_hosts is not None
    assert late.over_hosts is not None
    assert early.over_hosts.low > late.over_hosts.low, "hosts are asked about the window too"


def test_a_run_within_a_window_keeps_what_is_of_the_whole_run(outcome: Outcome) -> None:
    run = outcome.settings[0].runs["lazy-drop"][0]
    late = run.within("late")
    assert late.values["enable_time"] == run.values["enable_time"]
    assert late.values["request_count"] == 100
    assert run.values["request_count"] == 20
    assert "of 100 times" in few_beyond(late.values, "p99_request")
    with pytest.raises(KeyError):
        run.within("never")


def test_the_map_has_a_column_a_window(outcome: Outcome) -> None:
    (row,) = over_windows(outcome, "mean_request", "lazy-drop").values()
    assert list(row) == ["before", "early", "late"]
    before, early = row["before"], row["early"]
    assert before is not None
    assert early is not None
    assert before.answer.why.endswith("logging was never on in it")
    assert not is_sure(before)
    assert is_sure(early)
    assert early.family == 3
    assert early.over_hosts is not None
    share = replace(early.over_hosts.holds, estimate=0.85)
    doubtful = replace(early, over_hosts=replace(early.over_hosts, holds=share))
    assert not is_sure(doubtful), "five hosts of six are too few to claim a sign"
    ax = plots.horizons(outcome, "mean_request", "lazy-drop").axes[0]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["before", "early", "late"]
    (image,) = ax.collections
    (colours,) = np.asarray(image.get_array())
    assert colours[0] == 0, "nothing differs before logging begins"
    assert colours[1] > 0, "slower is worse"
    (quantiles,) = over_windows(outcome, "p99_request", "lazy-drop").values()
    assert not any(is_sure(made) for made in quantiles.values() if made), "too few requests"
    marked = plots.horizons(outcome, "p99_request", "lazy-drop").axes[0]
    assert all("*" in text.get_text() for text in marked.texts)


def test_the_command_line_draws_it_from_stored_runs(
    outcome: Outcome, file: Path, tmp_path: Path
) -> None:
    stored = load(file, file.parent / "out")
    assert set(stored.host_runs) == set(outcome.host_runs)
    to = tmp_path / "map.svg"
    mmusim("plot", "horizons", str(file), "--out", str(file.parent / "out"), "--to", str(to))
    assert "sign on 90% of 8 hosts" in to.read_text()


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ({"window": "earli"}, "claims[1].window = 'earli': is not a window of the driver; did you"),
        ({"window": "early", "metric": "enable_time"}, "enable_time is of the whole run"),
    ],
)
def test_what_is_wrong_with_a_window_of_a_claim_is_said(
    claim: dict[str, str], message: str, tmp_path: Path
) -> None:
    data = DATA | {"claims": [{**WHAT, "metric": "mean_request"} | claim]}
    with pytest.raises(ConfigError) as told:
        settings_of(data, "file", tmp_path)
    assert message in str(told.value)


def test_what_has_no_horizon_has_no_map(outcome: Outcome) -> None:
    with pytest.raises(ConfigError, match="one horizon"):
        over_windows(outcome, "protect_time", "lazy-drop")
    driver = outcome.experiment.driver.model_copy(update={"windows": []})
    without = outcome.experiment.model_copy(update={"driver": driver})
    with pytest.raises(ConfigError, match="name windows"):
        over_windows(replace(outcome, experiment=without), "mean_request", "lazy-drop")
