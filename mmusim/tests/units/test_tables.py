"""Tables fit the width that there is: fewer columns first, and words are never cut."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from mmusim.cli.shared.layout import LEFT_OUT_FIRST, folded, layout
from mmusim.cli.shared.output import say, table
from mmusim.tests.support.command_line import mmusim_here

WORDS = st.text(st.characters(categories=("L", "N", "P"), exclude_characters="│"), max_size=9)
CELLS = st.one_of(st.lists(WORDS, max_size=6).map(" ".join), st.integers(0, 10**9))
KEYS = st.sampled_from(["policy", "setting", "ratio", "answer", "verdict", *LEFT_OUT_FIRST])


@st.composite
def tables(draw: st.DrawFn) -> list[dict[str, Any]]:
    keys = draw(st.lists(KEYS, min_size=1, max_size=9, unique=True))
    row = st.fixed_dictionaries(dict.fromkeys(keys, CELLS))
    return draw(st.lists(row, min_size=1, max_size=4))


@settings(max_examples=60, deadline=None)
@given(tables(), st.integers(20, 160))
def test_what_is_shown_fits_and_no_word_is_cut(rows: list[dict[str, Any]], columns: int) -> None:
    texts = {key: [key.replace("_", " "), *(text_of(row[key]) for row in rows)] for key in rows[0]}
    chosen = layout(texts, columns)
    used = 1 + sum(width + 3 for width in chosen.widths.values())
    assert set(chosen.widths) | set(chosen.left_out) == set(texts)
    assert used <= columns or len(chosen.widths) == 1
    for key, width in chosen.widths.items():
        words = [word for text in texts[key] for word in text.split()]
        assert all(cell_len(word) <= width for word in words)
        for text in texts[key][1:]:
            assert max(map(cell_len, folded(text, width).splitlines()), default=0) <= width
    if chosen.full <= columns:
        with_text = [key for key in chosen.left_out if any(texts[key][1:])]
        assert not with_text, "nothing is left out that fits"


def text_of(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def test_the_least_important_columns_go_first() -> None:
    texts = {key: [key, "x" * 20] for key in ("policy", "ratio", "note", "origin", "verdict")}
    assert layout(texts, 200).left_out == ()
    assert layout(texts, 100).left_out == ("note",)
    assert layout(texts, 75).left_out == ("note", "origin")
    assert layout(texts, 50).left_out == ("ratio", "note", "origin")
    assert layout(texts, 30).left_out == ("ratio", "note", "origin", "verdict")
    assert layout({"policy": ["policy", "x" * 90]}, 30).widths == {"policy": 90}, "no word is cut"


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize(
    "verb",
    [["hosts", "skylake-2021"], ["hosts"], ["policies"], ["examples"], ["vocabulary", "metrics"],
     ["workload", "list"]],
    ids=" ".join,
)  # fmt: skip
def test_tables_of_verbs_fit(verb: list[str], columns: int, monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    whole = mmusim_here(*verb)
    monkeypatch.setenv("COLUMNS", str(columns))
    done = mmusim_here(*verb)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert max(map(cell_len, lines)) <= columns
    words = set(re.findall(r"\w+", whole.stdout))
    assert set(re.findall(r"\w+", "\n".join(lines[:-1]))) <= words | {str(columns)}, "none is cut"
    cut = [line for line in lines if line.startswith("Not shown in")]
    if len(head(lines)) < len(head(whole.stdout.splitlines())):
        assert cut, "what is left out is named"


def head(lines: list[str]) -> list[str]:
    return next(line for line in lines if line.startswith("┃")).split("┃")


def test_columns_that_tell_rows_apart_stay() -> None:
    """And negative control: where the first column tells them apart, others go as before."""
    texts = {
        "setting": ["setting", "one", "one"], "policy": ["policy", "a" * 20, "b" * 20],
        "ratio": ["ratio", "x" * 20, "x" * 20], "verdict": ["verdict", "y" * 20, "y" * 20],
    }  # fmt: skip
    assert layout(texts, 60).left_out == ("ratio",)
    assert layout(texts, 40).left_out == ("ratio", "verdict")
    alone = texts | {"setting": ["setting", "one", "two"]}
    assert layout(alone, 40).left_out == ("policy", "ratio")


def test_an_empty_cell_stands_for_the_one_above_it() -> None:
    """So the result stays, where a name is written once; negative control: one name for all."""
    names = {"claim": ["claim", "one", "", "two", ""], "setting": ["setting", *"abab"]}
    rest = {key: [key, *4 * ["x" * 20]] for key in ("measured", "interval", "verdict")}
    assert layout(names | rest, 60).left_out == ("measured", "interval")
    assert layout(names | rest, 35).left_out == ("measured", "interval", "verdict")
    names["claim"][3] = ""
    assert layout(names | rest, 35).left_out == ("setting", "measured", "interval")


def test_a_pipe_without_columns_is_wide_and_says_nothing(monkeypatch: Any) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert "Not shown" not in mmusim_here("hosts").stdout


def test_the_first_column_gets_narrower_before_another_is_left_out() -> None:
    texts = {
        "setting": ["setting", "four words make it"], "ratio": ["ratio", "x" * 20],
        "verdict": ["verdict", "x" * 20],
    }  # fmt: skip
    assert layout(texts, 68).widths["setting"] == 18
    narrow = layout(texts, 65)
    assert narrow.left_out == ()
    assert narrow.widths["setting"] == 15
    assert layout(texts, 61).left_out == (), "results stay as long as their words fit"
    assert layout(texts, 56).left_out == ("ratio",)
    remark = {"note" if key == "ratio" else key: cells for key, cells in texts.items()}
    assert layout(remark, 61).left_out == ("note",), "a remark goes: no narrower than NARROW"


def test_the_last_column_gets_narrower_before_it_is_left_out() -> None:
    """It has the result; negative control: a word of it that is longer than the room."""
    texts = {
        "setting": ["setting", "x" * 24],
        "answer": ["answer", "unknown, 29 seeds needed in all"],
    }
    assert layout(texts, 55).widths["answer"] == 24
    assert layout(texts, 39).widths["answer"] == len("unknown,")
    assert layout(texts, 38).left_out == ("answer",), "no narrower than a word"
    texts["answer"] = ["answer", "z" * 17]
    assert layout(texts, 39).left_out == ("answer",)


def test_sentences_are_broken_where_the_width_is_known(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And negative control: in a pipe without COLUMNS a sentence stays one line."""
    text = "p99_request of linux-6.2+pml is 0.1788 times that of linux-6.2 (better, 5 seeds)."
    monkeypatch.setenv("COLUMNS", "40")
    say(text)
    broken = capsys.readouterr().out
    assert max(map(len, broken.splitlines())) <= 40
    assert broken.split() == text.split()
    monkeypatch.delenv("COLUMNS")
    say(text)
    assert capsys.readouterr().out == text + "\n"


