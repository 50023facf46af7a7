"""Waiting for what may never come: code of other packages, and programs at the end of a line."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, TypeVar

from mmusim.base.errors import ConfigError
from mmusim.base.packages import place_of, source_of

T = TypeVar("T")

VARIABLE: Final = "MMUSIM_PATIENCE"
"""Environment variable: seconds that a decision of another package may take; 0: no limit."""
PATIENCE_S: Final = 10.0
"""Seconds that a decision may take. One about an entry of a page table takes microseconds."""


class NeverReturnedError(TimeoutError):
    """Something did not return in time; `place` is the file and line where it was last."""

    def __init__(self, seconds: float, place: str) -> None:
        """Say how long it had."""
        super().__init__(f"does not return within {seconds:g} s")
        self.place = place


def patience_s() -> float:
    """Return how many seconds the code of another package may take for a decision; 0: no limit.

    Raises
    ------
    ConfigError
        If the environment variable is no number of seconds.
    """
    text = os.environ.get(VARIABLE, "")
    try:
        seconds = float(text) if text else PATIENCE_S
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < threading.TIMEOUT_MAX:
        raise ConfigError.of(
            "environment", VARIABLE, text, "is not a number of seconds",
            "write e.g. 60, or 0 for no limit",
        )  # fmt: skip
    return seconds


def patiently(work: Callable[[], T]) -> T:
    """Return what the code of another package returns.

    Raises
    ------
    NeverReturnedError
        If it does not return within :func:`patience_s`.
    """
    seconds = patience_s()
    return within(seconds, work) if seconds else work()


def never_returning(
    key: str, what: str, error: NeverReturnedError, function: object
) -> ConfigError:
    """Return the complaint about a function of another package that does not return."""
    return ConfigError.of(
        key, what, None, f"{error}, it is at {error.place}, of {source_of(function)}",
        f"mend it, or leave it out; {VARIABLE}=0 in the environment waits without end",
    )  # fmt: skip


def within(seconds: float, work: Callable[[], T]) -> T:
    """Return what `work` returns, or raise what it raises.

    It works in a thread that does not keep the process alive, because nothing ends a thread from
    outside. A function that holds Python's interpreter lock all the time is not noticed.

    Raises
    ------
    NeverReturnedError
        If that takes longer than `seconds`.
    """
    ended: Future[T] = Future()

    def run() -> None:
        try:
            ended.set_result(work())
        except BaseException as error:  # raised again where it is waited for
            ended.set_exception(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if not ended.done():
        raise NeverReturnedError(seconds, _place(thread.ident or 0))
    return ended.result()


def _place(thread: int) -> str:
    """Return the file and line of the innermost code of others that a thread is in."""
    frame = sys._current_frames().get(thread)
    return ("" if frame is None else place_of(traceback.extract_stack(frame))) or "an unknown place"
