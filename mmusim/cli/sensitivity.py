"""The verb that ranks host costs by their effect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from mmusim.base.errors import ConfigError, InterruptedRunError
from mmusim.base.units import show_number
from mmusim.cli.output import table
from mmusim.cli.reports import default_folder
from mmusim.cli.run import notice, show_progress
from mmusim.experiment.sensitivity import Sensitivity, Study, sensitivity
from mmusim.stats.sobol import Index
from mmusim.vocabulary import METRICS


def study(
    metric: str, policy: str, setting: str, samples: int, seeds: int, ranges: Sequence[str]
) -> Study:
    """Read the options.

    Raises
    ------
    ConfigError
        If a range is not of the form ``assumed=3``.
    """
    wide: dict[str, float] = {}
    for text in ranges:
        name, _, factor = text.partition("=")
        try:
            wide[name.strip()] = float(factor)
        except ValueError:
            raise ConfigError.of(
                "sensitivity", "--range", text, "is no provenance with a factor",
                "write e.g. assumed=3",
            ) from None  # fmt: skip
    return Study(
        metric=metric, policy=policy, setting=setting, samples=samples, seeds=seeds, wide=wide
    )


def verb(
    experiment: Path,
    out: Path | None,
    asked: Study,
    workers: int | None,
    engine: str,
    as_json: bool,
) -> int:
    """Run what is missing, rank and print; return the exit status."""
    if out is None:
        folder = default_folder(experiment)
        out = folder.with_name(f"{folder.name}-sensitivity")
    notice(engine)
    try:
        with show_progress() as progress:
            found = sensitivity(
                experiment, out, asked, workers=workers, engine=engine, progress=progress
            )
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"interrupted; finished runs are stored in {out}: run the same command to go on"
        ) from None
    if as_json:
        rows = [asdict(one) | {"advice": one.advice} for one in found.influences]
        about = {k: v for k, v in asdict(found).items() if k != "influences"}
        table("", rows, True, **about, says=str(found))
        return 0
    table(f"What decides {found.metric} of {found.what}", _rows(found), False)
    unit = METRICS[found.metric].unit
    typer.echo(
        f"{found.metric}: {show_number(found.mean)} {unit} on average over the ranges, standard "
        f"deviation {show_number(found.spread)}; {found.runs:,} runs."
    )
    typer.echo(f"Not paid here: {', '.join(found.unpaid) or 'none'}.")
    typer.echo(f"{found}.")
    return 0


def _rows(found: Sensitivity) -> list[dict[str, Any]]:
    return [
        {
            "cost": one.cost,
            "provenance": one.provenance,
            "mean_ns": one.mean_ns,
            "range": f"x {one.low:.3g} .. {one.high:.3g}",
            "first_order": _index(one.first),
            "total": _index(one.total),
            "advice": one.advice,
        }
        for one in found.influences
    ]


def _index(index: Index) -> str:
    return f"{index.estimate:.2f} [{index.low:.2f}, {index.high:.2f}]"
