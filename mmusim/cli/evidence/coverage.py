"""``mmusim coverage``: how often intervals, outcomes and marks keep what they promise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from math import isnan
from typing import Annotated, Any, Final

import typer

from mmusim.base.errors import ConfigError
from mmusim.cli.shared.options import AsJson
from mmusim.cli.shared.output import say, table
from mmusim.stats.coverage import POPULATIONS, Covered, covered
from mmusim.stats.promises import (
    Promise,
    families,
    hosts,
    levels_of_outcomes,
    looks,
    marks,
    powers,
)

SEEDS: Final = (5, 10, 20, 30)
INTERVALS: Final = "intervals"
HOSTS: Final = "hosts"
PROMISES: Final[dict[str, tuple[str, Callable[[int], Iterator[Promise]]]]] = {
    "levels": (
        "Level: policies without a difference are called better or worse (promised: 0.05 at most)",
        levels_of_outcomes,
    ),
    "powers": ("Power: what is found, and what is called equivalent", powers),
    "families": ("Claims about an order in twelve settings without a difference", families),
    "looks": ("Coverage where seeds are added until a ratio is precise, for 95 %", looks),
    "marks": ("Marks: share of the intervals that are marked", marks),
    HOSTS: ("Coverage over hosts with a known response, for 95 %", hosts),
}
"""What else can be measured: its title, and how."""


def coverage(
    trials: Annotated[
        int, typer.Option(min=100, max=1_000_000, help="Number of samples of each population.")
    ] = 1000,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", help=f"Only {INTERVALS}, {', '.join(PROMISES)} [all]; repeatable."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure how often intervals, outcomes and marks keep their promises."""
    known = (INTERVALS, *PROMISES)
    for name in only or ():
        if name not in known:
            raise ConfigError.of(
                "coverage", "--only", name, "is nothing that can be measured",
                f"choose among {', '.join(known)}",
            )  # fmt: skip
    chosen = [name for name in known if not only or name in only]
    found = (
        [covered(p, n, trials, resamples=999, seed=n) for p in POPULATIONS for n in SEEDS]
        if INTERVALS in chosen
        else []
    )
    promises = {name: list(PROMISES[name][1](trials)) for name in chosen if name in PROMISES}
    if as_json:
        data = [asdict(one) for made in promises.values() for one in made]
        table("", [_row(one) for one in found], True, promises=data)
        return
    if found:
        table(f"Coverage of 95 % intervals of a ratio, {trials:,} samples", _wide(found), False)
        say(
            "Share of samples whose interval covers the true ratio; behind it, where marks matter, "
            "the share without a mark and how often those cover."
        )
    for name, made in promises.items():
        table(f"{PROMISES[name][0]}, {trials:,} samples", by_seeds(name, made), False)


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


def by_seeds(name: str, made: list[Promise]) -> list[dict[str, str]]:
    """Return a row for each case of a promise and a column for each number of seeds, or hosts."""
    what = "hosts" if name == HOSTS else "seeds"
    columns = list(dict.fromkeys(f"{one.seeds} {what}" for one in made))
    by_case: dict[str, dict[str, str]] = {}
    for one in made:
        row = by_case.setdefault(one.case, {"case": one.case, **dict.fromkeys(columns, "")})
        row[f"{one.seeds} {what}"] = "none" if isnan(one.share) else f"{one.share:.3f}"
    return list(by_case.values())
