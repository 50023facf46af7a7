"""The columns of a table that fit a width, and their widths: words are never cut.

When the width is short, columns without any text are left out, then remarks, the least important
before the others, unless narrower names of rows save them. Results are left out only where their
longest words do not fit side by side. What stays is wrapped between words, a policy's name also
before a "+". The last resort, before a result is left out, is to break names at their joints:
write_fault_to_shadow may go on in the next line with _to_shadow. The columns with the longest cells
get the most of the room, so that rows are low.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from rich.cells import cell_len

LEFT_OUT_FIRST: Final = (
    "note", "where_the_time_went", "remark", "origin", "correlation", "pairing", "r", "d",
    "better", "slowest", "fastest", "an_example", "median_ns", "samples", "replicates",
    "KS", "p99", "provenance", "source", "error of p50, p90, p99", "mmu", "engine",
    "commit", "date", "measurements", "scope", "formula", "likely_cause",
)  # fmt: skip
"""Names of the columns that are remarks: they are left out first, in this order."""
READABLE: Final = 24
"""Least number of characters in a line of a cell of several words."""
NARROW: Final = 12
"""The same for the columns that name a row: they wrap well."""
WORD: Final = re.compile(
    r"[\[(]?[-+]?\d[\d.,]*\*?(?: (?:[num]?s|%|[KMGT]i?B(?:/s)?)[]*,;)]*)?(?: \.\.)?(?!\S)|\S+"
)
"""What stays in one line: a word, a number with its unit, the beginning of an interval."""
PIECE: Final = re.compile(r"\+?[^+]+|\+")
"""What a name is not broken within: linux-6.2, +split-on-fault."""
LONGEST_WORD: Final = 40
"""No word has so many letters and digits; a string that has is broken after them."""
JOINT: Final = re.compile(rf"(?<=[^\W_])(?=[-_/.:=+][^\W\d_])|(?<=[^\W_]{{{LONGEST_WORD}}})(?=.)")
"""Where a name may be broken: before a joint with a letter behind it, so not in 1e-9 or 6.2."""
EDGE: Final = 1
BETWEEN: Final = 3
"""Characters of the frame: at the left, and for each column its padding and its right border."""


class Layout(NamedTuple):
    """Columns that are shown, with their widths in characters; those that are not; all widths.

    `full` is the width of a table that leaves nothing out but empty columns.
    """

    widths: dict[str, int]
    left_out: tuple[str, ...]
    full: int


def layout(columns: Mapping[str, Sequence[str]], width: int) -> Layout:
    """Choose columns and widths.

    Parameters
    ----------
    columns : mapping
        The texts of each column, its title first, by key; the most important first.
    width : int
        Characters that the whole table may have. What cannot be broken and is longer makes the
        table wider.
    """
    longest = {key: max(map(_longest_line, texts)) for key, texts in columns.items()}
    word = {key: max(map(_longest_word, texts)) for key, texts in columns.items()}
    cell = {
        key: max(map(_longest_line, texts[1:]), default=0) for key, texts in columns.items()
    }  # the title may be wrapped
    least = {key: max(word[key], min(cell[key], READABLE)) for key in columns}
    empty = _empty(columns)
    full = _total([least[key] for key in columns if key not in empty])
    needs_room = _total(list(longest.values())) > width and len(empty) < len(columns)
    left_out = list(empty) if needs_room else []
    shown = [key for key in columns if key not in left_out]
    narrow = least | {
        name: min(least[name], max(_longest_piece(columns[name], LONGEST_WORD), NARROW))
        for name in _names_of_rows(columns)
    }
    for key in _by_importance({key: columns[key] for key in shown}):
        if _total([least[k] for k in shown]) <= width or len(shown) == 1:
            break
        if _total([narrow[k] for k in shown]) <= width:
            least = narrow
            break
        tight = {k: min(word[k], narrow[k]) for k in shown}
        jointed = {k: min(tight[k], max(_longest_piece(columns[k], 0), NARROW)) for k in shown}
        named = tight | {name: jointed[name] for name in _names_of_rows(columns) if name in shown}
        if key not in LEFT_OUT_FIRST and (
            fitting := _first_that_fits([tight, named, jointed], width)
        ):
            least = fitting
            break
        shown.remove(key)
        left_out.append(key)
    least = _of_least_height({key: least[key] for key in shown}, longest, width)
    widths = dict(least)
    spare = width - _total(list(widths.values()))
    for key in sorted(shown, key=lambda k: longest[k] - least[k]):
        more = max(0, min(spare, longest[key] - least[key]))
        widths[key] += more
        spare -= more
    missing = tuple(key for key in columns if key in left_out)
    return Layout(widths, missing, full)


def _first_that_fits(widths: Sequence[dict[str, int]], width: int) -> dict[str, int] | None:
    return next((some for some in widths if _total(list(some.values())) <= width), None)


def _of_least_height(
    least: Mapping[str, int], longest: Mapping[str, int], width: int
) -> dict[str, int]:
    """Return the widths that need the fewest lines for the longest cell; `least` if none fits."""
    for lines in range(1, max(longest[key] for key in least) + 1):
        widths = {key: max(least[key], -(-longest[key] // lines)) for key in least}
        if _total(list(widths.values())) <= width:
            return widths
    return dict(least)


def _by_importance(columns: Mapping[str, Sequence[str]]) -> list[str]:
    """Return columns, the least important first: LEFT_OUT_FIRST, then from the end.

    The last column has the result, so it stays longer than others. The columns that tell rows apart
    stay longest.
    """
    keys, names = list(columns), _names_of_rows(columns)
    listed = [key for key in LEFT_OUT_FIRST if key in keys and key not in names]
    others = [key for key in [*keys[:-1][::-1], keys[-1]] if key not in names]
    return list(dict.fromkeys([*listed, *others, *names[:0:-1]]))


def _empty(columns: Mapping[str, Sequence[str]]) -> list[str]:
    return [key for key in columns if not any(text.strip() for text in columns[key][1:])]


def _names_of_rows(columns: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the first columns that together differ in every row; only the first if none do.

    An empty cell stands for the one above it.
    """
    rows = list(zip(*(_filled(texts[1:]) for texts in columns.values()), strict=True))
    keys = list(columns)
    counts = range(1, len(keys) + 1)
    enough = next((n for n in counts if len({row[:n] for row in rows}) == len(rows)), 1)
    return keys[:enough]


