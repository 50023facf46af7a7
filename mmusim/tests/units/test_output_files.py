"""Files that are written: whole or not at all, through no link, as text and not as formulas."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from mmusim.base.errors import ConfigError
from mmusim.base.files import LEAST_ROOM, check_place, whole
from mmusim.cli.results.export import _no_formula
from mmusim.cli.shared.figures import write_figure
from mmusim.plots.style import STYLE
from mmusim.report.index import summary
from mmusim.tests.support.little_room import in_little_room


def test_no_link_is_followed_and_nothing_is_left_behind(tmp_path: Path) -> None:
    target, precious = tmp_path / "out.csv", tmp_path / "precious"
    precious.write_text("keep")
    for name in (".out.csv.new", "out.csv"):
        (tmp_path / name).symlink_to(precious)
    with whole(target) as unfinished:
        assert unfinished.parent == tmp_path
        unfinished.write_text("new")
    assert (target.read_text(), precious.read_text()) == ("new", "keep")
    assert not target.is_symlink()
    with pytest.raises(ZeroDivisionError), whole(target) as unfinished:
        unfinished.write_text(str(1 / len(unfinished.read_text())))
    assert target.read_text() == "new"
    assert {path.name for path in tmp_path.iterdir()} == {".out.csv.new", "out.csv", "precious"}


def test_files_have_the_rights_that_new_files_have(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with whole(tmp_path / "a") as unfinished:
            unfinished.write_text("a")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_a_place_that_cannot_be_written_is_one_complaint(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"), whole(tmp_path / "no" / "a"):
        raise AssertionError("nothing is written")


@pytest.mark.parametrize("kind", ["svg", "png", "pdf"])
def test_a_figure_for_which_there_is_no_room_is_one_complaint(kind: str, tmp_path: Path) -> None:
    """Matplotlib's writer of PDF files raises AttributeError where a file cannot grow."""
    figure, axes = plt.subplots()
    axes.plot([1, 2])
    to = tmp_path / f"a.{kind}"
    said = in_little_room(lambda: write_figure(figure, to), 2_000)
    assert said.startswith("ConfigError: ")
    assert "cannot be written (File too large); free space, or choose another place" in said
    assert list(tmp_path.iterdir()) == []
    assert in_little_room(lambda: write_figure(figure, to), 1 << 20) == "", "negative control"
    assert to.stat().st_size > 2_000
    plt.close(figure)


def test_a_place_is_tried_before_the_work_and_stays_as_it_is(tmp_path: Path) -> None:
    to = tmp_path / "a.svg"
    for content in (None, "old"):
        if content is not None:
            to.write_text(content)
        check_place(to)
        assert "free space" in in_little_room(lambda: check_place(to), LEAST_ROOM - 1)
        assert [path.read_text() for path in tmp_path.iterdir()] == [content] * (
            content is not None
        )
    with pytest.raises(ConfigError, match="choose another place"):
        check_place(tmp_path / "no" / "a.svg")


def test_cells_do_not_become_formulas() -> None:
    for text in ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"):
        assert _no_formula(text) == f"'{text}"
    for value in ("plain", "a=b", "", 1, -1.5, None):
        assert _no_formula(value) is value


def test_names_with_dollar_signs_are_drawn_as_text(tmp_path: Path) -> None:
    for allowed in (False, True):
        with plt.rc_context(STYLE | ({"text.parse_math": True} if allowed else {})):
            figure, axes = plt.subplots()
            axes.set_title(r"]]><!--</style><b>$\frac$")
            if allowed:
                with pytest.raises(ValueError, match="frac"):
                    figure.savefig(tmp_path / "a.svg")
            else:
                figure.savefig(tmp_path / "a.svg")
            plt.close(figure)


@pytest.mark.parametrize(
    "facts", ['{"question": 1}', '{"question": "q", "verdicts": []}', "[]", "{", '"x"',
              '{"question": "q", "settings": "many"}', '{"question": "q", "answer": {}}']
)  # fmt: skip
def test_pages_that_are_not_ours_have_no_row(facts: str, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(f'<script type="application/json" id="summary">{facts}</script>')
    assert summary(page) is None
