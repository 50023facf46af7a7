"""``mmusim probe``: a host profile from measurements of this machine."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from mmusim.base.errors import ConfigError
from mmusim.cli.shared.measured_costs import cost_rows
from mmusim.cli.shared.options import AsJson, ToProfile
from mmusim.cli.shared.output import table
from mmusim.config.vm_and_host import MOST_SEED

RENAMED = {
    "--samples": "--keep-samples",
}


def probe(
    to: ToProfile = Path("myhost.toml"),
    seconds: Annotated[
        float, typer.Option(min=5, max=3600, help="Approximate time to measure.")
    ] = 60.0,
    seed: Annotated[
        int, typer.Option(min=0, max=MOST_SEED, help="Seed of the order of the measurements.")
    ] = 1,
    keep_samples: Annotated[
        bool,
        typer.Option(
            "--keep-samples/--no-samples", help="Keep the samples in a file beside the profile."
        ),
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Measure the costs of this machine's KVM and write a host profile."""
    from mmusim.calibration.profile import write_profile
    from mmusim.kvm.probe import probe as measure

    if to.suffix != ".toml":
        raise ConfigError.of(
            "probe", "--to", str(to), "is not a .toml file", "write e.g. myhost.toml"
        )
    if not to.parent.is_dir():
        raise ConfigError.of("probe", "--to", str(to), "lies in no folder", "make the folder first")
    reported = 0.0

    def progress(text: str) -> None:
        nonlocal reported
        if time.monotonic() - reported > 5:
            reported = time.monotonic()
            typer.echo(text, err=True)

    samples = measure(seconds, seed=seed, tell=progress)
    profile = write_profile(samples, to, keep_samples=keep_samples)
    load = samples.facts["load"]
    if as_json:
        table(
            "", cost_rows(profile), True, load=load, warning=samples.facts["warning"],
            profile=str(to),
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
    typer.echo(f'written: {to}; use it as [host] profile = "{to.name}"', err=True)
