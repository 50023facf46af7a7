"""How many seeds an experiment runs: as many as it says, or until its ratios are precise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmusim.config.cells import Cell
from mmusim.execution.workers import Job
from mmusim.experiment.scheduler import Campaign, seeds_of
from mmusim.metrics.measure import Metrics
from mmusim.stats import paired_ratio
from mmusim.stats.sequential import is_narrow, levels, looks
from mmusim.stats.significance import ALPHA


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Where the sampling of a cell stands."""

    seeds: range  # that count
    alpha: float  # error of the intervals and tests at this look
    number: int  # of the look, from 1
    precise: bool | None  # whether the ratios are; None: that was not asked for


def fixed(cell: Cell, seeds: int | None = None) -> Look:
    """Return the only look of a cell whose number of seeds is given."""
    return Look(seeds=seeds_of(cell, seeds), alpha=ALPHA, number=1, precise=None)


def standing(cell: Cell, runs: Mapping[str, Sequence[Metrics]]) -> Look:
    """Return the look at which a cell stands with these runs: the first with precise ratios, the
    last, or the first for which runs are missing.

    It is a function of the runs alone, so the same is found again from what is stored. A ratio
    that does not exist, because a figure is zero, cannot get more precise and asks for no more.
    """
    wanted = cell.experiment.replications
    if wanted.precision is None or wanted.max_seeds is None:
        return fixed(cell)
    policies = cell.experiment.policies
    at = looks(wanted.seeds, wanted.max_seeds)
    by_seed = {
        name: {run.seed: run.values.get(wanted.precise, 0.0) for run in runs.get(name, ())}
        for name in policies.all
    }
    for number, (seeds, alpha) in enumerate(zip(at, levels(at), strict=True), 1):
        counted = seeds_of(cell, seeds)
        look = Look(seeds=counted, alpha=alpha, number=number, precise=False)
        if any(seed not in there for there in by_seed.values() for seed in counted):
            return look
        rows = {name: [there[seed] for seed in counted] for name, there in by_seed.items()}
        base = rows[policies.baseline]
        precise = all(
            min(*base, *rows[name]) <= 0
            or is_narrow(paired_ratio(base, rows[name], confidence=1 - alpha), wanted.precision)
            for name in policies.compare
        )
        if precise or seeds == at[-1]:
            return Look(seeds=counted, alpha=alpha, number=number, precise=precise)
    raise AssertionError("the last look returns")


def standings(campaign: Campaign, seeds: int | None = None) -> list[Look]:
    """Return where each cell stands; `seeds` replaces what the file asks for."""
    if seeds is not None or all(
        c.experiment.replications.precision is None for c in campaign.cells
    ):
        return [fixed(cell, seeds) for cell in campaign.cells]
    stored = campaign.runs()
    return [
        standing(cell, {p: stored.get((n, p), []) for p in cell.experiment.policies.all})
        for n, cell in enumerate(campaign.cells)
    ]


def asked_for(campaign: Campaign, seeds: int | None = None) -> list[Job]:
    """Return the runs that there should be now; a rule for
    :func:`mmusim.experiment.scheduler.in_rounds`.
    """
    return [
        Job(number, policy, seed)
        for number, look in enumerate(standings(campaign, seeds))
        for seed in look.seeds
        for policy in campaign.cells[number].experiment.policies.all
    ]
