"""``mmusim compare``: two run directories side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmusim.base.units import show_number
from mmusim.cli.shared.ignored import refuse_ignored
from mmusim.cli.shared.options import AsJson
from mmusim.cli.shared.output import table
from mmusim.experiment.compare_folders import FolderComparison, compare_folders
from mmusim.metrics.few_beyond import FEW


def compare(
    a: Annotated[Path, typer.Argument(help="A run directory or a dataset.", metavar="A")],
    b: Annotated[Path, typer.Argument(help="Another run directory or dataset.", metavar="B")],
    across: Annotated[
        str | None, typer.Option(help="The one key that may differ.", show_default=False)
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="With --across: only this metric.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare two run directories bit for bit, or their policies where one key differs."""
    if across is None:
        refuse_ignored("compare", "without --across", {"--metric": metric})
    found = compare_folders(a, b, across, metric)
    rows = [
        {
            "setting": setting,
            "policy": policy,
            "metric": f"{made.metric} {FEW}" if made.caveat and not as_json else made.metric,
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
            caveats=[made.caveat for *_, made in found.rows],
        )  # fmt: skip
    else:
        table(title, rows, False)
        for caveat in dict.fromkeys(made.caveat for *_, made in found.rows if made.caveat):
            typer.echo(f"{FEW}: {caveat}.")
        typer.echo(_summary(found))
        for note in found.notes:
            typer.echo(f"differs, and is not part of the model: {note}")
    raise typer.Exit(1 if found.differing else 0)


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
