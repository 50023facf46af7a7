"""Find the best of several policies or settings: run seeds until it is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal

import numpy as np

from mmusim.base.errors import ConfigError, require_known
from mmusim.config.setting import Setting, setting_named
from mmusim.config.settings import LoadedFile, load_file
from mmusim.config.vm_and_host import MOST_SEEDS
from mmusim.engine.choice import AUTO
from mmusim.execution.dask import worker_pool
from mmusim.execution.progress import Progress
from mmusim.execution.workers import Job
from mmusim.experiment.across_settings import values as censored
from mmusim.experiment.contest import Competitor as Competitor
from mmusim.experiment.contest import Contest as Contest
from mmusim.experiment.contest import Rules as Rules
from mmusim.experiment.contest import best_over_hosts, jobs_on_hosts
from mmusim.experiment.failed_hosts import failed_on_hosts
from mmusim.experiment.opening import opened
from mmusim.experiment.over_hosts import folder_of, settings_of_hosts
from mmusim.experiment.scheduler import RunDirectory, in_rounds
from mmusim.metrics.few_beyond import least_known
from mmusim.stats.selection import Selection, select_best
from mmusim.vocabulary import METRICS

GROWTH: Final = 1.25
"""Factor of the number of seeds from one round to the next. It wastes few seeds."""


def select(
    file: str | Path | LoadedFile,
    out: str | Path,
    rules: Rules,
    *,
    among: Literal["", "policies", "settings", "all"] = "",
    setting: str = "",
    policy: str = "",
    workers: int | None = None,
    engine: str = AUTO,
    scheduler: str | None = None,
    progress: Progress | None = None,
    costs: int | None = None,
) -> tuple[list[Contest], list[str]]:
    """Select the best of an experiment's policies or settings, with as many seeds as necessary.

    Kim and Nelson's procedure on common random numbers (:func:`mmusim.stats.selection.select_best`)
    with `delta` a share of the best mean over the first seeds. Each contest has the guarantee by
    itself.

    Parameters
    ----------
    file : str, Path or LoadedFile
        The experiment file.
    out : str or Path
        Its run directory. Stored runs are not repeated.
    rules : Rules
        Metric, indifference zone, confidence, first and last number of seeds.
    among : {"policies", "settings", "all"}, optional
        Policies compete in each setting; settings compete under each policy; all with all. By
        default policies, or settings where the file has one policy.
    setting, policy : str
        Only this setting or policy.
    workers, engine, scheduler, progress
        As for :func:`mmusim.experiment.run.run_experiment`.
    costs : int, optional
        On how many hosts with drawn costs, one seed each, it is tried whether the selected one is
        the best there too; by default the file's number (`[replications] costs`).

    Returns
    -------
    contests : list of Contest
    failures : list of str
        Runs that failed, with the error.

    Raises
    ------
    ConfigError
        If the rules are contradictory, there is no such metric, setting or policy, only one
        competes, or the metric's mean is zero.
    """
    file = load_file(file)
    rules = replace(rules, metric=rules.metric or file.experiment.answer_by)
    _check(rules)
    with worker_pool(workers, None, scheduler) as pool, opened(file, out, engine) as directory:
        groups = contests(directory, among, setting, policy)

        def wanted(runs: RunDirectory) -> list[Job]:
            values = _values(runs, rules)
            first = directory.experiment.replications.first_seed
            return [
                Job(one.setting, one.policy, seed)
                for _, group in groups
                for one, seeds in _seeds(group, [values[c] for c in group], rules).items()
                for seed in range(first, first + seeds)
            ]

        in_rounds(directory, wanted, pool, progress)
        values, stored = _values(directory, rules), directory.runs()
        made = [
            Contest(
                title=title, names=tuple(_name(directory.settings, c, group) for c in group),
                metric=rules.metric, limit=rules.limit,
                selection=_state_of([values[c] for c in group], rules),
                caveat=least_known([r for c in group for r in stored.get(c, ())], rules.metric),
                runs=tuple(stored.get(c, ()) for c in group),
            )
            for title, group in groups
        ]  # fmt: skip
        failures = directory.lines_of(directory.failures)
        count = directory.experiment.replications.costs if costs is None else costs
        if count:
            with opened(
                file, folder_of(out), engine,
                settings=lambda _: settings_of_hosts(directory.settings, count),
            ) as elsewhere:  # fmt: skip
                jobs = jobs_on_hosts(elsewhere, groups, count, rules)
                in_rounds(elsewhere, lambda _: jobs, pool, progress)
                made = [
                    replace(contest, holds=best_over_hosts(elsewhere, contest, group, count, rules))
                    for contest, (_, group) in zip(made, groups, strict=True)
                ]
                failures += failed_on_hosts(
                    elsewhere, directory.settings, count, jobs, rules.first
                )  # fmt: skip
        return made, failures


def _check(rules: Rules) -> None:
    METRICS.require(rules.metric, "select", "--metric")
    for key, value, right, rule, remedy in (
        ("--delta", rules.delta, 0 < rules.delta < math.inf, "is not positive", "write e.g. 2%"),
        ("--confidence", rules.confidence, 0.5 <= rules.confidence < 1,
         "must be at least 0.5 and below 1", "write e.g. 0.95"),
        ("--min-seeds", rules.first, rules.first >= 3, "is too few to know a variance",
         "give 3 or more; 10 is usual"),
        ("--max-seeds", rules.limit, rules.limit >= rules.first, "is less than the first seeds",
         f"give {rules.first} or more"),
        ("--max-seeds", rules.limit, rules.limit <= MOST_SEEDS, f"is more than {MOST_SEEDS:,}",
         "give fewer"),
    ):  # fmt: skip
        if not right:
            raise ConfigError.of("select", key, value, rule, remedy)


def contests(
    directory: RunDirectory, among: str, setting: str, policy: str
) -> list[tuple[str, list[Competitor]]]:
    """Return the title and the competitors of each contest.

    `among` is "policies", "settings" or "all"; empty: policies, or settings if there is one policy.
    `setting` and `policy` name the only one that takes part; empty: all take part.

    Raises
    ------
    ConfigError
        If there is no such setting or policy, or only one competes.
    """
    settings, policies = directory.settings, directory.experiment.policies.all
    names = [made.name for made in settings]
    if setting:
        setting_named(settings, setting, "select")
    if policy:
        require_known(policy, policies, "select", "--policy", "is not a policy of this experiment")
    among = among or ("policies" if len(policies) > 1 else "settings")
    numbers = [n for n, name in enumerate(names) if not setting or name == setting]
    chosen = [name for name in policies if not policy or name == policy]
    if among == "policies":
        groups = [(names[n], [Competitor(n, p) for p in chosen]) for n in numbers]
    elif among == "settings":
        groups = [(p, [Competitor(n, p) for n in numbers]) for p in chosen]
    elif among == "all":
        groups = [("", [Competitor(n, p) for n in numbers for p in chosen])]
    else:
        raise ConfigError.of(
            "select", "--among", among, "is not a kind of contest",
            "choose policies, settings or all",
        )  # fmt: skip
    if len(groups[0][1]) < 2:
        raise ConfigError.of(
            "select", "--among", among, "leaves fewer than two competitors",
            "leave --setting or --policy out, or choose another --among",
        )  # fmt: skip
    return groups


def _name(settings: Sequence[Setting], one: Competitor, group: Sequence[Competitor]) -> str:
    several_settings = len({c.setting for c in group}) > 1
    several_policies = len({c.policy for c in group}) > 1
    parts = [settings[one.setting].name] if several_settings else []
    return " ".join([*parts, one.policy] if several_policies else parts)


def _values(directory: RunDirectory, rules: Rules) -> dict[Competitor, list[float]]:
    """Return each competitor's values from the first seed on, up to the first gap.

    Infinite where a run does not have the metric: a migration that did not converge.
    """
    first, stored = directory.experiment.replications.first_seed, directory.runs()
    found = {}
    for number in range(len(directory.settings)):
        for policy in directory.experiment.policies.all:
            by_seed = {run.seed: run for run in stored.get((number, policy), ())}
            row: list[float] = []
            while len(row) < rules.limit and first + len(row) in by_seed:
                row += censored([by_seed[first + len(row)]], rules.metric)
            found[Competitor(number, policy)] = row
    return found


def _state_of(rows: Sequence[Sequence[float]], rules: Rules) -> Selection | None:
    """Return the state of a contest, or None before the first seeds have run.

    A competitor that has a run without the metric among the first deciding seeds is dropped,
    because it is worse than all that have the metric in every run.
    """
    if min(map(len, rows)) < rules.first:
        return None
    higher = METRICS[rules.metric].higher_is_better
    known = [n for n, row in enumerate(rows) if np.isfinite(row).all()]
    if len(known) < len(rows):
        return _without_censored(rows, known, rules)
    table = np.full((max(map(len, rows)), len(rows)), np.nan)
    for number, row in enumerate(rows):
        table[: len(row), number] = row
    means = table[: rules.first].mean(axis=0)
    best = float(means.max() if higher else means.min())
    delta = rules.delta * (
        abs(best) or float(np.abs(means).min(initial=math.inf, where=means != 0))
    )
    if not 0 < delta < math.inf:
        raise ConfigError.of(
            "select", "--metric", rules.metric, "is zero in every run, so nothing is the best",
            "choose another metric",
        )  # fmt: skip
    return select_best(
        table, delta, confidence=rules.confidence, first=rules.first, more_is_better=higher
    )


def _without_censored(
    rows: Sequence[Sequence[float]], known: Sequence[int], rules: Rules
) -> Selection:
    """Return the state of the contest among the competitors that have the metric in every run."""
    if not known:
        raise ConfigError.of(
            "select", "--metric", rules.metric,
            "is missing in runs of every competitor, so nothing is the best",
            "choose another metric, or give the migrations more time",
        )  # fmt: skip
    lost = [n for n in range(len(rows)) if n not in known]
    first = {n: next(k for k, x in enumerate(rows[n], 1) if not math.isfinite(x)) for n in lost}
    if len(known) == 1:
        (only,) = known
        mean = float(np.mean(rows[only]))
        within = Selection(
            alive=(0,), ranking=(0,), dropped_at=(None,), means=(mean,), seeds=len(rows[only]),
            needed=rules.first, selected=True, delta=rules.delta * abs(mean),
            confidence=rules.confidence,
        )  # fmt: skip
    else:
        found = _state_of([rows[n] for n in known], rules)
        assert found is not None
        within = found
    means, dropped = [math.nan] * len(rows), [first.get(n) for n in range(len(rows))]
    for place, n in enumerate(known):
        means[n], dropped[n] = within.means[place], within.dropped_at[place]
    return replace(
        within,
        alive=tuple(known[i] for i in within.alive),
        ranking=(*(known[i] for i in within.ranking), *lost),
        dropped_at=tuple(dropped),
        means=tuple(means),
    )


def _seeds(
    group: Sequence[Competitor], rows: Sequence[Sequence[float]], rules: Rules
) -> dict[Competitor, int]:
    """Return the number of seeds that each competitor should have now."""
    found = _state_of(rows, rules)
    if found is None:
        return dict.fromkeys(group, rules.first)
    there = {one: len(row) for one, row in zip(group, rows, strict=True)}
    if not found.selected:
        more = min(rules.limit, found.needed, math.ceil(found.seeds * GROWTH))
        there |= {group[i]: max(more, len(rows[i])) for i in found.alive}
    return there
