"""How many seeds an experiment runs: its fixed number, or until its ratios are precise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmusim.config.settings import Setting
from mmusim.execution.workers import Job
from mmusim.experiment.scheduler import Campaign, seeds_of
from mmusim.metrics.measure import Metrics
from mmusim.stats import paired_ratio
from mmusim.stats.sequential import analysis_sizes, is_narrow, levels
from mmusim.stats.significance import ALPHA


@dataclass(frozen=True, slots=True, kw_only=True)
class InterimAnalysis:
    """Where the sampling of a setting stands."""

    seeds: range  # that count
    alpha: float  # error of the intervals and tests at this analysis
    number: int  # number of the analysis, from 1
    precise: bool | None  # whether the ratios are precise; None: the file does not ask


def fixed(setting: Setting, seeds: int | None = None) -> InterimAnalysis:
    """Return the only analysis of a setting whose number of seeds is given."""
    return InterimAnalysis(seeds=seeds_of(setting, seeds), alpha=ALPHA, number=1, precise=None)


def current_analysis(setting: Setting, runs: Mapping[str, Sequence[Metrics]]) -> InterimAnalysis:
    """Return the current analysis of a setting: the first with precise ratios, the last, or the
    first with missing runs.

    It is a function of the runs alone, so stored runs give the same analysis. A ratio that does not
    exist, because a value is zero, cannot become more precise and asks for no more seeds.
    """
    wanted = setting.experiment.replications
    if wanted.precision is None or wanted.max_seeds is None:
        return fixed(setting)
    policies = setting.experiment.policies
    at = analysis_sizes(wanted.seeds, wanted.max_seeds)
    by_seed = {
        name: {run.seed: run.values.get(wanted.precise, 0.0) for run in runs.get(name, ())}
        for name in policies.all
    }
    for number, (seeds, alpha) in enumerate(zip(at, levels(at), strict=True), 1):
        counted = seeds_of(setting, seeds)
        look = InterimAnalysis(seeds=counted, alpha=alpha, number=number, precise=False)
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
            return InterimAnalysis(seeds=counted, alpha=alpha, number=number, precise=precise)
    raise AssertionError("the last look returns")


def standings(campaign: Campaign, seeds: int | None = None) -> list[InterimAnalysis]:
    """Return the current analysis of each setting; `seeds` replaces the number of the file."""
    if seeds is not None or all(
        c.experiment.replications.precision is None for c in campaign.settings
    ):
        return [fixed(setting, seeds) for setting in campaign.settings]
    stored = campaign.runs()
    return [
        current_analysis(
            setting, {p: stored.get((n, p), []) for p in setting.experiment.policies.all}
        )
        for n, setting in enumerate(campaign.settings)
    ]


def asked_for(campaign: Campaign, seeds: int | None = None) -> list[Job]:
    """Return the runs that there should be now; a rule for
    :func:`mmusim.experiment.scheduler.in_rounds`.
    """
    return [
        Job(number, policy, seed)
        for number, look in enumerate(standings(campaign, seeds))
        for seed in look.seeds
        for policy in campaign.settings[number].experiment.policies.all
    ]
