"""``mmusim fit``: a host profile from measurements made elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import tomli_w
import typer

from mmusim.base.errors import ConfigError
from mmusim.base.files import whole
from mmusim.base.units import show_ns
from mmusim.calibration.foreign_fit import Fitted, fits_of, foreign_profile
from mmusim.cli.shared.options import AsJson, ToProfile
from mmusim.cli.shared.output import table

RENAMED = {
    "--out": "--to",
}


def fit(
    data: Annotated[
        list[str],
        typer.Argument(
            help="COST=FILE[:NAME][:UNIT]: samples or histogram as CSV, perf trace, bpftrace; NAME "
            "is the column, the system call or the map.",
        ),
    ],
    to: ToProfile = Path("myhost.toml"),
    base: Annotated[
        str, typer.Option(help="Profile whose values stand for all other costs.")
    ] = "skylake-2021",
    implausible: Annotated[
        bool, typer.Option("--implausible", help="Accept times that no known host needs.")
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
        best = shapes[0] if shapes and shapes[0].ks < 0.01 else found[0]
        chosen[cost] = best
        rows += [
            {
                "cost": f.cost, "shape": f.shape, "observations": f.observations,
                "mean": show_ns(f.distribution.mean()),
                "median": show_ns(float(f.distribution.quantile(0.5))),
                "KS": round(f.ks, 4), "error of p50, p90, p99": f"{f.quantile_error:.1%}",
                "chosen": "yes" if f is best else "",
            }
            for f in found
        ]  # fmt: skip
    profile = foreign_profile(chosen, to.stem, base)
    with whole(to) as unfinished:
        unfinished.write_text(tomli_w.dumps(profile), encoding="utf-8")
    table("How well each shape fits", rows, as_json, profile=str(to))
    typer.echo(f'written: {to}; use it as [host] profile = "{to.name}"', err=True)
