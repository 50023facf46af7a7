"""How often a process writes its pages: asked at an interval, as classes of a rate.

A page whose writes are a Poisson process of rate r is found written in an interval T with
probability 1 - exp(-r T). So the number of intervals in which it is found, of m, is binomial, and
over all pages a mixture of binomials. The shares of the pages on a grid of rates are the
nonparametric maximum-likelihood estimate of that mixture (Kiefer and Wolfowitz, Ann. Math. Stat.
27, 1956; by EM: Laird, JASA 73, 1978). Rates page by page would spread by chance.

A page found in every interval tells only that its rate is large: the grid ends at ln(2 m) / T, and
the recording says for how many pages.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mmusim.base.errors import ConfigError
from mmusim.base.units import PAGE
from mmusim.process_memory.mappings import Mapping, within, writable
from mmusim.process_memory.written_pages import Pages, Written, ways

CLASSES: Final = 40
"""Rates on the grid, beside 0."""
STEPS: Final = 2000
"""Steps of EM, at most."""
LEAST_FINDS: Final = 0.01
"""The smallest rate on the grid makes a page be found with this probability in all intervals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What the pages of a process were found to do."""

    way: str  # how the kernel told
    intervals_s: tuple[float, ...]
    written: tuple[int, ...]  # pages found in each interval
    found: Pages  # (pages,) of each page that was found at all: in how many intervals
    memory_pages: int  # that were watched

    @property
    def seconds(self) -> float:
        """Length of all intervals."""
        return sum(self.intervals_s)

    @property
    def dirty_pages_per_s(self) -> float:
        """Distinct pages written within an interval, per second, over all."""
        return sum(self.written) / self.seconds

    @property
    def always(self) -> int:
        """Pages that were found in every interval: their rates are lower bounds."""
        return int((self.found == len(self.intervals_s)).sum())

    def classes(self) -> list[tuple[float, float]]:
        """Return classes of pages: their share of the memory, and the writes of each in a second.

        Pages that are not written are in none.
        """
        count = len(self.intervals_s)
        lasts = self.seconds / count
        seen = np.bincount(self.found, minlength=count + 1).astype(float)
        seen[0] = self.memory_pages - len(self.found)
        rates = np.geomspace(LEAST_FINDS / self.seconds, math.log(2 * count) / lasts, CLASSES)
        weights = _mixture(seen, np.concatenate([[0.0], -np.expm1(-rates * lasts)]))[1:]
        some = weights * self.memory_pages >= 0.5
        return list(zip(weights[some].tolist(), rates[some].tolist(), strict=True))

    def workload(self) -> dict[str, Any]:
        """Return a workload with these rates, as TOML data."""
        classes = [
            {"share": f"{share * 100:.9f}%", "writes": float(f"{rate:.6g}")}
            for share, rate in self.classes()
        ]
        return {"pattern": "dirty-rate", "classes": classes}


def _mixture(seen: NDArray[np.float64], chances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights of binomials that are the likeliest for what was seen, by EM.

    Parameters
    ----------
    seen : ndarray, shape (m + 1,)
        Number of pages found in 0, 1, ..., m intervals.
    chances : ndarray, shape (classes,)
        Of being found in one interval, ascending from 0, below 1.
    """
    times = np.arange(len(seen))
    yes = np.log(np.maximum(chances, 1e-300))
    logs = times[:, None] * yes + (times[-1] - times)[:, None] * np.log1p(-chances)
    some = seen > 0
    likely = np.exp(logs[some] - logs[some].max(axis=1, keepdims=True))
    share = seen[some] / seen.sum()
    weights = np.full(len(chances), 1 / len(chances))
    for _ in range(STEPS):
        new = weights * (likely.T @ (share / (likely @ weights)))
        if np.abs(new - weights).max() < 1e-9:
            break
        weights = new
    return weights


def watch(
    pid: int, every_s: float, count: int, least_bytes: int = 0,
    sleep: Callable[[float], None] = time.sleep,
) -> Recording:  # fmt: skip
    """Ask `count` times, `every_s` seconds apart, which pages a process has written.

    Parameters
    ----------
    pid : int
        The process.
    every_s : float
        Interval in seconds.
    count : int
        Number of intervals.
    least_bytes : int
        Mappings that are smaller are left out. A guest's memory is the largest of its VMM.
    sleep : callable
        How the time between two questions is spent.

    Raises
    ------
    ConfigError
        If the process cannot be looked at, the kernel has no way to tell, or nothing can be
        watched.
    """
    mappings = within(writable(pid), least_bytes)
    way = _way(pid, mappings)
    try:
        if not way.covered:
            raise ConfigError.of(
                "workload watch", "--at-least", least_bytes, "leaves no memory of the process",
                "lower it; memory with a file on a disk behind it cannot be watched",
            )  # fmt: skip
        return watched(way, every_s, count, sleep)
    finally:
        way.close()


def _way(pid: int, mappings: list[Mapping]) -> Written:
    known = ways()
    if not known:
        raise ConfigError.of(
            "workload watch", "PID", pid, "cannot be watched: this kernel tells no writes",
            "use Linux 6.7 or later with CONFIG_USERFAULTFD, or a kernel with "
            "CONFIG_MEM_SOFT_DIRTY; or mmusim workload record",
        )  # fmt: skip
    return known[0](pid, mappings)


def watched(
    way: Written, every_s: float, count: int, sleep: Callable[[float], None] = time.sleep
) -> Recording:
    """Ask as :func:`watch` does, in a way that is open already."""
    way.take()  # what was written before
    begun = last = time.monotonic()
    intervals, written, found = [], [], []
    for number in range(1, count + 1):
        sleep(max(begun + number * every_s - time.monotonic(), 0.0))
        pages = way.take()
        now = time.monotonic()
        intervals.append(now - last)
        written.append(len(pages))
        found.append(pages)
        last = now
    _, times = np.unique(np.concatenate(found), return_counts=True)
    return Recording(
        way=way.name, intervals_s=tuple(intervals), written=tuple(written),
        found=times.astype(np.int64),
        memory_pages=sum(one.end - one.start for one in way.covered) // PAGE,
    )  # fmt: skip
