"""The workers that make runs: this process, local processes or a cluster, all behind one
executor.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shlex
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import nullcontext
from functools import lru_cache, partial
from typing import Any, NamedTuple

from mmusim.base.errors import MmusimError
from mmusim.base.machine_errors import MACHINE_ERRORS
from mmusim.config.settings import Setting
from mmusim.engine.choice import AUTO
from mmusim.engine.run_progress import Reached, watched
from mmusim.engine.simulate import Simulation
from mmusim.execution.beats import begin_reporting, drain, report
from mmusim.execution.processes import (
    check_main,
    end_workers,
    unaware_of_ctrl_c,
)
from mmusim.metrics.measure import measure
from mmusim.metrics.stored import to_record
from mmusim.plan.make import make_plan
from mmusim.store.provenance import model_version, provenance


class OtherVersionError(MmusimError):
    """A worker has another model, so its results would not fit the others."""


class Job(NamedTuple):
    """One run to be done."""

    setting: int
    policy: str
    seed: int

    def name(self, settings: Sequence[Setting]) -> str:
        """Return what the run is called."""
        return f"{settings[self.setting].name} {self.policy} seed {self.seed}".strip()

    def command(self, settings: Sequence[Setting], file: str) -> str:
        """Return the command that repeats the run of an experiment file, and nothing else."""
        name = settings[self.setting].name
        of = ["--setting", name] if name else []
        chosen = [*of, "--policy", self.policy, "--seed", str(self.seed)]
        return shlex.join(["mmusim", "trace", file, *chosen])


class Task(NamedTuple):
    """A job with everything that its worker must know."""

    job: Job
    setting: bytes  # pickled once, unpickled once per worker
    engine: str
    version: str  # hash of the model; the worker must have the same


class RunEnd(NamedTuple):
    """A run that ended."""

    seconds: float
    record: dict[str, Any] | None  # None: it failed
    error: str
    facts: dict[str, str]  # where it ran: versions, commit, machine
    machine: bool = False  # it failed by what the machine did, which is no result


Heartbeat = Callable[[Job, Reached], None]
"""Is told the progress of a run."""


class WorkerPool:
    """An executor, and the number of runs that it should have at a time.

    Local processes start with the first task. A process that dies is replaced.
    """

    def __init__(
        self,
        workers: int | None = None,
        executor: Executor | None = None,
        slots: Callable[[], int] | None = None,
    ) -> None:
        """Use the caller's executor with this many `slots`, or else local processes."""
        self._own = executor is None
        self._executor = executor
        self._workers = workers or getattr(executor, "_max_workers", None) or processors()
        self._slots = slots
        self._alone = False
        self._beat: Heartbeat = lambda job, reached: None
        self._beats: Any = None

    def begin(self, jobs: int, beat: Heartbeat) -> None:
        """Prepare for this many jobs. `beat` gets reports of runs in progress, here or in another
        thread.

        One worker, or one job, needs no process of its own.
        """
        self._beat = beat
        self._alone = self._own and self._executor is None and min(jobs, self._workers) == 1

    @property
    def alone(self) -> bool:
        """Whether this process makes the runs."""
        return self._alone

    @property
    def executor(self) -> Executor:
        """The executor of the caller that the pool was made with."""
        assert self._executor is not None
        return self._executor

    @property
    def room(self) -> int:
        """Number of tasks to submit at a time. Some wait, so that no worker does."""
        if self._alone:
            return 1
        return self._workers + 1 if self._own else 2 * (self._slots or processors)() + 2

    def submit(self, task: Task) -> Future[RunEnd]:
        """Hand a task in; alone, carry it out."""
        if self._alone:
            done: Future[RunEnd] = Future()
            done.set_result(carry_out(task, self._beat))
            return done
        if self._executor is None:
            check_main()
            spawn = multiprocessing.get_context("spawn")
            with unaware_of_ctrl_c():
                self._beats = spawn.SimpleQueue()
                self._executor = ProcessPoolExecutor(
                    self._workers, spawn, initializer=begin_reporting, initargs=(self._beats,)
                )
        try:
            with unaware_of_ctrl_c() if self._own else nullcontext():
                return self._executor.submit(carry_out, task)
        except BrokenExecutor as error:
            broken: Future[RunEnd] = Future()
            broken.set_exception(error)
            return broken

    def result(self, future: Future[RunEnd]) -> RunEnd | None:
        """Return how a task ended; None if its worker died, and another may try."""
        error = future.exception()
        if isinstance(error, BrokenExecutor) and self._own:
            return None
        return future.result()

    def drain(self) -> None:
        """Pass on the reports of local workers."""
        if self._beats is not None:
            drain(self._beats, lambda beat: self._beat(*beat))

    def close(self, *, at_once: bool = False) -> None:
        """End the local processes; with `at_once` also those with a run in progress."""
        if self._own and isinstance(self._executor, ProcessPoolExecutor):
            end_workers(self._executor, at_once=at_once)
            self._executor = self._beats = None


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0))


def carry_out(task: Task, beat: Heartbeat | None = None) -> RunEnd:
    """Do a task in the present process.

    Raises
    ------
    OtherVersionError
        If the model here differs from that of the sender.
    """
    if model_version() != task.version:
        raise OtherVersionError(
            f"worker {os.uname().nodename} (process {os.getpid()}): mmusim = {model_version()!r}: "
            f"is not {task.version!r}, which hands out the runs; install the same mmusim on every "
            "worker and run again: finished runs are kept"
        )
    started = time.perf_counter()
    try:
        done = run_job(_unpickled(task.setting), task.job, beat, task.engine)
    except MACHINE_ERRORS as error:
        return RunEnd(time.perf_counter() - started, None, _told(error), provenance(), machine=True)
    return RunEnd(*done, provenance())


@lru_cache(maxsize=32)
def _unpickled(setting: bytes) -> Setting:
    found: Setting = pickle.loads(setting)
    return found


def run_job(
    setting: Setting, job: Job, beat: Heartbeat | None = None, engine: str = AUTO
) -> tuple[float, dict[str, Any] | None, str]:
    """Simulate and measure one run; return seconds and its record, or None and the error.

    Any error concerns this run only, because policies may come from other packages.

    Raises
    ------
    MemoryError, OSError, ImportError
        If the machine is at fault (:data:`mmusim.base.machine_errors.MACHINE_ERRORS`): what
        happened is no result of the run.
    """
    started = time.perf_counter()
    try:
        simulation = Simulation(make_plan(setting, job.policy, job.seed), engine=engine)
        tell = partial(beat or _post, job)
        tell(simulation.reached())  # estimates leave out what came before
        with watched(lambda: tell(simulation.reached())):
            record = to_record(measure(simulation.run()))
    except MmusimError as error:
        return time.perf_counter() - started, None, str(error)
    except MACHINE_ERRORS:
        raise
    except Exception as error:
        return time.perf_counter() - started, None, _told(error)
    return time.perf_counter() - started, record, ""


def _told(error: BaseException) -> str:
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} (line {place.lineno} of {place.filename})"


def _post(job: Job, reached: Reached) -> None:
    """In a worker: send a progress report to the parent."""
    report((job, reached))
