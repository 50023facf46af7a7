"""The report is one file, complete, and a browser draws it without complaint."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from test_cli import SMALL

from mmusim.experiment import Outcome, run_experiment
from mmusim.report import answers, write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, Path]:
    folder = tmp_path_factory.mktemp("report")
    sweep = '\n[sweep]\n"vm.memory" = ["4MiB", "8MiB"]\n'
    (folder / "experiment.toml").write_text(SMALL + sweep)
    outcome = run_experiment(folder / "experiment.toml", folder / "out", workers=1)
    return outcome, write_report(outcome, folder / "out")


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
    assert text.count("<figure>") == 4
    assert '<td class="supported">supported</td>' in text
    assert outcome.about["mmusim"] in text
    assert "mmusim run" in text


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


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("width", [390, 1400])
def test_a_browser_draws_it_without_overflow(
    width: int, made: tuple[Outcome, Path], tmp_path: Path
) -> None:
    """The page tells its own width in its title: wider than the window means it overflows."""
    page = tmp_path / "page.html"
    frame = (
        f'<iframe id="f" src="report.html" width="{width}" height="900"></iframe><script>'
        "f.onload = () => { const d = f.contentDocument; document.title = "
        "d.documentElement.scrollWidth + ' ' + [...d.querySelectorAll('figure svg')]"
        ".filter(s => s.getBoundingClientRect().height > 50).length; }</script>"
    )
    page.write_text(frame)
    shutil.copy(made[1], tmp_path / "report.html")
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
        "--disable-background-networking", "--disable-component-update", "--disable-quic",
        "--allow-file-access-from-files", f"--user-data-dir={tmp_path / 'profile'}",
        "--virtual-time-budget=5000", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=60, check=True
    )
    title = re.search(r"<title>(\d+) (\d+)</title>", done.stdout)
    assert title is not None, done.stdout[-500:]
    assert int(title[1]) <= width
    assert int(title[2]) == made[1].read_text().count("<figure>")
    assert "Uncaught" not in done.stderr
