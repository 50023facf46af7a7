"""``mmusim validate --migrations``: predict published migrations and say how close that comes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import typer

from mmusim.base.files import whole
from mmusim.cli.shared.output import say, table
from mmusim.cli.shared.progress import show_progress
from mmusim.validation import migrations as published

NAME: Final = "migrations.md"
INTRODUCTION: Final = """\
# Published migrations

Written by `mmusim validate --migrations --to docs/evidence`. This page
shows published migrations, and published log operations of whole guests, beside predictions of
mmusim. One cost was fitted to them, and P24 names it. No parameter is set by row: a value that a
posting does not state is assumed once for all of its rows. If a posting does not state something
that decides the result, there is a row for each case.
Times count as predicted within a factor of {close}.
"""


def validate(to: Path | None, seeds: int | None, workers: int | None, as_json: bool) -> None:
    """Simulate every published migration; print the result, and write it to a folder if asked."""
    data = published.table()
    cases = list(published.cases(data, seeds))
    typer.echo(f"simulating {sum(case.seeds for case in cases)} migrations at full size", err=True)
    with show_progress() as progress:
        lines = published.predict(cases, workers, progress)
    rows, orders = published.rows(lines), published.orders(lines)
    left_out: list[dict[str, str]] = data["left_out"]
    if as_json:
        facts = {"rows": rows, "orders": orders, "left_out": left_out}
        typer.echo(json.dumps(facts, indent=1))
    else:
        table("Published migrations", rows, as_json=False)
        table("Not predicted", left_out, as_json=False)
        say("\n".join(summary(lines, orders)))
    if to is not None:
        path = to / NAME
        with whole(path) as file:
            file.write_text(document(data, lines), encoding="utf-8")
        typer.echo(f"written: {path}", err=True)


def summary(lines: list[published.Line], orders: list[tuple[str, bool]]) -> list[str]:
    """Return the results, a sentence each."""
    times = [line for line in lines if line.is_time]
    close = sum(line.is_close for line in times)
    near = sum(line.is_within(published.NEAR) for line in lines)
    once = published.by_number(times)
    everywhere = sum(all(line.is_close for line in cases) for cases in once)
    said = [
        f"{close} of {len(times)} times are within a factor of {published.CLOSE}.",
        f"{everywhere} of {len(once)} published times are so in every case that stands for them.",
        f"{near} of {len(lines)} quantities are within a factor of {published.NEAR:.0f}.",
    ]
    said += [
        f"{'In' if right else 'Not in'} the published order: {what}." for what, right in orders
    ]
    return said


def document(data: dict[str, Any], lines: list[published.Line]) -> str:
    """Return the evidence page."""
    parts = [INTRODUCTION.format(close=published.CLOSE).strip()]
    parts.append(markdown(published.rows(lines)))
    parts.append("\n".join(f"* {line}" for line in summary(lines, published.orders(lines))))
    parts.append("## What was assumed")
    for posting in data["posting"]:
        source = f"[{posting['source']}]({posting['url']})" if posting["url"] else posting["source"]
        parts.append(f"**{posting['id']}**: {source}. {posting['setup']}.")
        parts.append("\n".join(f"* {one}" for one in posting["assumed"]))
        if posting.get("misses"):
            parts.append("Misses, and what the prediction depends on:")
            parts.append("\n".join(f"* {one}" for one in posting["misses"]))
    parts.append("## What is not predicted")
    parts.append(markdown(data["left_out"]))
    return "\n\n".join(parts) + "\n"


def markdown(rows: list[dict[str, Any]]) -> str:
    """Return rows of equal keys as a table."""
    head = list(rows[0])
    lines = [head, ["---"] * len(head), *([str(row[key]) for key in head] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
