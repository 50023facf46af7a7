"""Runs are made in rounds: what is wanted and not there is run and stored, until all is there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

from mmusim.config.cells import Cell
from mmusim.config.experiment import Experiment
from mmusim.metrics import Metrics, from_record
from mmusim.progress import Progress, Watch
from mmusim.provenance import model_version
from mmusim.store import Store
from mmusim.workers import Job, execute


@dataclass(slots=True, kw_only=True)
class Campaign:
    """An experiment with its open run directory: what is there, and how more is made."""

    experiment: Experiment
    cells: Sequence[Cell]
    store: Store
    engine: str  # by which runs are made: simpy or compiled
    failures: list[str] = field(default_factory=list)  # which runs failed, and how

    def planned(self, seeds: int | None = None) -> list[Job]:
        """Return every cell x seed x policy of the file; `seeds` replaces its number of seeds."""
        return [
            Job(number, policy, seed)
            for number, cell in enumerate(self.cells)
            for seed in seeds_of(cell, seeds)
            for policy in cell.experiment.policies.all
        ]

    def missing(self, wanted: Iterable[Job]) -> list[Job]:
        """Return those that are not stored, the largest VMs first: so no core idles at the end."""
        done = self.store.done(model_version())
        keys = [cell.key() for cell in self.cells]
        jobs = [j for j in dict.fromkeys(wanted) if (keys[j.cell], j.policy, j.seed) not in done]
        return sorted(jobs, key=lambda job: -self.cells[job.cell].experiment.vm.memory)

    def runs(self) -> dict[tuple[int, str], list[Metrics]]:
        """Return what is stored by number of the cell and policy, sorted by seed."""
        found: dict[tuple[str, str], list[Metrics]] = {}
        for key, policy, seed, record in self.store.results(model_version()):
            found.setdefault((key, policy), []).append(from_record(policy, seed, record))
        return {
            (number, policy): found[cell.key(), policy]
            for number, cell in enumerate(self.cells)
            for policy in self.experiment.policies.all
            if (cell.key(), policy) in found
        }

    def carry_out(
        self,
        jobs: Sequence[Job],
        *,
        workers: int | None = None,
        executor: Executor | None = None,
        watch: Watch,
    ) -> None:
        """Run jobs and store each the moment it ends."""
        for job, seconds, result, error in execute(
            self.cells, jobs, workers, executor, watch.beat, self.engine
        ):
            key = self.cells[job.cell].key()
            self.store.add_run(
                key, job.policy, job.seed, model_version(), seconds, result, error
            )  # fmt: skip
            if result is None:
                self.failures.append(f"{job.name(self.cells)}: {error}")
            watch.ended(job)


Wanted = Callable[[Campaign], Iterable[Job]]
"""Asked before every round which runs there should be, those that are there included.

It sees the runs of earlier rounds (:meth:`Campaign.runs`), so it can ask for more seeds where they
are needed. What failed is not tried again. When nothing new is wanted, the campaign is over.
"""


def in_rounds(
    campaign: Campaign,
    wanted: Wanted,
    *,
    workers: int | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> list[Job]:
    """Run what is wanted and missing, round by round; return what was wanted in the end."""
    tried: set[Job] = set()
    while True:
        jobs = list(dict.fromkeys(wanted(campaign)))
        missing = [job for job in campaign.missing(jobs) if job not in tried]
        if not missing:
            return jobs
        tried.update(missing)
        watch = Watch(campaign.cells, missing, len(jobs), progress)
        campaign.carry_out(missing, workers=workers, executor=executor, watch=watch)


def seeds_of(cell: Cell, seeds: int | None = None) -> range:
    """Return the seeds of a cell; `seeds` replaces their number."""
    wanted = cell.experiment.replications
    return range(wanted.first_seed, wanted.first_seed + (seeds or wanted.seeds))
