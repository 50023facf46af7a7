"""``mmusim validate``: predict published times and say how close that comes."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import jinja2
import typer

from mmusim.base.errors import ConfigError
from mmusim.base.files import whole
from mmusim.base.units import show_ns
from mmusim.cli.shared.figures import write_figure
from mmusim.cli.shared.output import say, table
from mmusim.config.host import load_profile
from mmusim.config.topology import Machine
from mmusim.validation.fit import Fit, fit, is_for_fitting
from mmusim.validation.left_out import leave_out
from mmusim.validation.misses import cause
from mmusim.validation.predict import PROFILE, Times, predict, the_machine
from mmusim.validation.published import TABLE, PublishedValue, Run, read
from mmusim.validation.score import CLOSE, Row, Score, score

NAME: Final = "published-times"


def validate(
    path: Path | None,
    out: Path | None,
    workers: int | None,
    scheduler: str | None,
    as_json: bool,
    laws: str | None = None,
) -> None:
    """Fit, predict, compare; print the result and write it to a folder if one is given.

    `laws` are those of the hosts, with commas; None is all.
    """
    machine = the_machine(None if laws is None else names_of(laws))
    values, fitted = fitted_to(path, workers, scheduler, machine)
    result = score(values, predictions(values, fitted, workers, scheduler, machine))
    show(fitted, result, as_json)
    if out is not None:
        write(out, values, fitted, result, machine)


def validate_left_out(
    path: Path | None, sources: str, workers: int | None, scheduler: str | None, as_json: bool
) -> None:
    """Fit costs without some sources, and predict all values of these; `sources` with commas."""
    names = [name.strip() for name in sources.split(",") if name.strip()]
    others, own = leave_out(read(path or TABLE), names)
    machine = the_machine()
    typer.echo(f"fitting unit costs without {', '.join(names)}", err=True)
    fitted = fit(others, load_profile(PROFILE), workers, scheduler, machine)
    predicted = predictions(own, fitted, workers, scheduler, machine)
    show(fitted, score(own, predicted, fitted=lambda value: False), as_json)


def predictions(
    values: Sequence[PublishedValue],
    fitted: Fit,
    workers: int | None,
    scheduler: str | None,
    machine: Machine | None,
) -> dict[Run, dict[str, Times]]:
    """Predict the times of all runs that values describe."""
    runs = {value.run for value in values if value.run is not None}
    typer.echo(f"simulating {len(runs)} settings, each at two sizes", err=True)
    return predict(runs, fitted.costs, machine=machine, workers=workers, scheduler=scheduler)


def show(fitted: Fit, result: Score, as_json: bool) -> None:
    """Print costs, fitted values, predictions, and what they come to."""
    if as_json:
        typer.echo(json.dumps(as_data(fitted, result), indent=1))
    else:
        table("Unit costs", cost_rows(fitted), as_json=False)
        table("Values they were fitted to", [shown(*row) for row in fitted.rows], as_json=False)
        table("Predictions", [shown(*row) for row in result.rows], as_json=False)
        say("\n".join(summary(result)))


def names_of(laws: str) -> list[str]:
    """Return the names of laws in an option; none of them is `none`."""
    names = [name.strip() for name in laws.split(",") if name.strip()]
    return [] if names == ["none"] else names


def fitted_to(
    path: Path | None, workers: int | None, scheduler: str | None, machine: Machine | None
) -> tuple[list[PublishedValue], Fit]:
    """Read a table and fit unit costs to those of its values that are for it.

    Raises
    ------
    ConfigError
        If the table has nothing to predict.
    """
    values = read(path or TABLE)
    if all(is_for_fitting(value) for value in values if value.run is not None):
        raise ConfigError.of(
            str(path or TABLE), "rows", None, "has nothing to predict",
            "give values of dirty_log_perf_test that costs are not fitted to",
        )  # fmt: skip
    own = any(is_for_fitting(value) for value in values)
    typer.echo("fitting unit costs on the values that are for it", err=True)
    to_fit = values if own else read(TABLE)
    return values, fit(to_fit, load_profile(PROFILE), workers, scheduler, machine)


def write(
    out: Path, values: Sequence[PublishedValue], fitted: Fit, result: Score, machine: Machine | None
) -> None:
    """Write the document, the table and the diagram into a folder."""
    from mmusim import plots

    out.mkdir(parents=True, exist_ok=True)
    with whole(out / f"{NAME}.md") as unfinished:
        unfinished.write_text(document(values, fitted, result, machine), encoding="utf-8")
    with whole(out / f"{NAME}.csv") as unfinished:
        unfinished.write_text(as_csv(result.rows), encoding="utf-8")
    with plots.style():
        write_figure(plots.published_times(result.points), out / f"{NAME}.svg")
    typer.echo(f"written: {NAME}.md, .csv and .svg in {out}", err=True)


def cost_rows(fitted: Fit) -> list[dict[str, Any]]:
    """Return a row for each fitted cost: its mean, and by how much the profile's was changed."""
    costs = load_profile(PROFILE).costs
    return [
        {
            "cost": name,
            "mean": show_ns(costs[name].distribution().mean() * factor),
            "by_profile": round(factor, 3),
        }
        for name, factor in fitted.factors.items()
    ]


