"""Signals that end mmusim: Ctrl-C, ``kill`` and a closed terminal all go the way of Ctrl-C."""

from __future__ import annotations

import signal
import threading
from typing import Any, Final

ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, ``kill``, and the end of the terminal."""

_received: list[int] = []


def interrupt_on_signals() -> None:
    """Let each of :data:`ENDING` raise KeyboardInterrupt. An ignored one stays ignored (nohup)."""
    if threading.current_thread() is not threading.main_thread():
        return  # Python lets no other thread decide
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(number: int, frame: Any) -> None:
    note(number)
    raise KeyboardInterrupt


def note(number: int) -> None:
    """Remember that a signal came."""
    _received.append(number)


def came() -> bool:
    """Tell whether a signal came that ends mmusim."""
    return bool(_received)


def status() -> int:
    """Return the exit status after a signal, as shells have it: 128 and its number."""
    return 128 + (_received[0] if _received else signal.SIGINT)


def end_at_once() -> None:
    """Leave further signals to the system: nothing is left to tidy up."""
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
