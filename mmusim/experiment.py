"""Run an experiment: every cell x policy x seed, in parallel, each stored as it ends."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import tomli_w

from mmusim.comparison import Comparison, Verdict, compare, judge
from mmusim.config.cells import Cell, load_cells, resolved
from mmusim.config.experiment import Experiment
from mmusim.metrics import Metrics, from_record
from mmusim.progress import Progress, Watch
from mmusim.provenance import model_version, provenance
from mmusim.store import Store
from mmusim.workers import Job, execute


@dataclass(frozen=True, slots=True, kw_only=True)
class CellResult:
    """What the runs of one cell say."""

    cell: Cell
    runs: dict[str, list[Metrics]]  # by policy, baseline first, each sorted by seed
    comparisons: dict[str, list[Comparison]]  # by metric: baseline against each other policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The answer of an experiment."""

    experiment: Experiment
    cells: list[CellResult]
    verdicts: list[Verdict]
    about: dict[str, str]
    failures: list[str]


def run_experiment(
    path: str | Path,
    out: str | Path,
    *,
    seeds: int | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
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
        Runs the jobs in place of local processes.
    progress : callable, optional
        Told how things stand: after each run, and every second of long ones (not with an executor
        of one's own).

    Raises
    ------
    ConfigError
        If the file is wrong or `out` belongs to something else.
    StoreError
        If `out` cannot be written.
    """
    experiment, cells = load_cells(path)
    store = Store.open_for(Path(out), experiment.id, provenance() | {"file": str(path)})
    try:
        for cell in cells:
            store.add_cell(cell.key(), cell.name, tomli_w.dumps(resolved(cell)))
        jobs = _missing(store, cells, seeds)
        total = sum(len(_seeds(cell, seeds)) * len(experiment.policies.all) for cell in cells)
        watch = Watch(cells, jobs, total, progress)
        failures = []
        for job, seconds, result, error in execute(cells, jobs, workers, executor, watch.beat):
            key = cells[job.cell].key()
            store.add_run(key, job.policy, job.seed, model_version(), seconds, result, error)
            if result is None:
                failures.append(f"{job.name(cells)}: {error}")
            watch.ended(job)
        return evaluate(experiment, cells, store, seeds=seeds, failures=failures)
    finally:
        store.close()


def _seeds(cell: Cell, seeds: int | None) -> range:
    wanted = cell.experiment.replications
    return range(wanted.first_seed, wanted.first_seed + (seeds or wanted.seeds))


def _missing(store: Store, cells: Sequence[Cell], seeds: int | None) -> list[Job]:
    """Jobs that are not done, the largest VMs first, so that no core idles at the end."""
    done = store.done(model_version())
    jobs = [
        Job(number, policy, seed)
        for number, cell in enumerate(cells)
        for seed in _seeds(cell, seeds)
        for policy in cell.experiment.policies.all
        if (cell.key(), policy, seed) not in done
    ]
    return sorted(jobs, key=lambda job: -cells[job.cell].experiment.vm.memory)


def evaluate(
    experiment: Experiment,
    cells: Sequence[Cell],
    store: Store,
    *,
    seeds: int | None = None,
    failures: Sequence[str] = (),
) -> Outcome:
    """Compare the stored runs cell by cell and judge the claims."""
    by_run: dict[tuple[str, str], list[Metrics]] = {}
    wanted = {(cell.key(), seed) for cell in cells for seed in _seeds(cell, seeds)}
    for key, policy, seed, record in store.results(model_version()):
        if (key, seed) in wanted:
            by_run.setdefault((key, policy), []).append(from_record(policy, seed, record))
    names = experiment.policies.all
    results = []
    for cell in cells:
        runs = {name: by_run[cell.key(), name] for name in names if (cell.key(), name) in by_run}
        if len(runs) == len(names) and min(map(len, runs.values())) >= 2:
            results.append(
                CellResult(cell=cell, runs=runs, comparisons=_comparisons(experiment, runs))
            )
    return Outcome(
        experiment=experiment,
        cells=results,
        verdicts=_verdicts(experiment, results),
        about=store.about(),
        failures=list(failures),
    )


def _comparisons(
    experiment: Experiment, runs: dict[str, list[Metrics]]
) -> dict[str, list[Comparison]]:
    common = set.intersection(*(set(run.values) for rows in runs.values() for run in rows))
    baseline = runs[experiment.policies.baseline]
    return {
        metric: [compare(baseline, runs[name], metric) for name in experiment.policies.compare]
        for metric in ("phase_time", "p99_latency", "max_latency", "faults", "protect_time")
        if metric in common
    }


def _verdicts(experiment: Experiment, results: Sequence[CellResult]) -> list[Verdict]:
    verdicts = []
    for claim in experiment.claims:
        about = [result for result in results if claim.concerns(result.cell.labels)]
        verdicts += [judge(claim, r.cell, r.runs, family=len(about)) for r in about]
    return verdicts
