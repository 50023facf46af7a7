"""A Dask cluster as the executor of runs: connect, check, and name what is wrong."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

from mmusim.base.errors import ConfigError, MmusimError
from mmusim.base.patience import within
from mmusim.execution.workers import OtherVersionError, RunEnd, WorkerPool
from mmusim.store.provenance import model_version

TIMEOUT_S: Final = 5.0
"""Seconds after which a silent scheduler counts as unreachable."""
LOOK_S: Final = 5.0
"""How often one counts the workers."""
PATIENCE_S: Final = 60.0
"""Seconds that a cluster without workers gets to find new ones."""


class ClusterError(MmusimError):
    """The cluster cannot be used, or was lost."""


@contextmanager
def worker_pool(
    workers: int | None = None, executor: Executor | None = None, scheduler: str | None = None
) -> Iterator[WorkerPool]:
    """Yield a worker pool: of a cluster, of an executor, or of local processes. End it at the end.

    Raises
    ------
    ConfigError
        If the cluster's library is missing, the address is invalid, or `workers` are given as well.
    ClusterError
        If the cluster cannot be reached or has no workers.
    OtherVersionError
        If a worker has another version of the model.
    """
    if scheduler is not None:
        if workers is not None:
            raise ConfigError.of(
                "command line", "--workers", workers, "counts local processes, and --scheduler "
                "runs on a cluster", "leave one of the two out",
            )  # fmt: skip
        with _cluster(scheduler) as pool:
            yield pool
        return
    pool = WorkerPool(workers, executor)
    try:
        yield pool
    except BaseException:
        pool.close(at_once=True)
        raise
    pool.close()


@contextmanager
def _cluster(address: str) -> Iterator[WorkerPool]:
    try:
        import distributed
    except ImportError:
        raise ConfigError.of(
            "--scheduler", "", address, "needs distributed, which is not installed",
            "install mmusim[cluster], or leave --scheduler out",
        ) from None  # fmt: skip
    with _quiet():
        client = _reach(distributed, address)
        try:
            _check_workers(client, address)
            yield _Dask(client, address)
        except (distributed.comm.core.CommClosedError, CancelledError):
            raise ClusterError(
                f"--scheduler = {address!r}: was lost; finished runs are stored: start it and run "
                "the same command to go on"
            ) from None
        finally:
            client.close(timeout=TIMEOUT_S)


@contextmanager
def _quiet() -> Iterator[None]:
    """Switch off Dask's own log. mmusim reports errors itself, in one line."""
    names = [name for name in logging.root.manager.loggerDict if name.startswith("distributed")]
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


class _Dask(WorkerPool):
    """The workers of a cluster; their number may change."""

    def __init__(
        self, client: Any, address: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(executor=client.get_executor(pure=False), slots=self._threads)
        self._client, self._address, self._clock = client, address, clock
        self._count, self._seen_s, self._counted_s = 1, clock(), clock() - LOOK_S

    def _threads(self) -> int:
        """Count the threads of all workers from time to time."""
        now = self._clock()
        if now - self._counted_s >= LOOK_S:
            self._counted_s = now
            self._count = sum(self._client.ncores().values())
            self._seen_s = now if self._count else self._seen_s
        if now - self._seen_s >= PATIENCE_S:
            raise ClusterError(
                f"--scheduler = {self._address!r}: has had no workers for {PATIENCE_S:.0f} s; "
                f"finished runs are stored: start some with `dask worker {self._address}` and run "
                "the same command to go on"
            )
        return max(1, self._count)

    def result(self, future: Future[RunEnd]) -> RunEnd | None:
        """Return how a task ended. If its worker died, Dask gives it to others, a few times."""
        error = future.exception()
        if type(error).__name__ == "KilledWorker":
            return RunEnd(0.0, None, f"every worker that ran it died ({error})", {})
        return super().result(future)


def _reach(distributed: Any, address: str) -> Any:
    """Connect. First check that a scheduler answers: a client never gives up on a mute one."""
    host, port = _parted(address)
    if not host or not port:
        raise ConfigError.of(
            "--scheduler", "", address, "is not an address of a scheduler", "write tcp://host:port"
        )
    remedy = "start it with `dask scheduler`, or leave --scheduler out to run on this machine"
    try:
        socket.create_connection((host, port), TIMEOUT_S).close()
        kind = within(TIMEOUT_S, lambda: asyncio.run(_kind(distributed, address)))
        if kind != "Scheduler":
            raise ClusterError(
                f"--scheduler = {address!r}: is not a scheduler but a {kind}; {remedy}"
            )
        return within(
            2 * TIMEOUT_S,
            lambda: distributed.Client(address, timeout=TIMEOUT_S, set_as_default=False),
        )
    except ClusterError:
        raise
    except OSError:
        raise ClusterError(
            f"--scheduler = {address!r}: does not answer within {TIMEOUT_S:.0f} s; {remedy}"
        ) from None
    except Exception:  # what another program says there can end in any error
        raise ClusterError(
            f"--scheduler = {address!r}: does not answer as a scheduler of Dask does; {remedy}"
        ) from None


async def _kind(distributed: Any, address: str) -> str:
    """Ask who answers. A client that cannot be made leaves threads behind; a question does not."""
    async with distributed.rpc(address, timeout=TIMEOUT_S) as peer:
        return str((await peer.identity())["type"])


def _parted(address: str) -> tuple[str, int]:
    """Return host and port of tcp://host:port; an empty host and 0 for anything else."""
    try:
        parts = urlsplit(address)
        return (
            (parts.hostname or "", parts.port or 0) if parts.scheme in ("tcp", "tls") else ("", 0)
        )
    except ValueError:  # the port is no number
        return "", 0


def _check_workers(client: Any, address: str) -> None:
    """Refuse a cluster without workers, and workers with another model."""
    try:
        found: dict[str, str] = within(
            PATIENCE_S, lambda: client.run(model_version, on_error="return")
        )
    except OSError as error:
        raise ClusterError(f"--scheduler = {address!r}: was lost ({error}); run again") from None
    if not found:
        raise ClusterError(
            f"--scheduler = {address!r}: has no workers; start some with `dask worker {address}`"
        )
    wrong = [
        f"worker {worker}: mmusim = {str(theirs)!r}: is not {model_version()!r}, which hands out "
        "the runs; install the same mmusim on every worker"
        for worker, theirs in found.items()
        if theirs != model_version()
    ]
    if wrong:
        raise OtherVersionError("\n".join(wrong))
