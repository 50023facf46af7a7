"""How many seeds an experiment runs: its fixed number, or until its ratios are precise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmusim.config.settings import Setting
from mmusim.execution.workers import Job
from mmusim.experiment.scheduler import RunDirectory, seeds_of
from mmusim.metrics.measure import Metrics
from mmusim.stats.sequential import stop_when_precise
from mmusim.stats.significance import ALPHA


@dataclass(frozen=True, slots=True, kw_only=True)
class InterimAnalysis:
    """The state of sampling in one setting."""

    seeds: range  # that count
    alpha: float  # error of the intervals and tests at this analysis
    number: int  # number of the analysis, from 1
    precise: bool | None  # whether the ratios are precise; None: the file does not ask


def fixed(setting: Setting, seeds: int | None = None) -> InterimAnalysis:
    """Return the only analysis of a setting with a fixed number of seeds, by default the file's."""
    return InterimAnalysis(seeds=seeds_of(setting, seeds), alpha=ALPHA, number=1, precise=None)


def current_analysis(setting: Setting, runs: Mapping[str, Sequence[Metrics]]) -> InterimAnalysis:
    """Return the current analysis of a setting.

    This is the first analysis with precise ratios, or the last one, or the first with missing runs.
    It depends on the runs alone, so stored runs give the same analysis. If a value is zero there is
    no ratio, and its policy asks for no more seeds.

    Parameters
    ----------
    setting : Setting
        The setting, whose `[replications]` has precision and largest number of seeds.
    runs : mapping
        Stored runs by policy, each sorted by seed.
    """
    wanted = setting.experiment.replications
    if wanted.precision is None or wanted.max_seeds is None:
        return fixed(setting)
    policies = setting.experiment.policies
    counted = seeds_of(setting, wanted.max_seeds)
    rows = {}
    for name in policies.all:
        by_seed = {run.seed: run.values.get(wanted.precise, 0.0) for run in runs.get(name, ())}
        rows[name] = np.array([*_without_gap(by_seed, counted)])
    found = stop_when_precise(
        rows[policies.baseline], [rows[name] for name in policies.compare], wanted.precision,
        wanted.seeds, wanted.max_seeds,
    )  # fmt: skip
    return InterimAnalysis(
        seeds=seeds_of(setting, found.seeds), alpha=found.alpha, number=found.number,
        precise=found.is_precise,
    )  # fmt: skip


def _without_gap(by_seed: Mapping[int, float], seeds: range) -> Iterator[float]:
    """Yield the values of these seeds in their order, up to the first that is missing."""
    for seed in seeds:
        if seed not in by_seed:
            return
        yield by_seed[seed]


def current_analyses(directory: RunDirectory, seeds: int | None = None) -> list[InterimAnalysis]:
    """Return the current analysis of each setting; `seeds` replaces the number of the file."""
    if seeds is not None or all(
        c.experiment.replications.precision is None for c in directory.settings
    ):
        return [fixed(setting, seeds) for setting in directory.settings]
    stored = directory.runs()
    return [
        current_analysis(
            setting, {p: stored.get((n, p), []) for p in setting.experiment.policies.all}
        )
        for n, setting in enumerate(directory.settings)
    ]


def asked_for(directory: RunDirectory, seeds: int | None = None) -> list[Job]:
    """Return the runs that there should be now; a rule for
    :func:`mmusim.experiment.scheduler.in_rounds`.
    """
    return [
        Job(number, policy, seed)
        for number, analysis in enumerate(current_analyses(directory, seeds))
        for seed in analysis.seeds
        for policy in directory.settings[number].experiment.policies.all
    ]
