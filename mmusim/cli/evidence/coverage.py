"""``mmusim coverage``: how often intervals contain the true value."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from mmusim.cli.shared.options import AsJson
from mmusim.cli.shared.output import table
from mmusim.stats.coverage import POPULATIONS, Covered, covered

SEEDS: Final = (5, 10, 20, 30)


def coverage(
    trials: Annotated[
        int, typer.Option(min=100, max=1_000_000, help="Number of samples of each population.")
    ] = 1000,
    as_json: AsJson = False,
) -> None:
    """Measure how often the intervals of mmusim contain the true value."""
    found = [covered(p, n, trials, resamples=999, seed=n) for p in POPULATIONS for n in SEEDS]
    if as_json:
        table("", [_row(one) for one in found], True)
        return
    table(f"Coverage of 95 % intervals of a ratio, {trials:,} samples", _wide(found), False)
    typer.echo(
        "Share of samples whose interval covers the true ratio; behind it, where marks matter, the "
        "share without a mark and how often those cover."
    )


def _row(one: Covered) -> dict[str, Any]:
    return {
        "population": one.population, "seeds": one.seeds, "trials": one.trials,
        "coverage": one.all, "unmarked": one.unmarked / one.trials,
        "coverage_of_unmarked": one.coverage, "width": one.width,
    }  # fmt: skip


def _wide(found: list[Covered]) -> list[dict[str, Any]]:
    by_name: dict[str, dict[str, Any]] = {}
    for one in found:
        row = by_name.setdefault(one.population, {"population": one.population})
        text = f"{one.all:.3f}"
        if one.unmarked < 0.9 * one.trials:
            share = one.unmarked / one.trials
            text += f" ({share:.2f}: {one.coverage:.2f})" if one.unmarked else " (all marked)"
        row[f"{one.seeds} seeds"] = text
    return list(by_name.values())
