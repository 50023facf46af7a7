"""The verbs that make host profiles: ``probe`` by measuring, ``fit`` from other people's data."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import tomli_w
import typer

from mmusim.base.errors import ConfigError
from mmusim.base.files import whole
from mmusim.base.units import show_ns
from mmusim.calibration.foreign_fit import Fitted, fits_of, foreign_profile
from mmusim.cli.output import table
from mmusim.config.host import HostProfile


def probe(out: Path, seconds: float, seed: int, keep_samples: bool, as_json: bool) -> None:
    """Measure this machine, write the profile, print what was found."""
    from mmusim.calibration.profile import write_profile
    from mmusim.kvm.probe import probe as measure

    if out.suffix != ".toml":
        raise ConfigError.of(
            "probe", "--out", str(out), "is no .toml file", "write e.g. myhost.toml"
        )
    if not out.parent.is_dir():
        raise ConfigError.of(
            "probe", "--out", str(out), "lies in no folder", "make the folder first"
        )
    told = 0.0

    def progress(text: str) -> None:
        nonlocal told
        if time.monotonic() - told > 5:
            told = time.monotonic()
            typer.echo(text, err=True)

    samples = measure(seconds, seed=seed, told=progress)
    profile = write_profile(samples, out, keep_samples=keep_samples)
    load = samples.facts["load"]
    if as_json:
        table(
            "", cost_rows(profile), True, load=load, warning=samples.facts["warning"],
            profile=str(out),
        )  # fmt: skip
        return
    table(f"{profile.name}: {profile.describes}", cost_rows(profile), False)
    typer.echo(
        f"While it was measured ({load['seconds']:.0f} s) other tasks used "
        f"{load['other_processors']:.2f} processors, {load['steal_processors']:.3f} were stolen."
    )
    for name, reason in samples.facts["failed"].items():
        typer.echo(f"Not measured: {name} ({reason})", err=True)
    if samples.facts["warning"]:
        typer.echo(f"Warning: {samples.facts['warning']}", err=True)
    typer.echo(f'written: {out}; use it as [host] profile = "{out.name}"', err=True)


def cost_rows(profile: HostProfile) -> list[dict[str, Any]]:
    """Return a row for each cost that is not assumed, with how sure it is."""
    rows = []
    for name, cost in profile.costs.items():
        if cost.provenance == "assumed":
            continue
        d, sure = cost.distribution(), cost.certainty
        rows.append(
            {
                "cost": name, "median": show_ns(float(d.quantile(0.5))), "mean": show_ns(d.mean()),
                "p99": show_ns(float(d.quantile(0.99))),
                "95 % interval": f"{show_ns(sure.low)} to {show_ns(sure.high)}" if sure else "",
                "samples": str(sure.samples) if sure else "",
                "replicates": str(sure.replicates) if sure else "",
                "KS": "" if cost.ks is None else f"{cost.ks:.4f}",
                "provenance": cost.provenance, "note": cost.note,
            }
        )  # fmt: skip
    return rows


def fit(data: list[str], out: Path, base: str, implausible: bool, as_json: bool) -> None:
    """Fit each COST=FILE, write the profile, print how well each shape fits."""
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
    profile = foreign_profile(chosen, out.stem, base)
    with whole(out) as unfinished:
        unfinished.write_text(tomli_w.dumps(profile), encoding="utf-8")
    table("How well each shape fits", rows, as_json, profile=str(out))
    typer.echo(f'written: {out}; use it as [host] profile = "{out.name}"', err=True)
