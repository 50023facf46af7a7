"""Start and stop processes safely: scripts that start again in each process, and Ctrl-C."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mmusim.base.errors import ConfigError


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


@contextmanager
def unaware_of_ctrl_c() -> Iterator[None]:
    """Block Ctrl-C while processes start, because they inherit the mask until they can ignore it.

    A Ctrl-C in that time reaches this process after the block.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def interrupts(*, at_once: bool = False) -> Iterator[threading.Event]:
    """Remember Ctrl-C for a loop that asks from time to time. The second one raises an exception.

    An exception that a signal raises anywhere in this process can be lost in a callback. It then
    leaves locks of futures taken, and the pool never shuts down. With `at_once` the first Ctrl-C
    raises too: for runs in this process.
    """
    interrupted = threading.Event()

    def remember(number: int, frame: Any) -> None:
        again = interrupted.is_set()
        interrupted.set()
        if at_once or again:
            signal.default_int_handler(number, frame)

    if threading.current_thread() is not threading.main_thread():
        yield interrupted  # only the main thread receives signals
        return
    before = signal.signal(signal.SIGINT, remember)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)
