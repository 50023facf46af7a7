"""``mmusim bench-history``: benchmarks over commits, as a table and as a figure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmusim import plots
from mmusim.cli.shared.bench_history import read
from mmusim.cli.shared.figures import save_figure
from mmusim.cli.shared.options import AsJson
from mmusim.cli.shared.output import table


def bench_history(
    history: Annotated[
        Path, typer.Argument(help="History written by bench --append.", metavar="HISTORY.csv")
    ] = Path("benchmarks/history.csv"),
    to: Annotated[
        Path | None,
        typer.Option(
            "--to", help="The .svg, .png or .pdf file to write as well.", show_default=False
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show how the engines' speed changed from one measurement to the next."""
    measured = read(history)
    series: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in measured:
        series.setdefault((row["work"], row["by"]), []).append(row)
    rows = [
        {
            "work": work,
            "by": by,
            "measurements": len(found),
            "ratio": float(found[-1]["ratio"]),
            "before": float(found[-2]["ratio"]) if len(found) > 1 else "",
            "change": _change(found),
            "commit": found[-1]["commit"],
            "date": found[-1]["date"],
        }
        for (work, by), found in series.items()
    ]
    table("Speed relative to SimPy in the same measurement", rows, as_json, measured=measured)
    if to is not None:
        save_figure(to, lambda: plots.benchmarks(measured), err=as_json)


def _change(found: list[dict[str, str]]) -> str:
    if len(found) < 2:
        return ""
    return f"{float(found[-1]['ratio']) / float(found[-2]['ratio']) - 1:+.1%}"
