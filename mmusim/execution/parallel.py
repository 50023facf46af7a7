"""A function over many jobs: here, in local processes, or on a cluster."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

from mmusim.execution.dask import worker_pool
from mmusim.execution.workers import processors

J = TypeVar("J")
R = TypeVar("R")


def in_parallel(
    function: Callable[[J], R],
    jobs: Sequence[J],
    *,
    workers: int | None = None,
    scheduler: str | None = None,
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

    Raises
    ------
    ConfigError, ClusterError, OtherVersionError
        As :func:`mmusim.execution.dask.worker_pool`.
    """
    if scheduler is not None:
        with worker_pool(workers, None, scheduler) as pool:
            yield from pool.executor.map(function, jobs)
        return
    workers = workers or processors()
    if workers == 1 or len(jobs) < 2:
        yield from map(function, jobs)
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as local:
        yield from local.map(function, jobs)
