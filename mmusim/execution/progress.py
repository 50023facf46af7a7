"""Progress of an experiment, and an estimate of the remaining time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mmusim.base.units import show_ns
from mmusim.config.settings import Setting
from mmusim.engine.run_progress import Reached
from mmusim.execution.workers import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressReport:
    """How many runs have ended, which are in progress, and the estimated rest."""

    finished: int  # runs
    total: int
    name: str  # of the run that ended last, or is in progress
    under_way: Reached | None  # share of that run; None: it has ended
    done: float  # finished runs, and the parts of those in progress
    left_s: float | None  # estimate of the remaining seconds; None: too early to say

    def __str__(self) -> str:
        """Return it as one line."""
        words = [f"{self.finished}/{self.total} runs"]
        if self.under_way is None:
            words.append(f"last {self.name}")
        else:
            share = self.under_way.share
            so_far = "" if share is None else f", {share:.0%} done"
            words.append(f"{self.name} at {show_ns(self.under_way.now_ns)}{so_far}")
        if self.left_s is not None and self.done < self.total:
            words.append(f"about {show_seconds(self.left_s)} left")
        return ", ".join(words)


Progress = Callable[[ProgressReport], None]
"""Called after each run, and during runs."""


class Watch:
    """Adds up the reports of runs, and passes the sum on.

    A run counts as much as its VM has memory. The finished part, divided by its time, is the
    expected speed of the rest. Workers first start and load or compile the engine. So time counts
    from the report with which a first run begins, or from its end where no report came before.
    """

    def __init__(
        self,
        settings: Sequence[Setting],
        jobs: Sequence[Job],
        total: int,
        progress: Progress | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with `jobs` of `total` runs to do. The others are done."""
        self._settings, self._total, self._progress, self._clock = settings, total, progress, clock
        self._left = {job: settings[job.setting].experiment.vm.memory for job in jobs}
        self._whole = sum(self._left.values())
        self._shares: dict[Job, float] = {}  # of runs under way
        self._began_s = clock()
        self._before = 0.0  # what had been done by then
        self._reported = False
        self._moving = False  # some run has left its beginning

    def beat(self, job: Job, reached: Reached) -> None:
        """Take a report of a run in progress."""
        if job in self._left:
            self._moving = self._moving or reached.now_ns > 0 or bool(reached.share)
            if not self._moving and sum(self._left.values()) == self._whole:
                self._began_s = self._clock()
            self._reported = True
            self._shares[job] = reached.share or 0.0
            self._tell(job, reached)

    def ended(self, job: Job) -> None:
        """Take the end of a run."""
        first = sum(self._left.values()) == self._whole
        weight = self._left.pop(job)
        self._shares.pop(job, None)
        if first and not self._reported:
            self._began_s, self._before = self._clock(), weight
        self._tell(job, None)

    def _tell(self, job: Job, reached: Reached | None) -> None:
        if self._progress is None:
            return
        finished = self._total - len(self._left)
        shares = list(self._shares.items())  # beats come from other threads
        left = sum(self._left.values()) - sum(self._left.get(j, 0) * part for j, part in shares)
        done, spent = self._whole - self._before - left, self._clock() - self._began_s
        self._progress(
            ProgressReport(
                finished=finished,
                total=self._total,
                name=job.name(self._settings),
                under_way=reached,
                done=finished + sum(part for _, part in shares),
                left_s=spent * left / done if done > 0 else None,
            )
        )


def show_seconds(seconds: float) -> str:
    """Write a time to wait: ``45 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
