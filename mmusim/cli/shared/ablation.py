"""``mmusim validate --ablation``: the contribution of each law of load to the predictions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import jinja2
import typer

from mmusim.base.files import whole
from mmusim.base.units import show_ns
from mmusim.cli.shared.output import table
from mmusim.cli.shared.published_times import cost_rows, fitted_to, markdown, shown, write
from mmusim.config.host import load_profile
from mmusim.costs.machine import LAWS
from mmusim.validation.ablation import MOST_VCPUS, Variant, ablation, examples
from mmusim.validation.fit import Fit
from mmusim.validation.predict import PROFILE, the_machine
from mmusim.vocabulary import COSTS
from mmusim.vocabulary.machine_costs import MACHINE_COSTS

NAME: Final = "machine"


def validate_ablation(
    path: Path | None, out: Path | None, workers: int | None, scheduler: str | None, as_json: bool
) -> None:
    """Score each set of laws; print the table and write it to a folder if one is given.

    All laws together are the model, so the page of its predictions is written as well.
    """
    values, fitted = fitted_to(path, workers, scheduler, the_machine())
    found = ablation(
        values, fitted.costs, workers, scheduler, lambda words: typer.echo(words, err=True)
    )
    if as_json:
        typer.echo(json.dumps([row(variant) for variant in found], indent=1))
    else:
        table("Laws of load", [row(variant) for variant in found], as_json=False)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        with whole(out / f"{NAME}.md") as unfinished:
            unfinished.write_text(document(fitted, found), encoding="utf-8")
        typer.echo(f"written: {NAME}.md in {out}", err=True)
        (whole_model,) = (variant.score for variant in found if variant.laws == LAWS)
        write(out, values, fitted, whole_model, the_machine())


def row(variant: Variant) -> dict[str, Any]:
    """Return a row of the table of laws."""
    result = variant.score
    return {
        "laws": variant.name,
        "median": f"{result.median:.3f}",
        "within_1.5": f"{result.close:.1%}",
        "mean_factor": f"{variant.mean_factor:.2f}",
        "knees": f"{variant.knees} of {len(result.knees)}",
        "pairs": f"{result.ordered} of {result.pairs}",
    }


def example_rows(found: Sequence[Variant]) -> list[dict[str, Any]]:
    """Return a row for each law: the value that it changes most, without it and with it alone."""
    rows = []
    for one in examples(found):
        told = shown(one.value, one.alone)
        del told["ratio"]
        rows.append({"law": one.law, **told, "without_the_law_s": one.without})
    return rows


def constant_rows() -> list[dict[str, Any]]:
    """Return a row for each constant of a law: value, range and source."""
    costs = load_profile(PROFILE).costs
    rows: list[dict[str, Any]] = [
        {"constant": name, "value": show_ns(costs[name].distribution().mean()),
         "per": COSTS[name].per, "range and source": COSTS[name].source}
        for name in MACHINE_COSTS
    ]  # fmt: skip
    machine = the_machine()
    assert machine is not None
    gain = {"constant": "smt_gain", "value": machine.smt_gain, "per": "thread"}
    return [*rows, {**gain, "range and source": "0-0.3; assumed"}]


def document(fitted: Fit, found: Sequence[Variant]) -> str:
    """Return what ``docs/evidence/machine.md`` says."""
    return page(
        ablation=markdown([row(variant) for variant in found]),
        examples=markdown(example_rows(found)),
        costs=markdown(cost_rows(fitted)),
        values=len(found[0].score.rows),
    )


def page(*, ablation: str, examples: str, costs: str, values: int) -> str:
    """Return the page around the tables that only the ablation makes."""
    machine = the_machine()
    assert machine is not None
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    text = (files("mmusim.validation") / "machine.md.jinja").read_text(encoding="utf-8")
    return environment.from_string(text).render(
        machine=machine,
        constants=markdown(constant_rows()),
        ablation=ablation,
        examples=examples,
        most_vcpus=MOST_VCPUS,
        costs=costs,
        values=values,
    )
