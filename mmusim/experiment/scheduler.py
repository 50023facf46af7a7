"""Make runs in rounds: each round makes and stores the missing runs, until all are there."""

from __future__ import annotations

import pickle
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from typing import Final

from mmusim.base.errors import ConfigError
from mmusim.config.experiment import Experiment
from mmusim.config.settings import Setting
from mmusim.config.vm_and_host import MOST_SEEDS
from mmusim.engine.choice import AUTO, prepare
from mmusim.engine.run_progress import HEARTBEAT_S
from mmusim.execution.processes import interrupts
from mmusim.execution.progress import Progress, Watch
from mmusim.execution.workers import Job, RunEnd, Task, WorkerPool
from mmusim.metrics.measure import Metrics
from mmusim.metrics.stored import from_record
from mmusim.store import Key, Store
from mmusim.store.provenance import model_version

POLL_S: Final = 0.2
"""How often an idle process checks whether other processes have finished, in seconds."""


@dataclass(slots=True, kw_only=True)
class RunDirectory:
    """An experiment with its open run directory: the stored runs, and the means to make more."""

    experiment: Experiment
    settings: Sequence[Setting]
    store: Store
    engine: str | None  # by which runs are made and read: simpy or compiled; None: any, to read
    failures: dict[Job, str] = field(default_factory=dict)  # which runs failed, and how
    _setting_keys: list[str] = field(default_factory=list)

    def planned(self, seeds: int | None = None) -> list[Job]:
        """Return every setting x seed x policy of the file; `seeds` replaces its number of
        seeds.
        """
        return [
            Job(number, policy, seed)
            for number, setting in enumerate(self.settings)
            for seed in seeds_of(setting, seeds)
            for policy in setting.experiment.policies.all
        ]

    def keys(self, jobs: Iterable[Job]) -> dict[Job, Key]:
        """Return what the store calls these runs."""
        settings = self.setting_keys()
        version, engine = model_version(), self.engine or ""
        return {
            job: Key(settings[job.setting], job.policy, job.seed, engine, version) for job in jobs
        }

    def setting_keys(self) -> list[str]:
        """Return the keys of the settings in the store, in their order."""
        self._setting_keys = self._setting_keys or [setting.key() for setting in self.settings]
        return self._setting_keys

    def missing(self, wanted: Iterable[Job]) -> dict[Job, Key]:
        """Return the jobs that are not stored, the largest VMs first.

        This order keeps all processors busy until the end. Jobs of settings that differ only in
        their names are one run.
        """
        done = self.store.done(model_version(), self.engine)
        jobs = sorted(
            dict.fromkeys(wanted), key=lambda job: -self.settings[job.setting].experiment.vm.memory
        )
        once = {key: job for job, key in reversed(self.keys(jobs).items()) if key[:3] not in done}
        return {job: key for key, job in reversed(once.items())}

    def runs(self) -> dict[tuple[int, str], list[Metrics]]:
        """Return the stored runs by number of the setting and policy, sorted by seed."""
        found: dict[tuple[str, str], list[Metrics]] = {}
        for key, policy, seed, record in self.store.results(engine=self.engine):
            found.setdefault((key, policy), []).append(from_record(policy, seed, record))
        return {
            (number, policy): found[key, policy]
            for number, key in enumerate(self.setting_keys())
            for policy in self.experiment.policies.all
            if (key, policy) in found
        }

    def failed(self, jobs: Iterable[Job]) -> dict[Job, str]:
        """Return the errors of those runs that failed, now or in an earlier attempt."""
        stored = {key[:3]: error for key, error in self.store.failed()}
        settings = self.setting_keys()
        found = dict(self.failures)
        for job in jobs:
            key = settings[job.setting], job.policy, job.seed
            if key in stored:
                found.setdefault(job, stored[key])
        done = self.store.done(self.store.expected(), self.engine)
        return {
            job: error
            for job, error in found.items()
            if (settings[job.setting], job.policy, job.seed) not in done
        }

    def lines_of(self, failed: Mapping[Job, str]) -> list[str]:
        """Return a line for each failed run: its name, its error, and the command that repeats
        it.
        """
        file = self.store.about().get("file", f"{self.experiment.id}.toml")
        named = {job: (job.name(self.settings), job.command(self.settings, file)) for job in failed}
        return [
            f"{name}: {failed[job]}; repeat it with: {command}"
            for job, (name, command) in sorted(named.items())
        ]

    def carry_out(self, jobs: dict[Job, Key], pool: WorkerPool, watch: Watch) -> None:
        """Run jobs and store each run when it ends. Other processes may take some of the jobs.

        Parameters
        ----------
        jobs : dict
            Jobs with the keys of their runs.
        pool : WorkerPool
            Where the runs are made.
        watch : Watch
            Gets the progress of the runs.

        Raises
        ------
        KeyboardInterrupt
            After Ctrl-C. Runs that have ended are stored.
        """
        self.store.queue(jobs.values())
        prepare(self.engine or AUTO)
        pool.begin(len(jobs), watch.beat)
        with self.store.working() as token, interrupts(at_once=pool.alone) as interrupted:
            work = _Work(self, jobs, pool, watch, token)
            while work.unfinished():
                work.hand_in()
                pool.drain()
                if interrupted.is_set():
                    raise KeyboardInterrupt
                work.unclaim()
            if interrupted.is_set():
                raise KeyboardInterrupt


