"""Waiting for what may never come: code of other packages, and programs at the end of a line."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import takewhile
from types import FrameType
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
LAST_WORD_S: Final = 1.0
"""Seconds in which code is interrupted again and again, before it counts as stuck."""
SIGNAL: Final = signal.SIGURG
"""Interrupts the main thread. Whoever does not handle it does not notice it."""
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


@contextmanager
def interrupted_after(seconds: float, stuck: Callable[[str], object]) -> Iterator[None]:
    """Interrupt the body of a ``with`` statement that takes too long, in the thread that runs it.

    This is for an import: in another thread it would wait for modules that this thread is
    importing. The main thread is interrupted wherever it waits, any other thread in Python code.

    Parameters
    ----------
    seconds : float
        Time for the body; 0: no limit.
    stuck : callable
        Called from another thread with file and line if the body cannot be interrupted.

    Raises
    ------
    NeverReturnedError
        If the body took longer.
    """
    if not seconds:
        yield
        return
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(SIGNAL) if is_main else None  # None also of a handler that C set
    watch = _Watch(seconds, sys._getframe(2), stuck, by_signal=before is not None)
    if before is not None:
        signal.signal(SIGNAL, watch.interrupt)
    watch.start()
    try:
        try:
            yield
        finally:
            watch.end()
    except _InterruptedError:
        raise NeverReturnedError(seconds, watch.place) from None
    finally:
        watch.end()
        if before is not None:
            signal.signal(SIGNAL, before)


class _InterruptedError(BaseException):
    """Ends the body of :func:`interrupted_after`, past each ``except Exception`` in it."""


class _Watch(threading.Thread):
    """Waits beside a thread, and interrupts it when its time is over."""

    def __init__(
        self, seconds: float, since: FrameType, stuck: Callable[[str], object], *, by_signal: bool
    ) -> None:
        super().__init__(daemon=True)
        self.place = ""
        self._watched = threading.get_ident()
        self._over, self._lock = threading.Event(), threading.Lock()
        self._seconds, self._since, self._stuck = seconds, since, stuck
        self._by_signal = by_signal

    def run(self) -> None:
        """Wait, then interrupt, more than once: code may catch everything."""
        if any(self._over.wait(self._seconds / SLICES) for _ in range(SLICES)):
            return
        self.place = _place(self._watched, self._since)
        for _ in range(SLICES):
            self._send()
            if self._over.wait(LAST_WORD_S / SLICES):
                return
        self._stuck(self.place)

    def _send(self) -> None:
        with self._lock:
            if self._over.is_set():
                return
            if self._by_signal:
                signal.pthread_kill(self._watched, SIGNAL)
            else:
                _raise_in(self._watched, ctypes.py_object(_InterruptedError))

    def interrupt(self, number: int, frame: Any) -> None:
        """Take the signal, in the main thread."""
        if not self._over.is_set():
            raise _InterruptedError

    def end(self) -> None:
        """Interrupt no more."""
        with self._lock:
            self._over.set()
            if not self._by_signal:
                _raise_in(self._watched, None)  # what has been sent and did not come yet


def _raise_in(thread: int, error: ctypes.py_object[Any] | None) -> None:
    """Raise an error in a thread as soon as it is in Python code; None takes one back."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), error)


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
        _raise_in(self.ident or 0, ctypes.py_object(SystemExit))
        self._begin.release()  # where it catches that, or has nothing to do


_idle: Final[list[_Worker]] = []  # threads without work
os.register_at_fork(after_in_child=_idle.clear)  # a child has none of its parent's threads


def _place(thread: int, since: FrameType | None = None) -> str:
    """Return file and line of the innermost code of others that a thread is in.

    Only frames inside of `since` count.
    """
    frames = traceback.walk_stack(sys._current_frames().get(thread))
    inside = list(takewhile(lambda found: found[0] is not since, frames))[::-1]
    return place_of(traceback.StackSummary.extract(iter(inside))) or "an unknown place"
