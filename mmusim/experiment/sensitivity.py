"""Which costs and numbers of a host decide a metric: Sobol indices over their uncertainty."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from mmusim.base.errors import ConfigError, MmusimError, require_known
from mmusim.comparison.pairing import values_of
from mmusim.config.cost_ranges import FACTORS, provenance_of, uncertain, value_of, with_factors
from mmusim.config.setting import Setting, setting_named
from mmusim.config.settings import LoadedFile, load_file
from mmusim.config.vm_and_host import MOST_SEEDS
from mmusim.engine.choice import AUTO
from mmusim.execution.dask import worker_pool
from mmusim.execution.progress import Progress
from mmusim.execution.workers import Job
from mmusim.experiment.run import opened
from mmusim.experiment.scheduler import RunDirectory, in_rounds
from mmusim.metrics.few_beyond import least_known
from mmusim.stats.sobol import Index, sobol
from mmusim.stats.studentized import Floats
from mmusim.vocabulary import COSTS, METRICS

MOST_SAMPLES: Final = 1 << 14
"""Sobol points of which the indices are known to about 0.01; each is a run of every cost."""
MOST_FACTOR: Final = 1e3
MATTERS: Final = 0.05
"""A cost with a smaller share of the variance does not matter."""


@dataclass(frozen=True, slots=True)
class Influence:
    """The influence of one cost, or number of the machine, on a metric."""

    cost: str
    provenance: str
    mean: float
    unit: str  # of the mean: ns for costs
    low: float  # bounds of the factor for it
    high: float
    first: Index
    total: Index

    @property
    def advice(self) -> str:
        """Return the advice: `measure it`, `leave it`, or `more samples`.

        Only assumed costs get advice. Measured, published and derived costs have a basis already.
        """
        if self.provenance != "assumed":
            return ""
        if self.total.low >= MATTERS:
            return "measure it"
        return "leave it" if self.total.high < MATTERS else "more samples"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """The costs that decide a metric, the strongest first."""

    metric: str
    what: str  # the policy, or two as a ratio
    setting: str
    influences: tuple[Influence, ...]
    unpaid: tuple[str, ...]  # costs that change nothing in any trial
    mean: float  # mean of the metric over the ranges
    spread: float  # standard deviation of the metric over the ranges
    samples: int
    runs: int
    caveat: str = ""  # why the metric says little: a quantile with few times beyond it

    def __str__(self) -> str:
        """Return which costs matter, and which should be measured."""
        where = f" in {self.setting}" if self.setting else ""
        if not self.influences or self.spread == 0:
            return f"no cost changes {self.metric} of {self.what}{where}"
        top = self.influences[0]
        says = (
            f"{top.cost} decides most of {self.metric} of {self.what}{where}: "
            f"{min(1, top.total.estimate):.0%} of its variance"
        )
        measure = [i.cost for i in self.influences if i.advice == "measure it"]
        if measure:
            return f"{says}; assumed, and worth measuring: {', '.join(measure)}"
        if any(i.advice == "more samples" for i in self.influences):
            return f"{says}; more samples are needed to tell which assumed costs matter"
        return f"{says}; no assumed cost matters"


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """The question: metric, policy, setting, samples, seeds."""

    metric: str = ""  # by default the file's `answer_by`
    policy: str = ""  # or two, "lazy-drop / eager-drop"; by default the baseline
    setting: str = ""  # by default the only one
    samples: int = 64
    seeds: int = 1
    wide: Mapping[str, float] | None = None  # in place of FACTORS


def sensitivity(
    file: str | Path | LoadedFile,
    out: str | Path,
    study: Study,
    *,
    workers: int | None = None,
    engine: str = AUTO,
    scheduler: str | None = None,
    progress: Progress | None = None,
) -> Sensitivity:
    """Rank the host's costs by their effect on a metric.

    First each cost, and each assumed number of the machine, is moved alone to both ends of its
    range, from the middle and from the two corners of all ranges; what changes nothing anywhere is
    not paid by this experiment and has index 0. Over the others the Sobol indices of the metric, a
    mean over the same seeds at every point, are estimated (:func:`mmusim.stats.sobol.sobol`). Each
    is log-uniform within its range (:func:`mmusim.config.cost_ranges.uncertain`), independent of
    the others.

    Parameters
    ----------
    file : str, Path or LoadedFile
        The experiment file.
    out : str or Path
        A run directory for the runs with other costs. What it holds is not run again.
    study : Study
        Metric, policy, setting, samples (a power of 2), seeds.
    workers, engine, scheduler, progress
        As for :func:`mmusim.experiment.run.run_experiment`.

    Raises
    ------
    ConfigError
        If there is no such metric, policy or setting, or the number of samples is not a power of 2.
    UnlikeRunsError
        If a run does not have the metric.
    MmusimError
        If a run with other costs fails.
    """
    file = load_file(file)
    study = replace(study, metric=study.metric or file.experiment.answer_by)
    sides = _check(study)
    with worker_pool(workers, None, scheduler) as pool:
        runs, few = 0, set[str]()

        def evaluate(setting: Setting, points: Sequence[Mapping[str, float]]) -> Floats:
            nonlocal runs
            made = [with_factors(setting, point) for point in points]
            names = sides or [setting.experiment.policies.baseline]
            with opened(file, out, engine, settings=lambda _: made) as directory:
                _known(directory, names)

                def wanted(all_: RunDirectory) -> list[Job]:
                    first = all_.experiment.replications.first_seed
                    return [
                        Job(number, name, seed)
                        for number in range(len(made))
                        for name in names
                        for seed in range(first, first + study.seeds)
                    ]

                jobs = in_rounds(directory, wanted, pool, progress)
                runs += len(jobs)
                if directory.failures:
                    line, *_ = directory.lines_of(directory.failures)
                    raise MmusimError(f"a run with other costs failed: {line}; narrow the ranges")
                return _values(directory, len(made), names, study, few)

        setting = setting_named(file.settings, study.setting, "sensitivity")
        ranges = uncertain(setting, FACTORS | dict(study.wide or {}))
        paid = _paid(ranges, lambda points: evaluate(setting, points))
        found = sobol(
            lambda x: evaluate(
                setting, [dict(zip(paid, row, strict=True)) for row in x.T.tolist()]
            ),
            [ranges[name] for name in paid],
            samples=study.samples,
        ) if paid else None  # fmt: skip
        middle = evaluate(setting, [{}])[0]
    influences = [] if found is None else [
        Influence(
            name, provenance_of(setting, name), *value_of(setting, name), *ranges[name], first,
            total,
        )
        for name, first, total in zip(paid, found.first, found.total, strict=True)
    ]  # fmt: skip
    return Sensitivity(
        metric=study.metric,
        what=study.policy or setting.experiment.policies.baseline,
        setting=setting.name,
        influences=tuple(sorted(influences, key=lambda one: -one.total.estimate)),
        unpaid=tuple(name for name in dict.fromkeys((*COSTS, *ranges)) if name not in paid),
        mean=float(middle) if found is None else found.mean,
        spread=0.0 if found is None else found.spread,
        samples=study.samples,
        runs=runs,
        caveat=min(few, default=""),
    )


def _check(study: Study) -> list[str]:
    """Return the policies that are asked about, the numerator first."""
    METRICS.require(study.metric, "sensitivity", "--metric")
    if not 4 <= study.samples <= MOST_SAMPLES or study.samples & (study.samples - 1):
        within = min(max(4, study.samples), MOST_SAMPLES)
        raise ConfigError.of(
            "sensitivity", "--samples", study.samples,
            f"is not a power of 2 from 4 to {MOST_SAMPLES:,}",
            f"take {2 ** round(math.log2(within))}",
        )  # fmt: skip
    if not 1 <= study.seeds <= MOST_SEEDS:
        raise ConfigError.of(
            "sensitivity", "--seeds", study.seeds, f"is not between 1 and {MOST_SEEDS:,}",
            "give a number in this range",
        )  # fmt: skip
    for provenance, factor in (study.wide or {}).items():
        if provenance not in FACTORS or not 1 < factor <= MOST_FACTOR:
            raise ConfigError.of(
                "sensitivity", "--range", f"{provenance}={factor:g}",
                f"is not a provenance with a factor above 1 and up to {MOST_FACTOR:g}",
                "write e.g. assumed=3",
            )  # fmt: skip
    sides = [side.strip() for side in study.policy.split("/") if side.strip()]
    if len(sides) > 2:
        raise ConfigError.of(
            "sensitivity", "--policy", study.policy, "names more than two policies",
            'write one, or e.g. "lazy-drop / eager-drop"',
        )  # fmt: skip
    return sides


def _known(directory: RunDirectory, names: Sequence[str]) -> None:
    policies = directory.experiment.policies.all
    for name in names:
        rule = "is not a policy of this experiment"
        require_known(name, policies, "sensitivity", "--policy", rule)


def _paid(
    ranges: Mapping[str, tuple[float, float]],
    evaluate: Callable[[Sequence[Mapping[str, float]]], Floats],
) -> list[str]:
    """Return the costs that change the metric when they are moved alone, from three places."""
    corners: list[dict[str, float]] = [
        {}, {name: low for name, (low, _) in ranges.items()},
        {name: high for name, (_, high) in ranges.items()},
    ]  # fmt: skip
    points, moved = list(corners), []
    for name, ends in ranges.items():
        for number, corner in enumerate(corners):
            for end in ends:
                if corner.get(name) != end:
                    points.append(corner | {name: end})
                    moved.append((name, number))
    values = evaluate(points)
    changed = {
        name
        for (name, number), value in zip(moved, values[len(corners) :], strict=True)
        if value != values[number]
    }
    return [name for name in ranges if name in changed]


def _values(
    directory: RunDirectory, settings: int, names: Sequence[str], study: Study, few: set[str]
) -> Floats:
    """Return one value per setting: the mean over seeds, or the ratio of two means. Why the metric
    says little goes into `few`.
    """
    stored, made = directory.runs(), []
    few |= {least_known(runs, study.metric) for runs in stored.values()} - {""}
    first = directory.experiment.replications.first_seed
    seeds = range(first, first + study.seeds)
    for number in range(settings):
        means = [
            np.mean(values_of([r for r in stored[number, name] if r.seed in seeds], study.metric))
            for name in names
        ]
        if len(means) == 2 and means[1] == 0:
            raise ConfigError.of(
                "sensitivity", "--policy", study.policy,
                f"has no ratio: {study.metric} of {names[1]!r} is zero", "name one policy",
            )  # fmt: skip
        made.append(float(means[0] / means[1] if len(means) == 2 else means[0]))
    return np.array(made)