def test_names_of_policies_break_before_a_plus_so_that_no_column_is_left_out() -> None:
    """And negative control: where there is room, a name stays in one line."""
    name = "linux-6.2+pml+split-on-fault"
    texts = {
        "policy": ["policy", name, "linux-6.2"], "ratio": ["ratio", "x" * 20, "x" * 20],
        "verdict": ["verdict", "y" * 20, "y" * 20],
    }  # fmt: skip
    narrow = layout(texts, 70)
    assert narrow.left_out == ()
    assert folded(name, narrow.widths["policy"]).splitlines() == [
        "linux-6.2+pml", "+split-on-fault",
    ]  # fmt: skip
    assert folded(name, layout(texts, 90).widths["policy"]) == name


def test_the_longest_cells_get_the_most_of_the_room() -> None:
    """Short cells are wrapped, too, where all of them side by side would not fit."""
    columns = {
        "policy": ["policy", "a", "b"],
        "ratio": ["ratio", "word " * 6, ""],
        "answer": ["answer", "word " * 24, ""],
    }
    widths = layout(columns, 80).widths
    lines = {key: -(-len(texts[1]) // widths[key]) for key, texts in columns.items()}
    assert max(lines.values()) <= 3
    assert widths["ratio"] < len(columns["ratio"][1])


def test_names_break_at_joints_before_a_result_is_left_out() -> None:
    """Not earlier, never within a word or a number; control: a word of that length has no joint."""
    name = "fix 3: write_fault_to_shadow_pgtable (3.9)"
    texts = {
        "setting": ["setting", name, "as posted"], "measured": ["measured", "1e-9 of 6.2-rc1", "1"],
        "verdict": ["verdict", "inconclusive", "supported"],
    }  # fmt: skip
    chosen = layout(texts, 46)
    assert chosen.left_out == ()
    lines = folded(name, chosen.widths["setting"]).splitlines()
    assert len(lines) > 1
    assert all(line.startswith("_") for line in lines[1:])
    assert "".join(lines) == name
    assert folded(name, layout(texts, 64).widths["setting"]).split() == name.split()
    assert folded("1e-9 6.2-rc1-5.x 2026-11-30", 1).split() == [
        "1e-9",
        "6.2",
        "-rc1-5",
        ".x",
        "2026-11-30",
    ]
    texts["verdict"][1] = "internal-error"
    assert layout(texts, 46).widths["verdict"] == 14, "names of rows are broken before results"
    texts["setting"][1] = name.replace("_", "i")
    assert layout(texts, 52).left_out == ("measured",)


@pytest.mark.parametrize("name", ["x" * 84, "-".join(["joint"] * 14)])
def test_a_name_that_no_table_has_room_for_hides_no_other_column(name: str) -> None:
    """Control: so long a word of letters is broken only where it does not fit."""
    texts = {
        "host": ["host", name, "b"], "note": ["note", "a remark of some words", ""],
        "provenance": ["provenance", "measured", "assumed"],
    }  # fmt: skip
    chosen = layout(texts, 100)
    assert chosen.left_out == ()
    assert 1 + sum(width + 3 for width in chosen.widths.values()) <= 100
    lines = folded(name, chosen.widths["host"]).splitlines()
    assert max(map(cell_len, lines)) <= chosen.widths["host"]
    assert "".join(lines) == name
    assert folded(name, layout(texts, 150).widths["host"]) == name


@given(CELLS.map(str), st.integers(1, 40))
def test_a_cell_in_lines_has_all_its_characters(text: str, width: int) -> None:
    assert "".join(folded(text, width).split()) == "".join(text.split())
    assert folded(text, max(1, cell_len(text))) == text


def test_a_number_stays_with_its_unit_and_an_interval_begins_a_line() -> None:
    """And control: what only looks like a number with a unit is broken as words are."""
    assert folded("22.15 ms .. 24.48 ms*", 13).splitlines() == ["22.15 ms ..", "24.48 ms*"]
    assert folded("1.997 us [-5.25 us, 4 us]", 11).splitlines() == [
        "1.997 us",
        "[-5.25 us,",
        "4 us]",
    ]
    assert folded("measured, 95 %", 12).splitlines() == ["measured,", "95 %"]
    assert folded("a sample of 5 words", 13).splitlines() == ["a sample of 5", "words"]
    assert folded("in 2022; not merged", 8).splitlines() == ["in 2022;", "not", "merged"]
    texts = {"x": ["x", "y" * 40], "measured": ["measured", "0.489154 .. 0.489154*"]}
    assert layout(texts, 58).widths["measured"] == len("0.489154 ..")
    assert layout(texts, 57).left_out == ("measured",)


def test_a_column_without_any_text_gives_its_room_away(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is not told as left out; control: where there is room it stays, and others are told."""
    rows = [{"case": 1, "status": "match " * 3, "remark": ""}]
    monkeypatch.setenv("COLUMNS", "80")
    table("Cases", rows, as_json=False)
    assert "remark" in capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", "30")
    table("Cases", rows, as_json=False)
    assert "remark" not in capsys.readouterr().out
    table("Cases", [rows[0] | {"remark": "late"}], as_json=False)
    assert "Not shown in 30 columns: remark." in " ".join(capsys.readouterr().out.split())
