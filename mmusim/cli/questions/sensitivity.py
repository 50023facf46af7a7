"""``mmusim sensitivity``: host costs ranked by their effect on a metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from mmusim.base.errors import ConfigError, InterruptedRunError
from mmusim.cli.shared.options import (
    AsJson,
    Engine,
    ExperimentFile,
    Scheduler,
    SettingName,
    Workers,
)
from mmusim.cli.shared.output import say, table
from mmusim.cli.shared.progress import notice, show_progress
from mmusim.cli.shared.run_folders import default_folder
from mmusim.config.settings import load_file
from mmusim.config.vm_and_host import MOST_SEEDS
from mmusim.engine.choice import AUTO
from mmusim.experiment.sensitivity import MOST_SAMPLES, Sensitivity, Study
from mmusim.experiment.sensitivity import sensitivity as rank_costs
from mmusim.metrics.few_beyond import FEW
from mmusim.stats.sobol import Index
from mmusim.vocabulary import METRICS
from mmusim.vocabulary.amount import in_unit


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
                "sensitivity", "--range", text, "is not a provenance with a factor",
                "write e.g. assumed=3",
            ) from None  # fmt: skip
    return Study(
        metric=metric, policy=policy, setting=setting, samples=samples, seeds=seeds, wide=wide
    )


def sensitivity(
    experiment: ExperimentFile,
    metric: Annotated[
        str, typer.Option(help="The metric [the file's answer_by].", show_default=False)
    ] = "",
    policy: Annotated[
        str, typer.Option(help='A policy, or a ratio "A / B" [the baseline].', show_default=False)
    ] = "",
    setting: SettingName = "",
    samples: Annotated[
        int, typer.Option(min=4, max=MOST_SAMPLES, help="Sobol points, a power of 2.")
    ] = 64,
    seeds: Annotated[
        int, typer.Option(min=1, max=MOST_SEEDS, help="Replications of each point.")
    ] = 1,
    ranges: Annotated[
        list[str] | None,
        typer.Option(
            "--range", help="Factor for costs of a provenance, e.g. assumed=3.", show_default=False
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Folder of the stored runs [results/ID-sensitivity].", show_default=False
        ),
    ] = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    engine: Engine = AUTO,
    as_json: AsJson = False,
) -> None:
    """Rank the host's costs by their effect on a metric, and say which are worth measuring."""
    asked = study(metric, policy, setting, samples, seeds, ranges or [])
    file = load_file(experiment)
    if out is None:
        folder = default_folder(file)
        out = folder.with_name(f"{folder.name}-sensitivity")
    notice(engine)
    try:
        with show_progress() as progress:
            found = rank_costs(
                file,
                out,
                asked,
                workers=workers,
                engine=engine,
                scheduler=scheduler,
                progress=progress,
            )
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"interrupted; finished runs are stored in {out}: run the same command to go on"
        ) from None
    if as_json:
        rows = [asdict(one) | {"advice": one.advice} for one in found.influences]
        about = {k: v for k, v in asdict(found).items() if k != "influences"} | {
            "unit": _unit(found)
        }
        table("", rows, True, **about, says=str(found))
        return
    few = f" {FEW}" if found.caveat else ""
    table(f"What decides {found.metric}{few} of {found.what}", _rows(found), False)
    mean, spread = (in_unit(value, _unit(found)) for value in (found.mean, found.spread))
    say(
        f"{found.metric} of {found.what}: {mean} on average over the ranges, standard deviation "
        f"{spread}; {found.runs:,} runs. First order and total are Sobol indices: the share of the "
        "variance that a cost has alone, and with all that it interacts with, each with its "
        "interval of 95 %."
    )
    if few:
        say(f"{FEW}: {found.caveat}.")
    if found.unpaid:
        say(f"{len(found.unpaid)} other costs are not paid here; --json names them.")
    say(f"{found}.")


def _unit(found: Sensitivity) -> str:
    """Return the unit of mean and spread: that of the metric; a ratio has none."""
    return "" if " / " in found.what else METRICS[found.metric].unit


def _rows(found: Sensitivity) -> list[dict[str, Any]]:
    return [
        {
            "cost": one.cost,
            "provenance": one.provenance,
            "mean": in_unit(one.mean, one.unit),
            "factors": f"{one.low:.2g} .. {one.high:.2g}",
            "first_order": _index(one.first),
            "total": _index(one.total),
            "advice": one.advice,
        }
        for one in found.influences
    ]


def _index(index: Index) -> str:
    estimate, low, high = (f"{value:z.2f}" for value in (index.estimate, index.low, index.high))
    return f"{estimate} [{low}, {high}]"
