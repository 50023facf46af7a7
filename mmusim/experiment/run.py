"""Run an experiment: every cell x policy x seed, in parallel, each stored as it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import tomli_w

from mmusim.comparison.compare import Comparison, Verdict, compare, corrected, judge
from mmusim.config.cells import Cell, load_cells, resolved
from mmusim.config.experiment import Experiment
from mmusim.engine.choice import AUTO, resolve
from mmusim.execution.dask import hired
from mmusim.execution.progress import Progress
from mmusim.execution.workers import Job
from mmusim.experiment.scheduler import Campaign, Wanted, in_rounds
from mmusim.experiment.stopping import Look, asked_for, fixed, standing
from mmusim.metrics.measure import Metrics
from mmusim.store import Store
from mmusim.store.provenance import profile_hash, provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class CellResult:
    """What the runs of one cell say."""

    cell: Cell
    runs: dict[str, list[Metrics]]  # by policy, baseline first, each sorted by seed
    comparisons: dict[str, list[Comparison]]  # by metric: baseline against each other policy
    look: Look  # which seeds these are, and what error a look at them may make


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The answer of an experiment."""

    experiment: Experiment
    cells: list[CellResult]
    verdicts: list[Verdict]
    about: dict[str, str]
    failures: list[str]
    notices: tuple[str, ...] = ()  # what was mended in the run directory


def run_experiment(
    path: str | Path,
    out: str | Path,
    *,
    seeds: int | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
    engine: str = AUTO,
    rounds: Wanted | None = None,
    scheduler: str | None = None,
    retry_failed: bool = False,
) -> Outcome:
    """Run what is missing of an experiment and evaluate all of it.

    Parameters
    ----------
    path : str or Path
        The experiment file.
    out : str or Path
        Its run directory; made if it does not exist, resumed if it does.
    seeds : int, optional
        Replications in place of the file's.
    workers : int, optional
        Processes; the number of usable processors by default. 1 runs everything in this process.
    executor : concurrent.futures.Executor, optional
        Runs the jobs in place of local processes. A cluster's is as good as a pool of threads.
    progress : callable, optional
        Told how things stand: after each run, and every second of long ones (not with an executor
        of one's own).
    engine : {"auto", "simpy", "compiled"}
        Who simulates (:mod:`mmusim.engine.choice`).
    rounds : callable, optional
        Says which runs there should be, again after every round; by default all that the file asks
        for, in one round (:data:`mmusim.experiment.scheduler.Wanted`).
    scheduler : str, optional
        Address of a Dask cluster, ``tcp://host:port``, that runs the jobs.
    retry_failed : bool
        Run again what failed under this model version. Another version runs it in any case.

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
    with hired(workers, executor, scheduler) as crew, opened(path, out, engine) as campaign:
        wanted = rounds or (lambda runs: asked_for(runs, seeds))
        jobs = in_rounds(campaign, wanted, crew, progress, retry_failed=retry_failed)
        outcome = evaluate(
            campaign.experiment, campaign.cells, campaign.store, jobs=jobs, seeds=seeds,
            failures=campaign.failures, engine=campaign.engine,
        )  # fmt: skip
        return replace(outcome, notices=campaign.store.mended())


@contextmanager
def opened(
    path: str | Path,
    out: str | Path,
    engine: str = AUTO,
    cells: Callable[[Sequence[Cell]], Sequence[Cell]] = lambda of_the_file: of_the_file,
) -> Iterator[Campaign]:
    """Open an experiment's run directory to make runs; close it in the end.

    `cells` may replace the settings of the file by others that belong to the same question.

    Raises
    ------
    ConfigError
        If the file is wrong, `out` belongs to something else or there is no such engine here.
    StoreError
        If `out` cannot be written.
    """
    experiment, of_the_file = load_cells(path)
    engine, made = resolve(engine), cells(of_the_file)
    store = Store.open_for(Path(out), experiment.id, provenance())
    try:
        store.describe({"file": str(path), "text": Path(path).read_text(encoding="utf-8")})
        store.add_cells(map(_row, made))
        yield Campaign(experiment=experiment, cells=made, store=store, engine=engine)
    finally:
        store.close()


def _row(cell: Cell) -> tuple[str, str, str, str, str]:
    profile = cell.profile
    config = tomli_w.dumps(resolved(cell))
    return cell.key(), cell.name, config, profile.name, profile_hash(profile)


def evaluate(
    experiment: Experiment,
    cells: Sequence[Cell],
    store: Store,
    *,
    jobs: Iterable[Job] | None = None,
    seeds: int | None = None,
    failures: Sequence[str] = (),
    engine: str | None = None,
) -> Outcome:
    """Compare stored runs cell by cell and judge the claims.

    `jobs` are the runs that count; by default those that the file asks for, or with `seeds` that
    number in its place. `engine` is who made them; by default whoever did. The comparisons of all
    cells and metrics are one family.
    """
    campaign = Campaign(experiment=experiment, cells=cells, store=store, engine=engine)
    wanted = set(asked_for(campaign, seeds) if jobs is None else jobs)
    stored = {
        (number, policy): [run for run in runs if Job(number, policy, run.seed) in wanted]
        for (number, policy), runs in campaign.runs().items()
    }
    names = experiment.policies.all
    results = []
    for number, cell in enumerate(cells):
        runs = {name: stored[number, name] for name in names if stored.get((number, name))}
        if len(runs) == len(names) and min(map(len, runs.values())) >= 2:
            look = fixed(cell, seeds) if seeds else standing(cell, runs)
            made = _comparisons(experiment, runs, look.alpha)
            results.append(CellResult(cell=cell, runs=runs, comparisons=made, look=look))
    results = _as_one_family(results)
    return Outcome(
        experiment=experiment,
        cells=results,
        verdicts=_verdicts(experiment, results),
        about=store.about(),
        failures=list(failures),
    )


def _comparisons(
    experiment: Experiment, runs: dict[str, list[Metrics]], alpha: float
) -> dict[str, list[Comparison]]:
    common = set.intersection(*(set(run.values) for rows in runs.values() for run in rows))
    baseline, others = runs[experiment.policies.baseline], experiment.policies.compare
    usual = ("phase_time", "p99_latency", "max_latency", "faults", "protect_time")
    return {
        metric: [compare(baseline, runs[name], metric, alpha=alpha) for name in others]
        for metric in dict.fromkeys((*usual, experiment.answer_by))
        if metric in common
    }


def _as_one_family(results: Sequence[CellResult]) -> list[CellResult]:
    every = [(c, r.runs) for r in results for made in r.comparisons.values() for c in made]
    after = iter(corrected(every))
    return [
        replace(
            r, comparisons={m: [next(after) for _ in made] for m, made in r.comparisons.items()}
        )
        for r in results
    ]


def _verdicts(experiment: Experiment, results: Sequence[CellResult]) -> list[Verdict]:
    verdicts = []
    for claim in experiment.claims:
        about = [result for result in results if claim.concerns(result.cell.labels)]
        verdicts += [judge(claim, r.cell, r.runs, len(about), alpha=r.look.alpha) for r in about]
    return verdicts
