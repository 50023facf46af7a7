"""``mmusim validate --full-size``: the simulation against the machine that it models."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import typer

from mmusim.base.files import whole
from mmusim.cli.shared.output import say, table
from mmusim.cli.shared.published_times import markdown
from mmusim.config.host import load_profile
from mmusim.engine.choice import COMPILED, prepare
from mmusim.validation.fit import fit
from mmusim.validation.full_size import ALL, LOCK_BOUND, Speed, full_size
from mmusim.validation.predict import PROFILE
from mmusim.validation.published import TABLE, read

NAME = "full-size.md"


def validate_full_size(path: Path | None, out: Path | None, as_json: bool) -> int:
    """Time every published run at full size; return 1 if one misses its target."""
    prepare(COMPILED)
    values = read(path or TABLE)
    typer.echo("fitting unit costs on the values that are for it", err=True)
    fitted = fit(read(TABLE), load_profile(PROFILE))
    speeds = full_size(values, fitted.costs, lambda words: typer.echo(words, err=True))
    rows = [shown(speed) for speed in speeds]
    table("Simulation and machine", rows, as_json)
    sentences = summary(speeds)
    if not as_json:
        say("\n".join(sentences))
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        with whole(out / NAME) as unfinished:
            unfinished.write_text(document(speeds), encoding="utf-8")
        typer.echo(f"written: {NAME} in {out}", err=True)
    return 0 if all(speed.meets for speed in speeds) else 1


def shown(speed: Speed) -> dict[str, Any]:
    """Return a row of a table."""
    run = speed.run
    return {
        "vcpus": run.vcpus,
        "policy": run.policy,
        "backing": run.backing,
        "all_set": run.all_set,
        "writes": f"{run.writes} %",
        "phase": speed.phase,
        "machine_s": float(f"{speed.machine_s:.4g}"),
        "simulation_s": float(f"{speed.simulation_s:.3g}"),
        "ratio": float(f"{speed.ratio:.3g}"),
        "target": f"below {LOCK_BOUND if speed.lock_bound else ALL:g}",
        "met": speed.meets,
    }


def summary(speeds: list[Speed]) -> list[str]:
    """Say in sentences how fast the simulation is."""
    bound = [speed for speed in speeds if speed.lock_bound]
    lines = []
    for what, some in (("lock-bound phases", bound), ("phases", speeds)):
        if some:
            ratios = [speed.ratio for speed in some]
            met = sum(speed.meets for speed in some)
            lines.append(
                f"Of {len(some)} {what} {met} meet their target; simulation over machine: median "
                f"{statistics.median(ratios):.2g}, from {min(ratios):.2g} to {max(ratios):.2g}."
            )
    return lines


def document(speeds: list[Speed]) -> str:
    """Return what ``docs/evidence/full-size.md`` says."""
    return "\n\n".join(
        [
            "# The simulation against the machine",
            "Written by `mmusim validate --full-size --to docs/evidence`: each published run of "
            "dirty_log_perf_test with 1 GiB a vCPU, simulated at that size by the compiled engine "
            "in one process; the wall time of each phase over the published time of the same "
            "phase on the machine. Another computer gives other seconds.",
            " ".join(summary(speeds)),
            markdown([shown(speed) for speed in speeds]) + "\n",
        ]
    )
