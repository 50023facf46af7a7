"""``mmusim select``: the best policy or setting, with as many seeds as that needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from math import isnan
from typing import Annotated, Any, cast

import typer

from mmusim.base.errors import ConfigError, InterruptedRunError
from mmusim.base.units import parse_fraction
from mmusim.cli.shared.options import (
    AsJson,
    Costs,
    Engine,
    ExperimentFile,
    Out,
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
from mmusim.experiment.selection import Contest, Rules
from mmusim.experiment.selection import select as select_best
from mmusim.metrics.few_beyond import FEW
from mmusim.report.claim_cells import FIXED_COSTS
from mmusim.report.extremes import extreme
from mmusim.vocabulary import METRICS
from mmusim.vocabulary.amount import amount


def share(option: str, text: str) -> float:
    """Read a share that was given as an option, ``2%``.

    Raises
    ------
    ConfigError
        If it is none.
    """
    try:
        return parse_fraction(text)
    except ValueError as error:
        rule, _, remedy = str(error).partition("; ")
        raise ConfigError.of("select", option, text, rule, remedy or "write e.g. 2%") from None


RENAMED = {
    "--first": "--min-seeds",
    "--limit": "--max-seeds",
}


def select(
    experiment: ExperimentFile,
    metric: Annotated[
        str,
        typer.Option(help="The metric that decides [the file's answer_by].", show_default=False),
    ] = "",
    delta: Annotated[str, typer.Option(help="Smallest difference worth detecting.")] = "2%",
    confidence: Annotated[
        float, typer.Option(min=0.5, max=0.9999, help="Probability of correct selection.")
    ] = 0.95,
    among: Annotated[
        str,
        typer.Option(
            help="policies of each setting, settings of each policy, or all "
            "[policies; settings if there is one policy].",
            show_default=False,
        ),
    ] = "",
    setting: SettingName = "",
    policy: Annotated[str, typer.Option(help="Only this policy [all].", show_default=False)] = "",
    min_seeds: Annotated[
        int,
        typer.Option(
            min=3, max=MOST_SEEDS, help="Number of seeds before any competitor is dropped."
        ),
    ] = 10,
    max_seeds: Annotated[
        int, typer.Option(min=3, max=MOST_SEEDS, help="Largest number of seeds.")
    ] = 200,
    out: Out = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    engine: Engine = AUTO,
    costs: Costs = None,
    as_json: AsJson = False,
) -> None:
    """Run seeds until the best policy or setting is known; exit status 1 if it is not."""
    rules = Rules(
        metric=metric,
        delta=share("--delta", delta),
        confidence=confidence,
        first=min_seeds,
        limit=max_seeds,
    )
    file = load_file(experiment)
    out = out or default_folder(file)
    notice(engine)
    try:
        with show_progress() as progress:
            made, failures = select_best(
                file, out, rules, among=cast(Any, among), setting=setting, policy=policy,
                workers=workers, engine=engine, scheduler=scheduler, progress=progress, costs=costs,
            )  # fmt: skip
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"interrupted; finished runs are stored in {out}: run the same command to go on"
        ) from None
    rows = [row for contest in made for row in _rows(contest)]
    says = [str(contest) for contest in made]
    if as_json:
        data = [_as_data(contest) for contest in made]
        table("", rows, True, contests=data, says=says, failures=failures)
    else:
        shown = [row for contest in made for row in _shown(contest)]
        table(f"Selection by {metric or file.experiment.answer_by}", shown, False, at_most=100)
        few = dict.fromkeys(f"{FEW}: {c.caveat}." for c in made if c.caveat)
        for line in [*(f"failed: {one}" for one in failures), *few, *(f"{s}." for s in says)]:
            say(line)
        if all(contest.holds is None for contest in made):
            say(FIXED_COSTS)
    known = all(c.selection is not None and c.selection.selected for c in made)
    raise typer.Exit(0 if known and not failures else 1)


def _rows(contest: Contest) -> list[dict[str, Any]]:
    """Return the competitors as data, the best first."""
    unit = METRICS[contest.metric].unit
    return [
        {
            "contest": contest.title,
            "rank": rank,
            "competitor": contest.names[i],
            f"mean_{unit}" if unit else "mean": "" if isnan(mean) else mean,
            **({"few_beyond": FEW} if contest.caveat else {}),
            "seeds": seeds,
            "state": state,
        }
        for rank, i, mean, seeds, state in _ranked(contest)
    ]


def _shown(contest: Contest) -> list[dict[str, Any]]:
    """Return the same for people: with units, the worst that a mean hides, and the ratio."""
    ranked = list(_ranked(contest))
    return [
        {
            **({"contest": contest.title if rank == 1 else ""} if contest.title else {}),
            "rank": rank,
            "competitor": contest.names[i],
            f"{contest.metric}, worst": _mean_and_worst(contest, i, mean),
            "ratio": f"{mean / ranked[0][2]:.4g}" if min(mean, ranked[0][2]) > 0 else "",
            "seeds": seeds,
            "state": state,
        }
        for rank, i, mean, seeds, state in ranked
    ]


def _ranked(contest: Contest) -> Iterator[tuple[int, int, float, int, str]]:
    """Yield rank, number, mean, seeds and state of each competitor, the best first."""
    found = contest.selection
    if found is None:
        return
    alive = "selected" if found.selected else "may be the best"
    for rank, i in enumerate(found.ranking, 1):
        dropped, mean = found.dropped_at[i], found.means[i]
        state = (
            alive
            if dropped is None
            else f"a run without the metric, seed {dropped}"
            if isnan(mean)
            else f"dropped after {dropped} seeds"
        )
        yield rank, i, mean, dropped or found.seeds, state


def _mean_and_worst(contest: Contest, i: int, mean: float) -> str:
    few = f" {FEW}" if contest.caveat else ""
    of_seeds = "" if isnan(mean) else f"{amount(contest.metric, mean)}{few}\n"
    return of_seeds + extreme(contest.metric, contest.runs[i])


def _as_data(contest: Contest) -> dict[str, Any]:
    found = contest.selection
    return {
        "title": contest.title,
        "names": list(contest.names),
        "metric": contest.metric,
        "caveat": contest.caveat,
        "selection": None
        if found is None
        else asdict(found) | {"means": [None if isnan(mean) else mean for mean in found.means]},
        "holds": None
        if contest.holds is None
        else asdict(contest.holds.holds) | {"left_out": dict(contest.holds.left_out)},
    }