class _Work:
    """The jobs of one round: waiting, in progress here, or claimed by another process."""

    def __init__(
        self,
        directory: RunDirectory,
        jobs: dict[Job, Key],
        pool: WorkerPool,
        watch: Watch,
        token: str,
    ) -> None:
        self._directory, self._keys, self._pool, self._watch = directory, jobs, pool, watch
        self._token = token
        self._waiting = deque(jobs)
        self._elsewhere: list[Job] = []
        self._claimed: deque[Job] = deque()  # jobs of this process, to submit
        self._here: dict[Future[RunEnd], Job] = {}
        self._deaths: Counter[Job] = Counter()
        self._pickled: dict[int, bytes] = {}

    def unfinished(self) -> bool:
        return bool(self._waiting or self._elsewhere or self._claimed or self._here)

    def hand_in(self) -> None:
        """Claim as many jobs as there is room for."""
        # A job that was in progress when a worker died runs alone: the next death has one cause.
        room = (1 if self._deaths else self._pool.room) - len(self._here)
        while (short := room - len(self._claimed)) > 0 and self._waiting:
            self._claim([self._waiting.popleft() for _ in range(min(short, len(self._waiting)))])
        if not (self._waiting or self._claimed or self._here) and self._elsewhere:
            time.sleep(POLL_S)
            jobs, self._elsewhere = self._elsewhere, []
            self._claim(jobs)
        for _ in range(min(room, len(self._claimed))):
            future = self._pool.submit(self._task(self._claimed[0]))
            self._here[future] = self._claimed.popleft()

    def unclaim(self) -> None:
        """Wait a little for runs to end, and store those that did."""
        ended, _ = wait(self._here, timeout=HEARTBEAT_S, return_when=FIRST_COMPLETED)
        broken = False
        for future in ended:
            found = self._pool.result(future)
            if found is None:
                broken = True
            else:
                self._store(self._here.pop(future), found)
        if broken:
            self._a_worker_died()

    def _claim(self, jobs: Sequence[Job]) -> None:
        found = self._directory.store.claim([self._keys[job] for job in jobs], self._token)
        for job, (state, error) in zip(jobs, found, strict=True):
            if state == "mine":
                self._claimed.append(job)
            elif state == "busy":
                self._elsewhere.append(job)
            else:
                self._over(job, error)

    def _task(self, job: Job) -> Task:
        if job.setting not in self._pickled:
            self._pickled[job.setting] = pickle.dumps(self._directory.settings[job.setting])
        key = self._keys[job]
        return Task(job, self._pickled[job.setting], key.engine, key.version)

    def _store(self, job: Job, ended: RunEnd) -> None:
        self._deaths.pop(job, None)
        if ended.machine:  # no result: the run stays to be made
            self._directory.store.again([self._keys[job]], "running")
            self._over(job, f"{ended.error}; the machine is at fault, so nothing is stored")
            return
        seconds, record, error, facts, _ = ended
        self._directory.store.end(self._keys[job], seconds, record, error, facts)
        self._over(job, error)

    def _over(self, job: Job, error: str) -> None:
        if error:
            self._directory.failures[job] = error
        self._watch.ended(job)

    def _a_worker_died(self) -> None:
        """Try the jobs in progress again. A job that was alone with a dead worker has failed."""
        jobs, self._here = list(self._here.values()), {}
        self._pool.close()
        if len(jobs) == 1 and self._deaths[jobs[0]]:
            error = "the process that ran it died twice (killed, or out of memory)"
            self._store(jobs[0], RunEnd(0.0, None, error, {}, machine=True))
            return
        self._deaths.update(jobs)
        self._claimed.extendleft(reversed(jobs))


RunsToMake = Callable[[RunDirectory], Iterable[Job]]
"""A function that returns which runs there should be, including the existing ones. It is called
before every round.

It sees the runs of earlier rounds (:meth:`RunDirectory.runs`), so it can ask for more seeds where
they are needed. Failed runs are not repeated. Rounds end when the function asks for nothing new.
"""


def in_rounds(
    directory: RunDirectory,
    wanted: RunsToMake,
    pool: WorkerPool,
    progress: Progress | None = None,
    *,
    retry_failed: bool = False,
) -> list[Job]:
    """Make the missing runs round by round; return the runs of the last request."""
    tried: set[Key] = set()
    while True:
        jobs = list(dict.fromkeys(wanted(directory)))
        missing = {job: key for job, key in directory.missing(jobs).items() if key not in tried}
        if not missing:
            return jobs
        tried.update(missing.values())
        if retry_failed:
            directory.store.again(missing.values())
        total = len(set(directory.keys(jobs).values()))
        watch = Watch(directory.settings, list(missing), total, progress)
        directory.carry_out(missing, pool, watch)


def seeds_of(setting: Setting, seeds: int | None = None) -> range:
    """Return the seeds of a setting.

    Parameters
    ----------
    setting : Setting
        The setting.
    seeds : int, optional
        Number of seeds that replaces that of the file.

    Raises
    ------
    ConfigError
        If `seeds` is out of the bounds that hold in the file.
    """
    if seeds is not None and not 1 <= seeds <= MOST_SEEDS:
        raise ConfigError.of(
            "command line", "--seeds", seeds, f"is not from 1 to {MOST_SEEDS:,}", "correct it"
        )
    wanted = setting.experiment.replications
    return range(wanted.first_seed, wanted.first_seed + (seeds or wanted.seeds))