def shown(value: PublishedValue, predicted: float) -> dict[str, Any]:
    """Return a row of a table: a value beside its prediction."""
    run = value.run
    assert run is not None
    return {
        "source": value.id,
        "phase": value.phase,
        "variant": value.variant,
        "mmu": "shadow"
        if "shadow" in run.policy
        else "legacy"
        if "legacy" in run.policy
        else "tdp",
        "vcpus": run.vcpus,
        "writes": f"{run.writes} %",
        "published_s": value.seconds,
        "predicted_s": predicted,
        "ratio": round(predicted / value.seconds, 2),
    }


def summary(result: Score) -> list[str]:
    """Say in sentences how close the predictions come."""
    misses = sum(row.miss for row in result.rows)
    return [
        f"{len(result.rows)} published values that were not fitted are predicted: the median is "
        f"off by a factor of {result.median:.3f}, {result.close:.1%} are within {CLOSE}, {misses} "
        "are not.",
        f"Of {result.pairs} pairs of policies that differ by more than the published repeatability "
        f"(a factor of {result.repeatability:.2f}), {result.ordered} come in the published order.",
    ]


def as_data(fitted: Fit, result: Score) -> dict[str, Any]:
    """Return everything as plain data."""
    return {
        "costs": dict(fitted.costs),
        "fitted": [shown(*row) for row in fitted.rows],
        "predicted": [
            shown(*row) | ({"cause": cause(row.published)} if row.miss else {})
            for row in result.rows
        ],
        "median_factor": result.median,
        "within_1.5": result.close,
        "repeatability": result.repeatability,
        "ordered_pairs": [result.ordered, result.pairs],
        "disordered": disordered(result),
        "knees": knee_rows(result),
    }


def knee_rows(result: Score) -> list[dict[str, Any]]:
    """Return a row for each series: both knees, and what explains it where they differ."""
    return [
        {
            "series": knee.series,
            "published": knee.published or "never",
            "predicted": knee.predicted or "never",
            "why": cause(knee.where_they_part) if knee.published != knee.predicted else "",
        }
        for knee in result.knees
    ]


def disordered(result: Score) -> list[dict[str, Any]]:
    """Return a row for each pair of policies that is predicted in the wrong order."""
    rows = []
    for pair in result.disordered:
        one, two = sorted(pair, key=lambda row: row.published.seconds)
        left, right = (shown(*row) for row in (one, two))
        rows.append(
            {key: left[key] for key in ("source", "phase", "vcpus", "writes")}
            | {
                "faster_as_published": left["variant"],
                "than": right["variant"],
                "published": f"{one.published.seconds:.4g} s, {two.published.seconds:.4g} s",
                "predicted": f"{one.predicted:.4g} s, {two.predicted:.4g} s",
                "why": cause(max((one, two), key=lambda row: abs(math.log(row.ratio))).published),
            }
        )
    return rows


def as_csv(rows: Sequence[Row]) -> str:
    """Return the predictions as CSV."""
    text = io.StringIO()
    table_of = [shown(*row) for row in rows]
    writer = csv.DictWriter(text, list(table_of[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table_of)
    return text.getvalue()


def document(
    values: Sequence[PublishedValue], fitted: Fit, result: Score, machine: Machine | None
) -> str:
    """Return what ``docs/evidence/published-times.md`` says."""
    misses: dict[str, list[Row]] = {}
    for row in result.rows:
        if row.miss:
            misses.setdefault(cause(row.published), []).append(row)
    left_out: dict[str, set[str]] = {}
    for value in values:
        if value.why_not:
            left_out.setdefault(value.why_not, set()).add(value.id)
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    text = (files("mmusim.validation") / "document.md.jinja").read_text(encoding="utf-8")
    return environment.from_string(text).render(
        summary=summary(result),
        costs=markdown(cost_rows(fitted)),
        fitted=markdown([shown(*row) for row in fitted.rows]),
        predicted=markdown([shown(*row) for row in result.rows]),
        knees=markdown(knee_rows(result)),
        disordered=markdown(disordered(result)),
        misses={why: markdown([shown(*row) for row in rows]) for why, rows in misses.items()},
        left_out=left_out,
        machine=machine,
    )


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Return rows of equal keys as a table."""
    if not rows:
        return "None."
    keys = list(rows[0])
    lines = [keys, ["---"] * len(keys)]
    lines += [
        [f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.values()] for row in rows
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
