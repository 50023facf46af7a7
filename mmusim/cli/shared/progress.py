"""Progress of runs: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

import typer

from mmusim.config.setting import Setting
from mmusim.engine.choice import AUTO, SIMPY, VARIABLE, numba_trouble, resolve
from mmusim.engine.run_progress import Reached
from mmusim.execution.progress import Progress, ProgressReport, Watch
from mmusim.execution.workers import Job
from mmusim.plan.make import Plan

LONG_S: Final = 20.0
"""Longest time without a line where there is no terminal."""


def notice(engine: str) -> None:
    """Print a notice if `auto` cannot use the compiled engine, with the reason."""
    free = engine == AUTO and os.environ.get(VARIABLE, AUTO) == AUTO
    if free and resolve(engine) == SIMPY:
        typer.echo(
            f"mmusim: Numba {numba_trouble()}, so the SimPy engine runs: the same results, slower; "
            "install mmusim[compiled]",
            err=True,
        )


@contextmanager
def show_progress() -> Iterator[Progress]:
    """Show a bar on a terminal, and a line from time to time elsewhere."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = BarColumn(), TextColumn("{task.description}")
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda state: bar.update(
            task,
            completed=state.done,
            total=state.total,
            description=str(state),
        )


@contextmanager
def show_one_run(setting: Setting, plan: Plan) -> Iterator[Callable[[Reached], None]]:
    """Show the progress of one run, once it has gone on for a second."""
    with show_progress() as progress:
        job = Job(0, plan.policy.name, plan.seed)
        yield partial(Watch([setting], [job], 1, progress).beat, job)


class Lines:
    """Prints the first report, the progress ten times in all, and after every long silence."""

    def __init__(self) -> None:
        """Nothing is printed."""
        self._printed_s = -math.inf

    def __call__(self, state: ProgressReport) -> None:
        """Print a line if it is time."""
        tenth = state.under_way is None and (
            state.finished == state.total or state.finished % max(1, state.total // 10) == 0
        )
        if tenth or time.monotonic() - self._printed_s >= LONG_S:
            self._printed_s = time.monotonic()
            typer.echo(str(state), err=True)
