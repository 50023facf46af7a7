"""Run an experiment: every setting x policy x seed, in parallel. Each run is stored when
it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import tomli_w

from mmusim.comparison.compare import Comparison, Verdict, compare, corrected, judge
from mmusim.comparison.exposure import no_verdict
from mmusim.comparison.pairing import MIN_SEEDS, UnlikeRunsError, on_shared_seeds
from mmusim.comparison.undecided import undecided
from mmusim.config.experiment import Experiment
from mmusim.config.settings import Setting, load_settings, resolved
from mmusim.engine.choice import AUTO, resolve
from mmusim.execution.dask import worker_pool
from mmusim.execution.progress import Progress
from mmusim.execution.workers import Job
from mmusim.experiment.scheduler import Campaign, RunsToMake, in_rounds
from mmusim.experiment.stopping import InterimAnalysis, asked_for, current_analysis, fixed
from mmusim.metrics.defined import least_known
from mmusim.metrics.measure import Metrics
from mmusim.store import Store
from mmusim.store.provenance import profile_hash, provenance
from mmusim.vocabulary import METRICS
from mmusim.vocabulary.metrics import USUAL, Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingResult:
    """What the runs of one setting say."""

    setting: Setting
    runs: dict[str, list[Metrics]]  # by policy, baseline first, each sorted by seed
    comparisons: dict[str, list[Comparison]]  # by metric: baseline against each other policy
    look: InterimAnalysis  # which seeds these are, and the error that an interim analysis may make


@dataclass(frozen=True, slots=True, kw_only=True)
class Lacking:
    """A setting that cannot be evaluated, because runs of it failed."""

    setting: Setting
    seeds: int  # that every policy has a run of
    failed: int  # runs

    @property
    def reason(self) -> str:
        """Say why nothing is known of it."""
        return (
            f"{self.failed} runs failed, and of every policy there are runs on {self.seeds} seeds; "
            f"{MIN_SEEDS} are needed"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The answer of an experiment."""

    experiment: Experiment
    settings: list[SettingResult]
    lacking: list[Lacking]  # settings that failed runs leave without an answer
    verdicts: list[Verdict]
    about: dict[str, str]
    failures: list[str]
    notices: tuple[str, ...] = ()  # repairs of the run directory


def run_experiment(
    path: str | Path,
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
) -> Outcome:
    """Make the missing runs of an experiment and evaluate all of it.

    Parameters
    ----------
    path : str or Path
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
    with worker_pool(workers, executor, scheduler) as pool, opened(path, out, engine) as campaign:
        wanted = rounds or (lambda runs: asked_for(runs, seeds))
        jobs = in_rounds(campaign, wanted, pool, progress, retry_failed=retry_failed)
        outcome = evaluate(
            campaign.experiment, campaign.settings, campaign.store, jobs=jobs, seeds=seeds,
            failures=campaign.failures, engine=campaign.engine,
        )  # fmt: skip
        return replace(outcome, notices=campaign.store.mended())


@contextmanager
def opened(
    path: str | Path,
    out: str | Path,
    engine: str = AUTO,
    settings: Callable[[Sequence[Setting]], Sequence[Setting]] = lambda of_the_file: of_the_file,
) -> Iterator[Campaign]:
    """Open an experiment's run directory to make runs, and close it at the end.

    `settings` may replace the settings of the file by others that belong to the same question.

    Raises
    ------
    ConfigError
        If the file is wrong, `out` belongs to something else or there is no such engine here.
    StoreError
        If `out` cannot be written.
    """
    experiment, of_the_file = load_settings(path)
    engine, made = resolve(engine), settings(of_the_file)
    store = Store.open_for(Path(out), experiment.id, provenance())
    try:
        store.describe({"file": str(path), "text": Path(path).read_text(encoding="utf-8")})
        store.add_settings(map(_row, made))
        yield Campaign(experiment=experiment, settings=made, store=store, engine=engine)
    finally:
        store.close()


def _row(setting: Setting) -> tuple[str, str, str, str, str]:
    profile = setting.profile
    config = tomli_w.dumps(resolved(setting))
    return setting.key(), setting.name, config, profile.name, profile_hash(profile)


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

    `jobs` are the runs that count; by default those that the file asks for, or with `seeds` that
    number in its place. `engine` is who made them; by default whoever did. The comparisons of all
    settings and metrics are one family.

    A run that failed is a result: it is listed, with `failures` that this process knows of, and
    policies are compared on the seeds that they share. A claim about a setting that has fewer than
    two of them is inconclusive.
    """
    campaign = Campaign(
        experiment=experiment, settings=settings, store=store, engine=engine,
        failures=dict(failures or {}),
    )  # fmt: skip
    wanted = set(asked_for(campaign, seeds) if jobs is None else jobs)
    failed = campaign.failed(wanted)
    stored = {
        (number, policy): [run for run in runs if Job(number, policy, run.seed) in wanted]
        for (number, policy), runs in campaign.runs().items()
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
            made = _comparisons(experiment, runs, look.alpha)
            results.append(SettingResult(setting=setting, runs=runs, comparisons=made, look=look))
    results = _as_one_family(results)
    return Outcome(
        experiment=experiment,
        settings=results,
        lacking=lacking,
        verdicts=_verdicts(experiment, results, lacking),
        about=store.about(),
        failures=campaign.told(failed),
    )


def _comparisons(
    experiment: Experiment, runs: dict[str, list[Metrics]], alpha: float
) -> dict[str, list[Comparison]]:
    common = set.intersection(*(set(run.values) for rows in runs.values() for run in rows))
    baseline, others = runs[experiment.policies.baseline], experiment.policies.compare
    return {
        metric: [compare(baseline, runs[name], metric, alpha=alpha) for name in others]
        for metric in dict.fromkeys((*USUAL, experiment.answer_by))
        if metric in common
    }


def _as_one_family(results: Sequence[SettingResult]) -> list[SettingResult]:
    every = [(c, r.runs) for r in results for made in r.comparisons.values() for c in made]
    after = iter(corrected(every))
    return [
        replace(
            r, comparisons={m: [next(after) for _ in made] for m, made in r.comparisons.items()}
        )
        for r in results
    ]


def _verdicts(
    experiment: Experiment, results: Sequence[SettingResult], lacking: Sequence[Lacking]
) -> list[Verdict]:
    verdicts = []
    for claim in experiment.claims:
        about = [result for result in results if claim.concerns(result.setting.labels)]
        for r in about:
            runs = [run for side in claim.sides for run in r.runs[side]]
            of_the_guest = METRICS[claim.metric].scope is Scope.PHASE
            unmet = no_verdict(r.runs, *claim.sides) if of_the_guest else ""
            few = least_known(runs, claim.metric) or unmet
            if few:
                verdicts.append(undecided(claim, r.setting, few, len(r.look.seeds)))
                continue
            try:
                found = judge(claim, r.setting, r.runs, len(about), alpha=r.look.alpha)
            except UnlikeRunsError as error:
                found = undecided(claim, r.setting, str(error), len(r.look.seeds))
            verdicts.append(found)
        verdicts += [
            undecided(claim, one.setting, one.reason, one.seeds)
            for one in lacking
            if claim.concerns(one.setting.labels)
        ]
    return verdicts
