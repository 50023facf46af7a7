"""A function over many jobs: here, in local processes, or on a cluster."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, wait
from typing import Final, TypeVar

from mmusim.base.errors import MmusimError
from mmusim.execution.beats import Take, begin_reporting, drain, ignore, report_to
from mmusim.execution.dask import worker_pool
from mmusim.execution.processes import (
    check_main,
    end_workers,
    interrupts,
    unaware_of_ctrl_c,
)
from mmusim.execution.workers import processors

J = TypeVar("J")
R = TypeVar("R")
LOOK_S: Final = 0.5
"""How often one looks whether Ctrl-C was pressed, in seconds."""


class WorkerDiedError(MmusimError):
    """A local process ended in the middle of a job."""


def in_parallel(
    function: Callable[[J], R],
    jobs: Sequence[J],
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    take: Take | None = None,
) -> Iterator[R]:
    """Yield the result of a function for each job, in their order.

    Parameters
    ----------
    function : callable
        The function and its results can be pickled.
    jobs : sequence
    workers : int, optional
        Local processes; one per usable processor by default. One worker needs no process.
    scheduler : str, optional
        Address of a Dask scheduler, in place of local processes.
    take : callable, optional
        Gets what jobs report meanwhile (:func:`mmusim.execution.beats.report`), here or in local
        processes, in the order of each process.

    Raises
    ------
    ConfigError, ClusterError, OtherVersionError
        As :func:`mmusim.execution.dask.worker_pool`.
    WorkerDiedError
        If a local process is killed, or runs out of memory.
    """
    if scheduler is not None:
        with worker_pool(workers, None, scheduler) as pool:
            yield from pool.executor.map(function, jobs)
        return
    workers = workers or processors()
    if workers == 1 or len(jobs) < 2:
        report_to(take)
        try:
            yield from map(function, jobs)
        finally:
            report_to(None)
        return
    check_main()
    spawn = multiprocessing.get_context("spawn")
    with unaware_of_ctrl_c():
        beats = spawn.SimpleQueue()
        local = ProcessPoolExecutor(
            min(workers, len(jobs)), spawn, initializer=begin_reporting, initargs=(beats,)
        )
    whole = False
    try:
        with interrupts() as interrupted:
            with unaware_of_ctrl_c():
                futures = [local.submit(function, job) for job in jobs]
            for future in futures:
                while not wait([future], LOOK_S).done:
                    if interrupted.is_set():
                        raise KeyboardInterrupt
                    drain(beats, take or ignore)
                drain(beats, take or ignore)
                try:
                    result = future.result()
                except BrokenExecutor:
                    if interrupted.is_set():  # the same signal has ended the worker
                        raise KeyboardInterrupt from None
                    raise
                yield result
        whole = True
    except BrokenExecutor:
        raise WorkerDiedError(
            "a process that worked on a part died (killed, or out of memory); free memory or use "
            "fewer --workers, and run again"
        ) from None
    finally:
        end_workers(local, at_once=not whole)
