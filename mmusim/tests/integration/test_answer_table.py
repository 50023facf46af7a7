"""What `run` prints: the metric that was asked for, with units, in 100 columns."""

from __future__ import annotations

import json
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmusim.analysis import comparisons, verdicts
from mmusim.cli import app
from mmusim.cli.shared.output import table
from mmusim.experiment.run import Outcome, run_experiment
from mmusim.report.answers import answers
from mmusim.report.claim_cells import FIXED_COSTS
from mmusim.report.outcome_table import answer_data, answer_rows, before_running, notes
from mmusim.report.page import render
from mmusim.report.tables import comparisons as report_comparisons
from mmusim.tests.support.experiment_files import SMALL
from mmusim.vocabulary.amount import amount


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    folder = tmp_path_factory.mktemp("answer")
    path = folder / "experiment.toml"
    text = SMALL.replace('id = "small"', 'id = "small"\nanswer_by = "p99_latency"')
    path.write_text(text.replace("seeds = 5", "seeds = 5\ncosts = 8"))
    return run_experiment(path, folder / "out", workers=1, engine="simpy")


def test_the_table_answers_by_the_metric_that_was_asked_for(outcome: Outcome) -> None:
    baseline, candidate = answer_rows(outcome)
    (c,) = outcome.settings[0].comparisons["p99_latency"]
    assert c.ratio is not None
    assert baseline["p99_latency, worst"].split()[1] in ("ns", "us"), "with its unit"
    worst_cell = candidate["p99_latency, worst"].splitlines()[1]
    estimate, bounds = candidate["ratio, 95 %"].splitlines()
    assert estimate == f"{c.ratio.estimate:.4g}"
    assert bounds.startswith(f"{c.ratio.low:.4g} .. {c.ratio.high:.4g}")
    assert candidate["outcome"].startswith(c.answer.outcome)
    assert "%" in candidate["holds"]
    worst = max(r.values["max_latency"] for r in outcome.settings[0].runs["lazy-drop"])
    assert float(worst_cell.split()[0].replace(",", "")) == pytest.approx(
        worst / {"ns": 1, "us": 1e3, "ms": 1e6}[worst_cell.split()[1]], rel=0.01
    )


def test_the_printed_table_has_no_more_than_100_columns(
    outcome: Outcome, capsys: pytest.CaptureFixture[str]
) -> None:
    table("Answer", answer_rows(outcome), False, at_most=100)
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert "Not shown" not in text, "and the largest times are never hidden"
    largest = max(r.values["max_latency"] for r in outcome.settings[0].runs["lazy-drop"])
    assert amount("max_latency", largest) in text
    assert max(map(len, lines)) <= 100


def test_the_same_is_there_as_data(outcome: Outcome) -> None:
    baseline, candidate = answer_data(outcome)
    assert baseline["policy"] == "eager-drop"
    assert "ratio" not in baseline
    assert candidate["hosts"] == 8
    assert 0 <= candidate["holds_low"] <= candidate["holds"] <= candidate["holds_high"] <= 1
    assert candidate["outcome"] in ("better", "worse", "equivalent", "unknown")
    json.dumps(candidate)


def test_what_the_figures_rest_on_is_said_below(outcome: Outcome) -> None:
    said = "\n".join(notes(outcome))
    assert "Intervals are over 5 paired seeds" in said
    assert "Pairing: the variance is" in said
    assert "Holds: share of 8 hosts" in said
    assert "What is not known of the host is behind" in said