def _filled(texts: Sequence[str]) -> list[str]:
    filled: list[str] = []
    for text in texts:
        filled.append(text if text or not filled else filled[-1])
    return filled


def folded(text: str, width: int) -> str:
    """Return a text in lines of at most `width`.

    They end between words. Names that are longer are broken before a "+", else at joints.
    """
    return "\n".join(part for line in text.splitlines() for part in _filled_lines(line, width))


def _filled_lines(line: str, width: int) -> list[str]:
    if cell_len(line) <= width:
        return [line]
    lines = [""]
    for word in WORD.findall(line):
        between = " " if lines[-1] else ""
        for piece in _parts(word, width) if cell_len(word) > width else [word]:
            if lines[-1] and cell_len(lines[-1] + between + piece) > width:
                lines.append("")
                between = ""
            lines[-1] += between + piece
            between = ""
    return lines


def _parts(name: str, width: int) -> list[str]:
    """Return the pieces of a name; a piece that is longer than `width`, in parts between joints."""
    pieces = PIECE.findall(name)
    return [
        part
        for piece in pieces
        for part in (JOINT.split(piece) if cell_len(piece) > width else [piece])
    ]


def _longest_line(text: str) -> int:
    return max(map(cell_len, text.splitlines()), default=0)


def _longest_word(text: str) -> int:
    return max(map(cell_len, WORD.findall(text)), default=0)


def _longest_piece(texts: Sequence[str], longer: int) -> int:
    """Return the longest piece, where pieces `longer` than this are broken at joints.

    The title, the first text, has words and is not broken.
    """
    pieces = (
        piece for text in texts[1:] for word in WORD.findall(text) for piece in _parts(word, longer)
    )
    return max([_longest_word(texts[0]), *map(cell_len, pieces)])


def _total(widths: Sequence[int]) -> int:
    return EDGE + sum(width + BETWEEN for width in widths)
