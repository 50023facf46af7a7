"""Tables for people or JSON for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from mmusim.base.units import show_number


def table(
    title: str,
    rows: Sequence[Mapping[str, Any]],
    as_json: bool,
    width: int | None = None,
    **more: Any,
) -> None:
    """Print rows of equal keys; numbers are aligned right. `more` goes into the JSON only.

    `width` is the most columns that the table takes; words that have no room go to the next line.
    """
    if as_json:
        typer.echo(json.dumps(_finite({"rows": list(rows), **more}), indent=1, allow_nan=False))
        return
    if not rows:
        return
    drawn = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for key in rows[0]:
        number = all(isinstance(row[key], (int, float)) for row in rows)
        drawn.add_column(key.replace("_", " "), justify="right" if number else "left")
    for row in rows:
        drawn.add_row(*(_cell_text(value) for value in row.values()))
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, width=width or 200)
    console.print(drawn, width=min(width, console.width) if width else None)


def _cell_text(value: Any) -> str:
    if isinstance(value, float):
        return show_number(value)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _finite(value: Any) -> Any:
    """Return data that JSON can hold: a bound that there is not, infinite or nan, is null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, (list, tuple)) else value
