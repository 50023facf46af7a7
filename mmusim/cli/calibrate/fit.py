"""``mmusim fit``: a host profile from measurements made elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import tomli_w
import typer

from mmusim.base.errors import ConfigError
from mmusim.base.files import whole
from mmusim.base.units import show_ns
from mmusim.calibration.foreign_fit import Fitted, fits_of, foreign_profile
from mmusim.cli.shared.options import AsJson, ToProfile
from mmusim.cli.shared.output import table
from mmusim.metrics.few_beyond import too_few_beyond
from mmusim.vocabulary.metrics import MIN_BEYOND

NEAR: Final = 0.01
"""KS distance within which a shape of two parameters is taken for a table of quantiles."""
NO_SHAPE: Final = (
    "a mean says nothing of the shape; written as a constant with the interval of the mean; "
    "record single times, e.g. with ftrace, for a distribution"
)


def few_said(observations: int) -> str:
    """Say which of the quantiles in the table rest on too few observations."""
    few = [name for name, q in (("p90", 0.9), ("p99", 0.99)) if too_few_beyond(observations, q)]
    return f"of {observations} observations fewer than {MIN_BEYOND} lie beyond {' and '.join(few)}"


def fit(
    data: Annotated[
        list[str],
        typer.Argument(
            help="COST=FILE[:NAME][:UNIT]: samples or histogram as CSV, perf trace, bpftrace, "
            "ftrace of KVM, perf kvm stat; NAME is the column, call, map or reason of exits.",
        ),
    ],
    to: ToProfile = Path("myhost.toml"),
    base: Annotated[
        str, typer.Option(help="Profile whose values stand for all other costs.")
    ] = "skylake-2021",
    implausible: Annotated[
        bool,
        typer.Option("--implausible", help="Accept times that are implausible for any known host."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Fit costs to measurements made elsewhere and write a host profile."""
    chosen: dict[str, Fitted] = {}
    rows: list[dict[str, Any]] = []
    for item in data:
        found = fits_of(item, implausible=implausible)
        cost = found[0].cost
        if cost in chosen:
            raise ConfigError.of(
                "fit", cost, item, "is fitted twice", "give one file for each cost"
            )
        shapes = [f for f in found if f.shape != "quantiles"]
        near = bool(shapes) and shapes[0].ks is not None and shapes[0].ks < NEAR
        best = shapes[0] if near else found[0]
        if best.about:
            typer.echo(f"{item}: {best.about}", err=True)
        if best.ks is not None and too_few_beyond(best.observations, 0.99):
            typer.echo(f"{item}: {few_said(best.observations)}", err=True)
        if best.ks is None:
            typer.echo(f"{item}: {NO_SHAPE}", err=True)
        chosen[cost] = best
        rows += [
            {
                "cost": f.cost, "shape": f.shape, "observations": f.observations,
                "mean": show_ns(f.distribution.mean()),
                "median": show_ns(float(f.distribution.quantile(0.5))),
                "KS": "" if f.ks is None else round(f.ks, 4),
                "error of p50, p90, p99": (
                    "" if f.quantile_error is None else f"{f.quantile_error:.1%}"
                ),
                "chosen": "yes" if f is best else "",
            }
            for f in found
        ]  # fmt: skip
    profile = foreign_profile(chosen, to.stem, base)
    with whole(to) as unfinished:
        unfinished.write_text(tomli_w.dumps(profile), encoding="utf-8")
    table("How well each shape fits", rows, as_json, profile=str(to))
    typer.echo(f'written: {to}; use it as [host] profile = "{to.name}"', err=True)
