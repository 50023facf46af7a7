"""``mmusim validate``: predict published times and say how close that comes."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import typer

from mmusim.cli.output import table
from mmusim.cli.run import save_figure
from mmusim.config.host import load_profile
from mmusim.store import write_whole
from mmusim.validation.fit import Fit, fit
from mmusim.validation.misses import cause
from mmusim.validation.predict import PROFILE, predict
from mmusim.validation.published import TABLE, read
from mmusim.validation.score import Row, Score, score


def validate(path: Path | None, out: Path | None, workers: int | None, as_json: bool) -> None:
    """Fit, predict, compare; print the result and write it to a folder if one is given."""
    figures = read(path or TABLE)
    profile = load_profile(PROFILE)
    typer.echo(f"fitting unit costs of {PROFILE} on the rows that are for it", err=True)
    fitted = fit(figures, profile, workers)
    runs = {figure.run for figure in figures if figure.run is not None}
    typer.echo(f"simulating {len(runs)} settings", err=True)
    result = score(figures, predict(runs, fitted.costs, workers=workers))
    left_out = sorted({(f.why_not, f.id) for f in figures if f.why_not})
    if as_json:
        typer.echo(json.dumps(as_data(fitted, result), indent=1))
    else:
        typer.echo(as_text(fitted, result))
    if out is not None:
        from mmusim.validation.figure import times

        out.mkdir(parents=True, exist_ok=True)
        save_figure(out / "published-times.svg", lambda: times(result.rows))
        write_whole(out / "published-times.csv", as_csv(result.rows))
        write_whole(out / "published-times.md", as_document(fitted, result, left_out))
        typer.echo(f"written: {out}/published-times.md, .csv, .svg", err=True)
