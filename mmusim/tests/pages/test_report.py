"""The report is one file, complete, honest, and nothing in it needs the experiment again."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mmusim import plots
from mmusim.analysis.answers import compared
from mmusim.base.errors import ConfigError
from mmusim.experiment.run import Outcome
from mmusim.plots.causes import COLOURS
from mmusim.report import answers, tables, write_index
from mmusim.report.figures import VARIABLES, inlined
from mmusim.report.index import summary
from mmusim.tests.support.command_line import mmusim
from mmusim.tests.support.experiment_files import SMALL
from mmusim.tests.support.reports import SWEPT, report_of


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, Path]:
    return report_of(tmp_path_factory.mktemp("report"), SWEPT)


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_it_needs_no_other_file(made: tuple[Outcome, Path]) -> None:
    text = made[1].read_text()
    tags = Tags()
    tags.feed(text)
    outside = [
        value
        for _, attrs in tags.found
        for key, value in attrs.items()
        if key in ("src", "href", "xlink:href") and not (value or "").startswith("#")
    ]
    assert outside == []
    assert "url(http" not in text
    assert "@import" not in text


def test_it_has_an_answer_claims_figures_and_provenance(made: tuple[Outcome, Path]) -> None:
    outcome, path = made
    text = path.read_text()
    for answer in answers(outcome):
        assert answer in text
    assert text.count("<figure>") == text.count("<svg ") == 8
    assert text.count('supported">supported</td>') == len(outcome.verdicts) == 4
    assert outcome.about["mmusim"] in text
    assert "experiment.toml --seeds 10" in text
    for result in outcome.settings:
        assert result.runs["lazy-drop"][0].fingerprint in text


def test_a_single_comparison_is_answered_in_a_sentence(tmp_path: Path) -> None:
    """With its interval, its outcome and the number of seeds."""
    outcome, path = report_of(tmp_path / "few", SMALL)
    (said,) = answers(outcome)
    (comparison,) = compared(outcome, "phase_time")[""]
    ratio = comparison.ratio
    assert ratio is not None
    assert said.startswith(f"lazy-drop takes {ratio.estimate:.4g} ({ratio.low:.4g} to ")
    assert "%, better, 5 paired seeds)" in said
    assert said in path.read_text()


def test_a_default_that_takes_part_is_said(tmp_path: Path) -> None:
    """Negative control: who names a kernel and a host reads nothing of defaults."""
    anybody = SMALL.replace('kernel = "linux-3.7"\n', "", 1)
    assert anybody != SMALL
    for name, text in (("named", SMALL), ("default", anybody)):
        page = report_of(tmp_path / name, text)[1].read_text()
        assert ("is the default, vm.kernel is not given" in page) == (name == "default")
        assert "is the default, host.profile" not in page


def test_many_settings_are_summed_up(made: tuple[Outcome, Path]) -> None:
    """And what is significant is counted: with ten seeds all of them are."""
    first, *others = answers(made[0])
    assert first.startswith(
        "Against eager-drop, phase_time of lazy-drop is lower (better) in 4 of 4 "
    )
    assert len(others) == 4


def test_the_metric_that_answers_is_the_files_choice(tmp_path: Path) -> None:
    text = SMALL.replace('id = "small"', 'id = "small"\nanswer_by = "lost_time"')
    outcome, path = report_of(tmp_path / "by", text)
    (said,) = answers(outcome)
    assert "lost_time of lazy-drop differs from that of eager-drop by -" in said, "zero: no ratio"
    assert "lost_time" in outcome.settings[0].comparisons
    assert "lost_time relative to eager-drop" in path.read_text()


def test_tables_say_what_the_runs_say(made: tuple[Outcome, Path]) -> None:
    outcome, _ = made
    table = tables.comparisons(outcome)
    metrics = list(outcome.settings[0].comparisons)
    assert len(table.rows) == 4 * len(metrics)
    assert all(len(row) == len(table.columns) for row in table.rows)
    for c, row in zip(compared(outcome, "phase_time").values(), table.rows, strict=False):
        assert c[0].ratio is not None
        cells = {name: cell for (name, _), cell in zip(table.columns, row, strict=True)}
        assert cells["ratio"].value == c[0].ratio.estimate
        assert cells["answer"].text == "better"
    causes = [name for name, _ in tables.ledger(outcome).columns[2:]]
    row = tables.ledger(outcome).rows[0]
    runs = outcome.settings[0].runs["eager-drop"]
    total = sum(run.ledger[c] for run in runs for c in causes) / len(runs)
    assert sum(setting.value or 0 for setting in row[2:]) == pytest.approx(total)


def test_ids_are_unique(made: tuple[Outcome, Path]) -> None:
    ids = re.findall(r'\bid="([^"]+)"', made[1].read_text())
    assert len(ids) == len(set(ids))


def test_references_inside_figures_resolve(made: tuple[Outcome, Path]) -> None:
    text = made[1].read_text()
    ids = set(re.findall(r'\bid="([^"]+)"', text))
    targets = set(re.findall(r'xlink:href="#([^"]+)"', text)) | set(
        re.findall(r"url\(#([^)]+)\)", text)
    )
    assert targets <= ids
    assert targets


def test_every_figure_says_what_it_is(made: tuple[Outcome, Path]) -> None:
    text = made[1].read_text()
    assert text.count('<svg role="img" aria-label="') == text.count("<figcaption>")


def test_figures_take_the_colours_of_the_page(made: tuple[Outcome, Path]) -> None:
    """No neutral colour and none of a series is left; causes keep theirs in light and dark."""
    outcome, path = made
    figures = re.findall(r"<figure>.*?</figure>", path.read_text(), flags=re.S)
    left = [colour for colour in VARIABLES for figure in figures if colour in figure]
    assert left == []
    assert set(re.findall(r"var\((--[\w-]+)\)", "".join(figures))) >= {"--fig-ink", "--s0"}
    assert not set(COLOURS.values()) & set(VARIABLES), "or two causes look alike on a dark page"
    alone = str(inlined("a", "b", plots.ratios(outcome)))
    assert "var(--fig-ink)" in alone


def test_an_index_has_a_row_for_each_report(made: tuple[Outcome, Path], tmp_path: Path) -> None:
    outcome, path = made
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.html").write_bytes(path.read_bytes())
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "report.html").write_text("<title>somebody else's</title>")
    done = mmusim("index", tmp_path)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "index.html").read_text()
    for name in ("one", "two"):
        assert f'<a href="{name}/report.html">Is it faster?</a>' in text
    assert text.count(answers(outcome)[0]) == 2
    assert "<li>other</li>" in text, "what is not ours is named"
    facts = summary(path)
    assert facts is not None
    assert facts["verdicts"] == {"supported": 4, "refuted": 0, "inconclusive": 0}
    assert facts["runs"] == 4 * 2 * 10
    before = text
    assert write_index(tmp_path).read_text() == before, "written again, the same"


def test_an_index_of_nothing_is_refused(tmp_path: Path) -> None:
    done = mmusim("index", tmp_path)
    assert (done.returncode, "holds no folder with a report" in done.stderr) == (2, True)
    with pytest.raises(ConfigError, match="is not a folder"):
        write_index(tmp_path / "x")
    assert not (tmp_path / "index.html").exists()


def test_words_of_a_question_cannot_become_code(tmp_path: Path) -> None:
    """Negative control: what a file says is text, in the page and in what an index reads of it."""
    evil = "</script><script>alert(1)</script>"
    outcome, path = report_of(tmp_path / "evil", SMALL.replace("Is it faster?", evil))
    text = path.read_text()
    assert evil not in text
    assert text.count("<script") == 2
    facts = summary(path)
    assert facts is not None
    assert facts["question"] == outcome.experiment.question == evil
    assert json.dumps(facts)
