"""Processes that carry out runs, and tell how far they are."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from mmusim.config.cells import Cell
from mmusim.engine.choice import AUTO
from mmusim.engine.simulate import Reached, Simulation
from mmusim.errors import MmusimError
from mmusim.metrics import measure, to_record
from mmusim.plan import make_plan

BEAT_S: Final = 1.0
"""A run says how far it is once in so many seconds."""


class Job(NamedTuple):
    """One run to be done."""

    cell: int
    policy: str
    seed: int

    def name(self, cells: Sequence[Cell]) -> str:
        """Return what the run is called."""
        return f"{cells[self.cell].name} {self.policy} seed {self.seed}".strip()


Beat = Callable[[Job, Reached], None]
"""Told how far a run is."""
Ended = tuple[Job, float, dict[str, Any] | None, str]
"""A run, the seconds it took, its record or None, and what went wrong."""

_beats: Any = None  # in a worker: where its beats go


def execute(
    cells: Sequence[Cell],
    jobs: Sequence[Job],
    workers: int | None,
    executor: Executor | None,
    beat: Beat,
    engine: str = AUTO,
) -> Iterator[Ended]:
    """Yield runs as they end; `beat` is told of those under way, in this thread or another."""
    workers = workers or len(os.sched_getaffinity(0))
    if executor is None and (workers == 1 or len(jobs) <= 1):
        for job in jobs:
            yield job, *run_job(cells[job.cell], job, beat, engine)
        return
    if executor is not None:
        yield from _submit(executor, cells, jobs, lambda: None, engine)
        return
    spawn = multiprocessing.get_context("spawn")
    beats = spawn.SimpleQueue()

    def drain() -> None:
        while not beats.empty():
            beat(*beats.get())

    pool = ProcessPoolExecutor(workers, spawn, initializer=_ready, initargs=(beats,))
    try:
        yield from _submit(pool, cells, jobs, drain, engine)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _submit(
    pool: Executor,
    cells: Sequence[Cell],
    jobs: Sequence[Job],
    drain: Callable[[], None],
    engine: str,
) -> Iterator[Ended]:
    """Hand all jobs in and yield them as they end; call `drain` now and then."""
    futures: dict[Future[Any], Job] = {
        pool.submit(run_job, cells[job.cell], job, engine=engine): job for job in jobs
    }
    waiting = set(futures)
    with _interrupts() as interrupted:
        while waiting:
            ended, waiting = wait(waiting, timeout=BEAT_S, return_when=FIRST_COMPLETED)
            if interrupted.is_set():
                raise KeyboardInterrupt
            drain()
            for future in ended:
                yield futures[future], *future.result()


def run_job(
    cell: Cell, job: Job, beat: Beat | None = None, engine: str = AUTO
) -> tuple[float, dict[str, Any] | None, str]:
    """Simulate and measure one run; return seconds, its record, or None and what went wrong."""
    started = time.perf_counter()
    try:
        simulation = Simulation(make_plan(cell, job.policy, job.seed), engine=engine)
        with _watched(simulation, job, beat or _post):
            record = to_record(measure(simulation.run()))
    except MmusimError as error:
        return time.perf_counter() - started, None, str(error)
    return time.perf_counter() - started, record, ""


@contextmanager
def _watched(simulation: Simulation, job: Job, beat: Beat) -> Iterator[None]:
    """Look at a simulation from beside it, once in a while; it does not notice."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(BEAT_S):
            beat(job, simulation.reached())

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _post(job: Job, reached: Reached) -> None:
    """In a worker: send a beat home."""
    if _beats is not None:
        _beats.put((job, reached))


def _ready(beats: Any) -> None:
    """Begin a worker. Ctrl-C is the parent's business, which cancels what has not begun."""
    global _beats
    _beats = beats
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """Remember Ctrl-C: an exception that is raised inside a callback is printed and lost."""
    interrupted = threading.Event()

    def remember(number: int, frame: Any) -> None:
        interrupted.set()
        signal.default_int_handler(number, frame)

    if threading.current_thread() is not threading.main_thread():
        yield interrupted  # signals are the main thread's
        return
    before = signal.signal(signal.SIGINT, remember)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)
