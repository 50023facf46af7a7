"""Waiting for what may never come: code of other packages, and programs at the end of a line."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

from mmusim.base.errors import ConfigError, MmusimError
from mmusim.base.packages import is_outside, place_of, raising, source_of

T = TypeVar("T")

VARIABLE: Final = "MMUSIM_PATIENCE"
"""Environment variable: seconds that code of another package may take for an answer; 0: no
limit.
"""
PATIENCE_S: Final = 10.0
"""Seconds that an answer may take. One about an entry of a page table takes microseconds."""
SLICES: Final = 10
"""The time is waited for in so many parts: a process that was stopped (Ctrl-Z) loses one of them,
not all.
"""

_hanging: WeakKeyDictionary[Any, NeverReturnedError] = WeakKeyDictionary()


class NeverReturnedError(TimeoutError):
    """Something did not return in time; `place` is the file and line where it was last."""

    def __init__(self, seconds: float, place: str) -> None:
        """Say how long it had."""
        super().__init__(f"does not return within {seconds:g} s")
        self.place = place


def patience_s() -> float:
    """Return how many seconds the code of another package may take for an answer; 0: no limit.

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


def asked(key: str, what: str, function: Any, work: Callable[[], T], remedy: str) -> T:
    """Return what `work` returns. It calls `function`, which another package may have written.

    One of another package has only so much time (:func:`patience_s`). If it took more once, it is
    not waited for again.

    Parameters
    ----------
    key, what : str
        Where the complaint is about: ``host.actors.busy`` and ``process``.
    function : callable
        Its package, entry point, file and line are named.
    work : callable
        Takes no argument.
    remedy : str
        What to do if it raises.

    Raises
    ------
    ConfigError
        If `function` does not return, or raises.
    MmusimError
        As `work` raises it.
    """
    try:
        if not is_outside(function):
            return work()
        if function in _hanging:
            raise _hanging[function]
        seconds = patience_s()
        return within(seconds, work) if seconds else work()
    except NeverReturnedError as error:
        _hanging[function] = error
        raise ConfigError.of(
            key, what, None, f"{error}, it is at {error.place}, of {source_of(function)}",
            f"correct it, or leave it out; {VARIABLE}=0 in the environment waits without end",
        ) from None  # fmt: skip
    except MmusimError:
        raise
    except (Exception, SystemExit) as error:
        raise ConfigError.of(key, what, None, raising(error, function), remedy) from None


def within(seconds: float, work: Callable[[], T]) -> T:
    """Return what `work` returns, or raise what it raises.

    It works in a thread that does not keep the process alive. If it takes too long, the thread is
    told to end, which it does as soon as it is in Python code. A function that holds Python's
    interpreter lock all the time is not noticed.

    Raises
    ------
    NeverReturnedError
        If that takes longer than `seconds`, not counting time in which the process was stopped.
    """
    try:
        worker = _idle.pop()
    except IndexError:
        worker = _Worker()
        worker.start()
    try:
        ended = worker.works(work, seconds)
    except BaseException:  # Ctrl-C
        worker.end()
        raise
    if not ended:
        place = _place(worker.ident or 0)
        worker.end()
        raise NeverReturnedError(seconds, place)
    error, answer = worker.error, worker.answer
    worker.forget()
    _idle.append(worker)
    if error is not None:
        raise error
    made: T = answer
    return made


class _Worker(threading.Thread):
    """A thread that does one piece of work after the other."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._begin, self._ended = threading.Semaphore(0), threading.Semaphore(0)
        self._over = False
        self.forget()

    def forget(self) -> None:
        """Keep nothing of the last piece of work."""
        self._work: Callable[[], Any] = int
        self.answer: Any = None
        self.error: BaseException | None = None

    def works(self, work: Callable[[], Any], seconds: float) -> bool:
        """Do a piece of work; tell whether it ended in time."""
        self._work = work
        self._begin.release()
        return any(self._ended.acquire(timeout=seconds / SLICES) for _ in range(SLICES))

    def run(self) -> None:
        """Work until :meth:`end`."""
        self._begin.acquire()
        while not self._over:
            try:
                self.answer = self._work()
            except BaseException as error:  # raised again where it is waited for
                self.error = error
            self._ended.release()
            self._begin.acquire()

    def end(self) -> None:
        """Raise SystemExit in the thread: its next line of Python code is its last."""
        self._over = True
        ident = ctypes.c_ulong(self.ident or 0)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(SystemExit))
        self._begin.release()  # where it catches that, or has nothing to do


_idle: Final[list[_Worker]] = []  # threads without work
os.register_at_fork(after_in_child=_idle.clear)  # a child has none of its parent's threads


def _place(thread: int) -> str:
    """Return the file and line of the innermost code of others that a thread is in."""
    frame = sys._current_frames().get(thread)
    return ("" if frame is None else place_of(traceback.extract_stack(frame))) or "an unknown place"
