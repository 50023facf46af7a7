"""Run an experiment: every setting x policy x seed, in parallel. Each run is stored when
it ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path

from mmusim.comparison.compare import Comparison, compare, corrected
from mmusim.comparison.exposure import no_verdict
from mmusim.comparison.pairing import MIN_SEEDS, on_shared_seeds
from mmusim.config.experiment import Experiment
from mmusim.config.settings import LoadedFile, Setting
from mmusim.engine.choice import AUTO
from mmusim.execution.dask import worker_pool
from mmusim.execution.progress import Progress
from mmusim.execution.workers import Job
from mmusim.experiment.failed_hosts import failed_on_hosts
from mmusim.experiment.judging import verdicts_of
from mmusim.experiment.opening import opened as opened
from mmusim.experiment.outcome import Lacking as Lacking
from mmusim.experiment.outcome import Outcome as Outcome
from mmusim.experiment.outcome import SettingResult as SettingResult
from mmusim.experiment.over_hosts import (
    compared_over_hosts,
    folder_of,
    host_runs,
    jobs_of_hosts,
    judged_over_hosts,
    settings_of_hosts,
)
from mmusim.experiment.scheduler import RunDirectory, RunsToMake, in_rounds
from mmusim.experiment.stopping import asked_for, current_analysis, fixed
from mmusim.metrics.measure import Metrics
from mmusim.store import Store
from mmusim.vocabulary import METRICS
from mmusim.vocabulary.metrics import USUAL, Scope


def run_experiment(
    file: str | Path | LoadedFile,
    out: str | Path,
    *,
    seeds: int | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
    engine: str = AUTO,
    rounds: RunsToMake | None = None,
    scheduler: str | None = None,
    retry_failed: bool = False,
    costs: int | None = None,
) -> Outcome:
    """Make the missing runs of an experiment and evaluate all of it.

    Parameters
    ----------
    file : str, Path or LoadedFile
        The experiment file.
    out : str or Path
        Its run directory. The function makes it, or resumes it if it exists.
    seeds : int, optional
        Number of seeds that replaces that of the file.
    workers : int, optional
        Processes; the number of usable processors by default. 1 runs everything in this process.
    executor : concurrent.futures.Executor, optional
        Runs the jobs in place of local processes: for example a pool of threads, or a cluster's.
    progress : callable, optional
        Called after each run, and every second during long ones (not with an executor of the
        caller).
    engine : {"auto", "simpy", "compiled"}
        The engine that simulates (:mod:`mmusim.engine.choice`).
    rounds : callable, optional
        Returns which runs there should be, again after every round. By default all that the file
        asks for, in one round (:data:`mmusim.experiment.scheduler.RunsToMake`).
    scheduler : str, optional
        Address of a Dask cluster, ``tcp://host:port``, that runs the jobs.
    retry_failed : bool
        Repeat runs that failed under this model version. Another version repeats them in any case.
    costs : int, optional
        On how many hosts, with costs drawn from what is known about them, the verdicts are tried
        too, in place of the file's number (`[replications] costs`); 0: on none. Their runs are kept
        in the folder ``hosts`` of `out`.

    Raises
    ------
    ConfigError
        If the file is wrong, `out` belongs to something else or there is no such engine here.
    ClusterError
        If the cluster cannot be reached or is lost.
    OtherVersionError
        If a worker has another version of the model.
    StoreError
        If `out` cannot be written.
    """
    with worker_pool(workers, executor, scheduler) as pool, opened(file, out, engine) as directory:
        wanted = rounds or (lambda runs: asked_for(runs, seeds))
        jobs = in_rounds(directory, wanted, pool, progress, retry_failed=retry_failed)
        outcome = evaluate(
            directory.experiment, directory.settings, directory.store, jobs=jobs, seeds=seeds,
            failures=directory.failures, engine=directory.engine,
        )  # fmt: skip
        outcome = replace(outcome, notices=directory.store.mended())
        count = directory.experiment.replications.costs if costs is None else costs
        directory.store.describe({"costs": str(count)})
        if not count or not outcome.settings:
            return outcome
        own = directory.settings

        def on_hosts(_: Sequence[Setting]) -> Sequence[Setting]:
            return settings_of_hosts(own, count)

        with opened(file, folder_of(out), engine, settings=on_hosts) as elsewhere:
            jobs = jobs_of_hosts(elsewhere, count, _seeds(outcome, own))
            in_rounds(elsewhere, lambda _: jobs, pool, progress, retry_failed=retry_failed)
            return over_hosts(outcome, own, elsewhere, count, seeds)


def _seeds(outcome: Outcome, settings: Sequence[Setting]) -> dict[int, list[int]]:
    """Return the seeds that each setting has runs of, by its number."""
    numbers = {id(setting): number for number, setting in enumerate(settings)}
    return {
        numbers[id(result.setting)]: [run.seed for run in next(iter(result.runs.values()))]
        for result in outcome.settings
    }


def over_hosts(
    outcome: Outcome,
    settings: Sequence[Setting],
    elsewhere: RunDirectory,
    hosts: int,
    seeds: int | None = None,
) -> Outcome:
    """Return an outcome whose comparisons and verdicts say on how many hosts they hold.

    Runs that failed there are among its failures.

    Parameters
    ----------
    outcome : Outcome
        The outcome with the profile's own costs.
    settings : sequence of Setting
        All settings of the file.
    elsewhere : RunDirectory
        Open run directory of the runs with other costs.
    hosts : int
        Number of hosts of each setting.
    seeds : int, optional
        Number of seeds that replaces that of the file.
    """
    jobs = jobs_of_hosts(elsewhere, hosts, _seeds(outcome, settings))
    failures = failed_on_hosts(elsewhere, settings, hosts, jobs, seeds)
    numbers = {id(setting): number for number, setting in enumerate(settings)}
    runs = {numbers[id(result.setting)]: result.compared for result in outcome.settings}
    found = host_runs(elsewhere, settings, hosts, runs)
    results = []
    for result in outcome.settings:
        there = found.get(numbers[id(result.setting)])
        made = {
            metric: [compared_over_hosts(one, there) if there else one for one in comparisons]
            for metric, comparisons in result.comparisons.items()
        }
        results.append(replace(result, comparisons=made))
    by_name = {r.setting.name: found.get(numbers[id(r.setting)]) for r in outcome.settings}
    verdicts = []
    left = iter(outcome.verdicts)
    for claim in outcome.experiment.claims:
        for result in outcome.settings:
            if claim.concerns(result.setting.labels):
                verdict, there = next(left), by_name[result.setting.name]
                verdicts.append(judged_over_hosts(verdict, claim, there) if there else verdict)
        verdicts += [next(left) for one in outcome.lacking if claim.concerns(one.setting.labels)]
    return replace(
        outcome, settings=results, verdicts=verdicts, hosts=hosts,
        host_runs={name: runs for name, runs in by_name.items() if runs},
        failures=[*outcome.failures, *failures],
    )  # fmt: skip


def evaluate(
    experiment: Experiment,
    settings: Sequence[Setting],
    store: Store,
    *,
    jobs: Iterable[Job] | None = None,
    seeds: int | None = None,
    failures: Mapping[Job, str] | None = None,
    engine: str | None = None,
) -> Outcome:
    """Compare stored runs setting by setting and judge the claims.

    The comparisons of a metric in all settings are one family. A failed run is a result too: the
    outcome lists it, and policies are compared on the seeds that they share. A claim about a
    setting with fewer than two shared seeds is inconclusive.

    Parameters
    ----------
    experiment : Experiment
        The file.
    settings : sequence of Setting
        Its settings.
    store : Store
        The stored runs.
    jobs : iterable of Job, optional
        The runs that count; by default those that the file asks for.
    seeds : int, optional
        Number of seeds that replaces that of the file.
    failures : mapping, optional
        Errors of failed runs that only this process knows.
    engine : str, optional
        The engine of the runs; by default the stored one.
    """
    directory = RunDirectory(
        experiment=experiment, settings=settings, store=store, engine=engine,
        failures=dict(failures or {}),
    )  # fmt: skip
    wanted = set(asked_for(directory, seeds) if jobs is None else jobs)
    failed = directory.failed(wanted)
    stored = {
        (number, policy): [run for run in runs if Job(number, policy, run.seed) in wanted]
        for (number, policy), runs in directory.runs().items()
    }
    names = experiment.policies.all
    results, lacking = [], []
    for number, setting in enumerate(settings):
        runs = on_shared_seeds({name: stored.get((number, name), []) for name in names})
        if len(runs[names[0]]) < MIN_SEEDS:
            lost = sum(job.setting == number for job in failed)
            if lost:
                lacking.append(Lacking(setting=setting, seeds=len(runs[names[0]]), failed=lost))
        else:
            look = fixed(setting, seeds) if seeds else current_analysis(setting, runs)
            made = SettingResult(setting=setting, runs=runs, comparisons={}, look=look)
            found = _comparisons(experiment, made.compared, look.alpha)
            results.append(replace(made, comparisons=found))
    results = _as_families(results)
    return Outcome(
        experiment=experiment,
        settings=results,
        lacking=lacking,
        verdicts=verdicts_of(experiment, results, lacking),
        about=store.about(),
        failures=directory.lines_of(failed),
    )


def _comparisons(
    experiment: Experiment, runs: dict[str, list[Metrics]], alpha: float
) -> dict[str, list[Comparison]]:
    common = set.intersection(*(set(run.values) for rows in runs.values() for run in rows))
    baseline, others = runs[experiment.policies.baseline], experiment.policies.compare
    matters = experiment.replications.matters
    return {
        metric: [
            compare(baseline, runs[name], metric, alpha=alpha, matters=matters) for name in others
        ]
        for metric in dict.fromkeys((*USUAL, experiment.answer_by))
        if metric in common
    }


def _as_families(results: Sequence[SettingResult]) -> list[SettingResult]:
    """Correct the comparisons of each metric, over all settings and policies, as a family.

    A metric of the guest has no outcome where a policy never met the log.
    """
    after = {
        metric: iter(corrected([made for r in results for made in r.comparisons.get(metric, ())]))
        for metric in dict.fromkeys(name for r in results for name in r.comparisons)
    }

    def judged(result: SettingResult, made: Comparison) -> Comparison:
        of_the_guest = METRICS[made.metric].scope is Scope.PHASE
        sides = made.baseline, made.candidate
        why = no_verdict(result.runs, *sides) if of_the_guest else ""
        return (
            replace(made, answer=replace(made.answer, outcome="unknown", why=why)) if why else made
        )

    return [
        replace(
            r,
            comparisons={
                m: [judged(r, next(after[m])) for _ in made] for m, made in r.comparisons.items()
            },
        )
        for r in results
    ]
