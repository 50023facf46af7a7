"""Signals that end mmusim: Ctrl-C, ``kill`` and a closed terminal all go the way of Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, ``kill``, and the end of the terminal."""

_received: list[int] = []
_ours = False  # the command line takes the signals, and no script that has called mmusim


@contextmanager
def interrupting() -> Iterator[None]:
    """Let each of :data:`ENDING` raise KeyboardInterrupt. An ignored one stays ignored (nohup).

    After one of them further signals are left to the system: nothing is left to tidy up.
    """
    global _ours
    if threading.current_thread() is not threading.main_thread():
        yield  # Python lets no other thread decide
        return
    before = {n: found for n in ENDING if (found := signal.getsignal(n)) is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, _interrupt)
    _ours = True
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if _received else handler)
        _ours = False
        _received.clear()


def _interrupt(number: int, frame: Any) -> None:
    note(number)
    raise KeyboardInterrupt


def note(number: int) -> None:
    """Remember that a signal came, if the command line takes them."""
    if _ours:
        _received.append(number)


def on_command_line() -> bool:
    """Tell whether the command line runs, and not a script or notebook that has called mmusim."""
    return _ours


def came() -> bool:
    """Tell whether a signal came. A library may have lost the exception that it raised."""
    return bool(_received)


def status() -> int:
    """Return the exit status after a signal, as shells have it: 128 and its number."""
    return 128 + (_received[0] if _received else signal.SIGINT)
