"""A quantile with fewer than ten times beyond it is marked wherever it is shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex

from mmusim import plots
from mmusim.analysis import load, metrics, quantiles, runs
from mmusim.experiment.run import Outcome, run_experiment
from mmusim.metrics.few_beyond import FEW
from mmusim.plots.style import PAPER, hollow_note
from mmusim.report.answers import answers
from mmusim.report.claim_cells import expected_text
from mmusim.report.outcome_table import answer_data, answer_rows, notes
from mmusim.store.run_table import frame
from mmusim.tests.support.command_line import mmusim
from mmusim.vocabulary.amount import amount

FILE = """
schema = 1
id = "few"
question = "Which has the shorter tail?"
answer_by = "p99_request"
vm = { memory = "4MiB", kernel = "linux-6.13" }
host = { profile = "skylake-2021" }
policies = { baseline = "eager_page_split", compare = ["lazy-drop"] }
[driver]
measure = "requests"
phases = [
    { do = "write" }, { do = "enable-logging" },
    { do = "run", workload = "requests", name = "requests" },
]
[workloads.requests]
pattern = "open-loop-requests"
requests = 999
interarrival = "5us"
touches = 1
[replications]
seeds = 5
[sweep]
"workloads.requests.requests" = [999, 1000]
[[claims]]
says = "eager first"
metric = "p99_request"
order = "eager_page_split < lazy-drop"
[[claims]]
says = "eager is best"
metric = "p99_request"
best = "eager_page_split"
[[claims]]
says = "less by any time"
metric = "p99_request"
difference = "eager_page_split - lazy-drop"
expect = [-inf, 0.0]
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("few") / "experiment.toml"
    path.write_text(FILE)
    run_experiment(path, path.parent / "out", workers=1, engine="simpy")
    return path


@pytest.fixture(scope="module")
def outcome(file: Path) -> Outcome:
    return load(file, file.parent / "out")


def test_the_table_of_run_marks_it_in_its_row(outcome: Outcome) -> None:
    few, enough = answer_rows(outcome)[:2], answer_rows(outcome)[2:]
    assert all(row["p99_request, worst"].splitlines()[0].endswith(FEW) for row in few)
    assert not any(FEW in row["p99_request, worst"] for row in enough), "1,000 requests are enough"
    (said,) = [line for line in notes(outcome) if line.startswith(FEW)]
    assert "quantile of 999 times" in said
    marked = [bool(row["caveat"]) for row in answer_data(outcome)]
    assert marked == [True, True, False, False], "the baseline's value too"


def test_a_claim_that_rests_on_it_is_inconclusive_and_says_what_was_claimed(
    outcome: Outcome,
) -> None:
    """Controls: with 1,000 requests each claim is judged."""
    few, enough = outcome.verdicts[::2], outcome.verdicts[1::2]
    assert {v.outcome for v in few} == {"inconclusive"}
    assert {v.outcome for v in enough} == {"supported"}
    assert [v.what for v in few] == [
        "eager_page_split / lazy-drop", "eager_page_split", "eager_page_split - lazy-drop",
    ]  # fmt: skip
    assert [expected_text(v) for v in few] == ["below 1", "", "below 0 ns"]
    assert [expected_text(v) for v in enough] == ["below 1", "below 1", "below 0 ns"]


def test_each_sentence_marks_it(outcome: Outcome) -> None:
    """A sentence is copied alone. Control: that of the setting with 1,000 requests has no mark."""
    summary, few, enough, meaning = answers(outcome)
    assert "p99_request † of lazy-drop is" in few
    assert FEW in summary, "one of its two settings"
    assert FEW not in enough
    assert meaning.startswith("Beware: †: p99_request is a quantile of 999 times")


def test_statistics_and_export_mark_it(file: Path) -> None:
    out = str(file.parent / "out")
    said = mmusim("statistics", str(file), "--out", out, "--metric", "p99_request").stdout
    assert said.count("p99_request †") == 1, "of one setting of two"
    assert "† requests=999: p99_request is a quantile of 999 times" in said
    unmarked = mmusim("statistics", str(file), "--out", out, "--metric", "mean_request").stdout
    assert "†" not in unmarked
    table = frame(Path(out)).set_index("setting")["few_beyond"]
    assert all("p99_request" in text.split() for text in table["requests=999"])
    assert all("p99_request" not in text.split() for text in table["requests=1000"])
    assert all("p999_request" in text.split() for text in table)
    assert not any("p50_request" in text.split() for text in table)


