"""Start and end processes safely: scripts that start again in each process, and Ctrl-C."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mmusim.base.errors import ConfigError
from mmusim.base.signals import ENDING, came, note


def check_main() -> None:
    """Refuse to start processes from a script that would start them again in each of them.

    Raises
    ------
    ConfigError
        If the main module is a script without a guard.
    """
    main = sys.modules.get("__main__")
    file = getattr(main, "__file__", None)
    if file is None or getattr(main, "__spec__", None) is not None:
        return  # typed in, or run by its name
    with suppress(OSError, UnicodeDecodeError):
        if "__name__" not in Path(file).read_text(encoding="utf-8"):
            raise ConfigError.of(
                file, "workers", None, "is a script that every new process would run again",
                'put what it does under `if __name__ == "__main__":`, or pass workers=1',
            )  # fmt: skip


def begin_worker() -> None:
    """Prepare a worker: its parent handles Ctrl-C for it, and it ends without its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with(sentinel: int) -> None:
        multiprocessing.connection.wait([sentinel])
        sys.stderr.flush()
        os._exit(1)

    threading.Thread(target=end_with, args=(parent.sentinel,), daemon=True).start()


def end_workers(pool: ProcessPoolExecutor, *, at_once: bool) -> None:
    """End the processes of a pool; with `at_once` also those that are at work."""
    if at_once:
        for process in list((pool._processes or {}).values()):
            process.terminate()
    pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def unaware_of_ctrl_c() -> Iterator[None]:
    """Block Ctrl-C while processes start, because they inherit the mask until they can ignore it.

    A Ctrl-C in that time reaches this process after the block. The end of the terminal is blocked
    too: it would end the process of Python's that counts semaphores, which ignores the other two.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def interrupts(*, at_once: bool = False) -> Iterator[threading.Event]:
    """Remember Ctrl-C for a loop that asks from time to time. The second one raises an exception.

    An exception that a signal raises anywhere in this process can be lost in a callback. It then
    leaves locks of futures taken, and the pool never shuts down. One that was lost before is raised
    now. With `at_once` the first Ctrl-C
    raises too: for runs in this process. Other signals that end mmusim count as Ctrl-C.
    """
    interrupted = threading.Event()
    if came():
        raise KeyboardInterrupt

    def remember(number: int, frame: Any) -> None:
        again = interrupted.is_set()
        interrupted.set()
        note(number)
        if at_once or again:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield interrupted  # only the main thread receives signals
        return
    # Only signals with a handler: an ignored one stays ignored, others may mean to end a script.
    before = {n: found for n in ENDING if callable(found := signal.getsignal(n))}
    for number in before:
        signal.signal(number, remember)
    try:
        yield interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
