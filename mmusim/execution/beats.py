"""Progress reports of runs in other processes to the process that started them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mmusim.execution.processes import begin_worker

Take = Callable[[Any], None]
"""Takes a report. In local processes reports are pickled."""

_take: Take | None = None  # where reports of this process go


def begin_reporting(queue: Any) -> None:
    """Prepare a worker whose reports go to `queue`."""
    begin_worker()
    report_to(queue.put)


def report_to(take: Take | None) -> None:
    """Let reports of this process go to a function; None: nowhere."""
    global _take
    _take = take


def report(beat: Any) -> None:
    """Send a report, if somebody takes those of this process."""
    if _take is not None:
        _take(beat)


def ignore(beat: Any) -> None:
    """Take a report, and do nothing."""


def drain(queue: Any, take: Take) -> None:
    """Pass on the reports that are in a queue."""
    while not queue.empty():
        take(queue.get())