def test_figures_mark_it(outcome: Outcome) -> None:
    ax = plots.across(outcome, "p99_request").axes[0]
    hollow = [line for line in ax.lines if to_hex(str(line.get_markerfacecolor())) == PAPER]
    assert [np.asarray(line.get_xdata()).tolist() for line in hollow] == [[-0.2], [0.2]], (
        "of the first setting"
    )
    assert [key.get_title().get_text() for key in ax.figure.legends] == [hollow_note()]
    unmarked = plots.across(outcome, "mean_request")
    assert [key.get_title().get_text() for key in unmarked.legends] == [""]
    rows = [text.get_text() for text in plots.ratios(outcome, "p99_request").axes[0].texts]
    assert [row.endswith("few beyond") for row in rows] == [True, False]
    cells = [
        t.get_text() for t in plots.phase_diagram(outcome, "p99_request", "lazy-drop").axes[0].texts
    ]
    assert [cell.endswith("(few beyond)") for cell in cells] == [True, False]


def test_shifts_mark_it(file: Path, outcome: Outcome) -> None:
    """Of 999 requests fewer than ten lie beyond p99, of 1,000 ten do."""
    out = str(file.parent / "out")
    shown = mmusim("statistics", str(file), "--out", out, "--shift", "request").stdout
    rows = [line for line in shown.splitlines() if " lazy-drop against" in line]
    marked = [(row.split()[1], row.split("│")[3].strip()) for row in rows if FEW in row]
    assert [q for _, q in marked] == [
        f"{q} {FEW}" for q in ("0.99", "0.999", "0.9999", "0.999", "0.9999")
    ]
    assert "fewer than 10 times of some run lie beyond" in shown
    axes = plots.shift(outcome, of="request").axes
    hollow = [
        len(np.asarray(line.get_xdata()))
        for ax in axes[:2]
        for line in ax.lines
        if to_hex(str(line.get_markerfacecolor())) == PAPER
    ]
    assert hollow == [3, 2]


def test_frames_mark_it(outcome: Outcome) -> None:
    table = runs(outcome).set_index("setting")["few_beyond"]
    assert all("p99_request" in text.split() for text in table["requests=999"])
    assert all("p99_request" not in text.split() for text in table["requests=1000"])
    at_99 = quantiles(outcome, [0.5, 0.99], "request").groupby(["setting", "p"])["few_beyond"]
    assert at_99.all().to_dict() == {
        ("requests=999", 0.5): False, ("requests=999", 0.99): True,
        ("requests=1000", 0.5): False, ("requests=1000", 0.99): False,
    }  # fmt: skip
    long = metrics(outcome, "p99_request").groupby("setting")["few_beyond"]
    assert long.all().to_dict() == {"requests=999": True, "requests=1000": False}


def test_settings_and_compare_mark_it(file: Path) -> None:
    out = str(file.parent / "out")
    said = mmusim("settings", str(file), "--out", out, "--metric", "p99_request").stdout
    assert f"{FEW}: p99_request is a quantile of 999 times" in said
    unmarked = mmusim("settings", str(file), "--out", out, "--metric", "mean_request").stdout
    assert FEW not in unmarked


def test_select_and_sensitivity_take_the_metric_of_the_file_and_mark_it(
    file: Path, tmp_path: Path
) -> None:
    def said(requests: int, *verb: str) -> str:
        own = tmp_path / f"{requests}.toml"
        own.write_text(FILE.partition("[sweep]")[0].replace("= 999", f"= {requests}"))
        options = ("--out", str(tmp_path / f"{verb[0]}{requests}"))
        return mmusim(verb[0], str(own), *options, *verb[1:], "--engine", "simpy").stdout

    select = ("select", "--max-seeds", "3", "--min-seeds", "3", "--workers", "1")
    sensitivity = ("sensitivity", "--samples", "4", "--workers", "1")
    for verb in (select, sensitivity):
        assert f"{FEW}: p99_request is a quantile of 999 times" in said(999, *verb)
    assert FEW not in said(1000, *select)


def test_amounts_have_the_unit_of_their_metric() -> None:
    assert amount("sent_bytes", 1 << 21) == "2MiB"
    assert amount("p99_request", 1_500.0) == "1.5 us"
    assert amount("false_dirty", 1_234.567) == "1,235 pages"
    assert amount("lost_share", 0.123456) == "0.1235"
