"""The verbs that look into a run directory, hand it on, and set two of them side by side."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import typer

from mmusim.base.units import show_number
from mmusim.cli.output import table
from mmusim.experiment.compare_folders import FolderComparison, compare_folders
from mmusim.store import Store
from mmusim.store.publish import publish as publish_folder


def status(folder: Path, as_json: bool) -> None:
    """Print the states of the runs, by model version, and what failed."""
    with closing(Store.open(folder)) as store:
        versions = dict.fromkeys([*store.versions(), store.expected()])
        rows = [{"model_version": v, **store.states(v)} for v in versions]
        names = store.settings()
        failed = [
            {
                "setting": names[key.setting][0],
                "policy": key.policy,
                "seed": key.seed,
                "engine": key.engine,
                "error": error,
            }
            for key, error in store.failed()
        ]
    table("Runs", rows, as_json, failed=failed)
    if not as_json:
        table("Failed", failed, False)


def publish(folder: Path, to: Path, as_json: bool) -> None:
    """Write the dataset and say how to read it."""
    manifest = publish_folder(folder, to)
    if as_json:
        typer.echo(json.dumps(manifest, indent=1))
        return
    size = sum(file["bytes"] for file in manifest["files"].values())
    typer.echo(f"{manifest['runs']} runs, {size / 1e6:.2g} MB: {to}")
    typer.echo(f"""read them: duckdb -c "SELECT * FROM '{to}/runs.parquet'\"""")


def compare(a: Path, b: Path, across: str | None, metric: str | None, as_json: bool) -> int:
    """Print what two run directories say of the same runs; status 1 if like runs differ."""
    found = compare_folders(a, b, across, metric)
    rows = [
        {
            "setting": setting,
            "policy": policy,
            "metric": made.metric,
            "A": made.baseline_mean.estimate,
            "B": made.candidate_mean.estimate,
            "B/A": None if made.ratio is None else made.ratio.estimate,
            "95%_interval": "" if made.ratio is None else made.ratio.span("{:.4g}".format),
            "seeds": made.baseline_mean.seeds,
        }
        for setting, policy, made in found.rows
    ] or [
        dict(zip(("setting", "policy", "seed", "metric", "A", "B"), row, strict=True))
        for row in found.differing
    ]
    title = "Runs that differ"
    if found.values:
        title = f"Across {across}: {found.values[0]!r} in A, {found.values[1]!r} in B"
    if as_json:
        table(
            "", rows, True, notes=found.notes, across=across, values=found.values,
            common=found.common, only=found.only, identical=found.identical,
        )  # fmt: skip
    else:
        table(title, rows, False)
        typer.echo(_summary(found))
        for note in found.notes:
            typer.echo(f"differs, and is no part of the model: {note}")
    return 1 if found.differing else 0


def _summary(found: FolderComparison) -> str:
    same = found.common - len(found.differing)
    only = ", ".join(
        f"{count} only in {side}" for side, count in zip("AB", found.only, strict=True) if count
    )
    text = (
        f"{show_number(found.common)} runs in both"
        if found.across
        else f"{same} of {found.common} runs are the same to the last bit"
    )
    return text + (f"; {only}" if only else "")
