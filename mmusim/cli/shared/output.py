"""Tables for people, JSON for programs."""

from __future__ import annotations

import json
import math
import os
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Final

import typer
from rich.console import Console
from rich.table import Table

from mmusim.base.units import show_mean
from mmusim.cli.shared.layout import BETWEEN, EDGE, folded, layout
from mmusim.vocabulary import METRICS

PIPED: Final = 200
"""Characters of a line in a pipe, unless COLUMNS says otherwise."""


def table(
    title: str,
    rows: Sequence[Mapping[str, Any]],
    as_json: bool,
    at_most: int | None = None,
    once: Sequence[str] = (),
    **more: Any,
) -> None:
    """Print rows of equal keys; numbers are aligned right. `more` goes into the JSON only.

    `at_most` is how many columns the table takes at most, however wide the terminal is. The first
    columns may be named in `once`: what they repeat from the row above is left out.
    """
    if as_json:
        typer.echo(json.dumps(_as_json({"rows": list(rows), **more}), indent=1))
        return
    if not rows:
        return
    texts = {key: [_title(key), *(_cell_text(row[key]) for row in rows)] for key in rows[0]}
    _blank_repeats(texts, once)
    wide = width() if at_most is None else min(width(), at_most)
    chosen = layout(texts, wide)
    drawn = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for key, characters in chosen.widths.items():
        number = all(isinstance(row[key], (int, float)) for row in rows)
        drawn.add_column(
            folded(texts[key][0], characters),
            justify="right" if number else "left",
            width=characters,
            no_wrap=False,
        )
    shown = [
        [folded(t, characters) for t in texts[key][1:]] for key, characters in chosen.widths.items()
    ]
    for cells in zip(*shown, strict=True):
        drawn.add_row(*cells)
    needed = EDGE + sum(characters + BETWEEN for characters in chosen.widths.values())
    Console(highlight=False, markup=False, width=max(wide, needed)).print(drawn)
    if left_out := [key for key in chosen.left_out if any(texts[key][1:])]:
        names = ", ".join(map(_title, left_out))
        say(f"Not shown in {wide} columns: {names}. COLUMNS={chosen.full} shows all.")


def _title(key: str) -> str:
    """Return a column's title: names of metrics as they are, of other words with spaces."""
    return re.sub(r"\w+", lambda m: m[0] if m[0] in METRICS else m[0].replace("_", " "), key)


def _blank_repeats(texts: Mapping[str, list[str]], once: Sequence[str]) -> None:
    """Leave out what columns repeat from the row above, as long as those before them do too."""
    columns = [texts[key] for key in once if key in texts]
    rows = [tuple(column[i] for column in columns) for i in range(len(next(iter(texts.values()))))]
    for i in range(2, len(rows)):
        for depth, column in enumerate(columns, 1):
            if rows[i][:depth] != rows[i - 1][:depth]:
                break
            column[i] = ""


def say(text: str) -> None:
    """Print sentences, broken between words where the width is known; in a pipe, lines stay whole.

    The width is known on a terminal, and where COLUMNS gives it.
    """
    known = _columns() is not None or Console().is_terminal
    for line in text.splitlines():
        typer.echo(wrapped(line, width()) if known else line)


def _columns() -> int | None:
    given = os.environ.get("COLUMNS", "")
    return int(given) if given.isdecimal() and int(given) > 0 else None


def width() -> int:
    """Return how many columns a table may have: COLUMNS, the terminal's, or 200 in a pipe."""
    if given := _columns():
        return given
    console = Console()
    return console.width if console.is_terminal else PIPED


def wrapped(line: str, columns: int) -> str:
    """Break a line between words; what follows is indented by two more than its beginning."""
    indent = " " * (len(line) - len(line.lstrip()) + 2) if line.startswith(" ") else ""
    broken = textwrap.wrap(
        line, columns, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(broken)


def _as_json(value: Any) -> Any:
    """Return data in which what is no number is null: JSON has neither NaN nor infinity."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _as_json(part) for key, part in value.items()}
    return [_as_json(part) for part in value] if isinstance(value, list | tuple) else value


def _cell_text(value: Any) -> str:
    if isinstance(value, float):
        return show_mean(value)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