def test_every_place_of_a_verdict_has_its_share_of_hosts_with_the_interval(
    outcome: Outcome,
) -> None:
    """Sentence, table, report and frames; without hosts they say that, or nothing."""
    (c,) = outcome.settings[0].comparisons["p99_latency"]
    assert c.over_hosts is not None
    assert c.answer.outcome != "unknown"
    share = c.over_hosts.holds
    bounds = f"{100 * share.low:.0f} .. {100 * share.high:.0f} %"
    alone = without_hosts(outcome)
    apart = bounds.replace("..", "to")
    assert f"the same on {c.over_hosts} of 8 hosts, at 95 % on {apart}" in answers(outcome)[0]
    assert f"95 of 100 hosts have {c.over_hosts.low:.4g} to " in answers(outcome)[0]
    assert "hosts" not in answers(alone)[0]
    assert answer_rows(outcome)[1]["holds"].splitlines() == [str(c.over_hosts), bounds]
    assert "holds" not in answer_rows(alone)[1]
    row = comparisons(outcome, "p99_latency").iloc[0]
    assert (row["hosts"], row["holds"], row["holds_low"]) == (8, share.estimate, share.low)
    assert comparisons(alone, "p99_latency")["holds"].isna().all()
    fresh = comparisons(outcome, "max_latency").iloc[0]  # a metric that is not evaluated otherwise
    assert fresh["hosts"] == (8 if fresh["answer"] != "unknown" else 0)
    assert row["why"] == c.answer.why
    judged = verdicts(outcome).iloc[0]
    assert (judged["hosts"], judged["holds_high"]) == (8, 1)
    said = render(outcome, [])
    assert f"{share.estimate:.0%} [{share.low:.0%}, {share.high:.0%}]" in said
    assert FIXED_COSTS not in unescape(said)
    assert FIXED_COSTS in unescape(render(alone, []))


def without_hosts(outcome: Outcome) -> Outcome:
    """Return the outcome as it is if no host was tried."""
    settings = [
        replace(
            one,
            comparisons={
                metric: [replace(c, over_hosts=None) for c in made]
                for metric, made in one.comparisons.items()
            },
        )
        for one in outcome.settings
    ]
    judged = [replace(v, over_hosts=None) for v in outcome.verdicts]
    return replace(outcome, settings=settings, verdicts=judged, hosts=0, host_runs={})


def test_a_report_has_the_largest_time_beside_a_quantile(outcome: Outcome) -> None:
    table_ = report_comparisons(outcome)
    worst = [name for name, _ in table_.columns].index("worst")
    rows = {row[1].text: row[worst].text for row in table_.rows}
    runs = outcome.settings[0].runs
    for policy in ("lazy-drop", "eager-drop"):
        largest = max(r.values["max_latency"] for r in runs[policy])
        assert amount("max_latency", largest) in rows["p99_latency"]


def test_what_cannot_come_out_is_said_before_running() -> None:
    assert "smoke test" in next(before_running(12, 3, 3))
    assert "equivalent takes 29 seeds" in next(before_running(12, 3, 20))
    assert list(before_running(12, 3, 30)) == []
    assert "among 400 comparisons nothing" in next(before_running(200, 3, 30))


@pytest.mark.parametrize("columns", [80, 100, 120])
def test_check_and_select_hide_no_result(
    columns: int, outcome: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    path = tmp_path / "experiment.toml"
    text = SMALL.replace("[[claims]]", '[[claims]]\nmetric = "p99_latency"')
    path.write_text(text.replace("seeds = 5", "seeds = 5\ncosts = 8"))
    common = [str(path), "--workers", "1", "--engine", "simpy", "--out"]
    checked = CliRunner().invoke(app, ["check", *common, str(tmp_path / "checked")]).stdout
    largest = max(r.values["max_latency"] for r in outcome.settings[0].runs["lazy-drop"])
    for part in ("p99_latency", "0 .. 0.9", "100 %", "supported", "worst", "expected", "holds"):
        assert part in checked, part
    assert "63 .. 100 %" in checked, "eight of eight hosts are not all hosts"
    assert amount("max_latency", largest) in checked, "what a quantile hides"
    assert "Not shown" not in checked or "columns: origin." in checked
    chosen = ["select", "--metric", "p99_latency", "--min-seeds", "5", *common]
    selected = CliRunner().invoke(app, [*chosen, str(tmp_path / "selected")]).stdout
    assert amount("max_latency", largest) in selected
    assert "of 8 hosts" in selected
    assert "Not shown" not in selected
    for line in (*checked.splitlines(), *selected.splitlines()):
        assert len(line) <= columns or line[:1] not in "┏┃┡│└"


def test_a_column_with_differences_says_so(outcome: Outcome) -> None:
    """A time beside a baseline of 1 read as a ratio."""
    (result,) = outcome.settings
    (c,) = result.comparisons["p99_latency"]
    apart = replace(result, comparisons={"p99_latency": [replace(c, ratio=None)]})
    baseline, candidate = answer_rows(replace(outcome, settings=[apart]))
    assert baseline["ratio or difference, 95 %"] == "0"
    assert candidate["ratio or difference, 95 %"].split()[1] in ("ns", "us")
    assert answer_rows(outcome)[0]["ratio, 95 %"] == "1", "negative control"
