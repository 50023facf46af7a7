"""The dirty rate and the working set of a guest, from the reports of a migration.

The guest writes R pages a second, uniformly over a set of N pages. In a time T it makes

    D(T) = N (1 - exp(-R T / N))

of them dirty (occupancy; Feller, An Introduction to Probability Theory, vol. 1, IV.2). A log with
rounds gives pairs (T, D); R and N are fitted to them by least squares of the logarithms. A log
with one pair, or a rate alone, does not tell N: then R lies between D/T, where no page is written
twice, and the rate at which 90 % of the set is written again in each round.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from mmusim.migration_logs.log import MigrationLog

CONFIDENCE: Final = 0.95
REWRITTEN: Final = 0.9
"""Largest share of the set that is taken to be dirty again after a round, where N is not known."""
MODEL_ERROR: Final = 0.05
"""Least relative error of a reported round: bandwidth and dirtying are not constant within it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dirtying:
    """Pages written per second and the set they lie in, each with an interval.

    `writes_per_s` is R of the model: pages written, each counted as often as it is written.
    """

    writes_per_s: float
    writes_low: float
    writes_high: float
    set_pages: int
    set_low: int
    set_high: int
    how: str  # what they rest on

    def dirty_after(self, seconds: float) -> float:
        """Return D(T): the number of dirty pages after T seconds."""
        return occupied(self.writes_per_s, self.set_pages, seconds)


def occupied(writes_per_s: float, set_pages: float, seconds: float) -> float:
    """Return the number of distinct pages written, N (1 - exp(-R T / N))."""
    return set_pages * -math.expm1(-writes_per_s * seconds / set_pages)


def rate_of(dirty: float, set_pages: float, seconds: float) -> float:
    """Return the rate R at which `dirty` of `set_pages` pages are written within `seconds`."""
    return -math.log1p(-dirty / set_pages) * set_pages / seconds


def dirtying(
    log: MigrationLog, memory_pages: int, left_pages: float = 0.0
) -> Dirtying | None:  # fmt: skip
    """Fit rate and set to a log; None if the log has no information about writes.

    Parameters
    ----------
    log : MigrationLog
        What the log says.
    memory_pages : int
        Bounds the set.
    left_pages : float
        Pages that were not sent when a sync came, because QEMU syncs as soon as what is left takes
        less than the downtime limit. The writes to these are not seen as dirtying.
    """
    pairs = _pairs(log)
    if len(pairs) >= 2:
        return _fitted(pairs, memory_pages)
    if len(pairs) == 1:
        seconds, dirty = pairs[0]
        return _from_one(dirty, seconds, memory_pages, "one round of the log")
    if log.dirty_pages_rate:
        period = _period_s(log)
        dirty = min(log.dirty_pages_rate * period, REWRITTEN * memory_pages)
        return _from_one(
            dirty, dirty / log.dirty_pages_rate, memory_pages, "the dirty rate at the last sync",
            least=(log.remaining_bytes or 0) // log.page_size,
            left=0.0 if log.status == "completed" else left_pages,
        )  # fmt: skip
    again, how = _sent_again(log), "the pages that were sent again"
    if not again and log.transferred_bytes and log.memory_bytes:
        again = max(0, log.transferred_bytes - log.memory_bytes) // log.page_size
        how = "the bytes that were sent beyond the guest's memory, at least"
    if not log.dirty_pages_rate and not _tells_no_writes(log) and again and log.total_ns:
        return _from_one(
            min(again, REWRITTEN * memory_pages), log.total_ns / 1e9, memory_pages, how
        )
    return None


def _tells_no_writes(log: MigrationLog) -> bool:
    """Tell whether a dirty rate of 0 is a fact: QEMU prints 0 for every completed migration
    (populate_ram_info).
    """
    return log.dirty_pages_rate == 0 and log.status != "completed"


def _pairs(log: MigrationLog) -> list[tuple[float, float]]:
    """Return how long each round took, in seconds, and how many pages it left dirty."""
    rounds = sorted(log.each_round, key=lambda r: r.number)
    return [
        (r.time_ns / 1e9, after.to_send_bytes / log.page_size)
        for r, after in itertools.pairwise(rounds)
        if after.number == r.number + 1 and r.time_ns and after.to_send_bytes
    ]


def _sent_again(log: MigrationLog) -> int:
    """Return how many pages were sent more than once, as far as the log tells."""
    if log.zero_pages is None or log.normal_pages is None or log.memory_bytes is None:
        return 0
    return max(0, log.zero_pages + log.normal_pages - log.memory_bytes // log.page_size)


def _period_s(log: MigrationLog) -> float:
    """Return the mean time from one sync to the next after the first pass, in seconds.

    The pages that were sent again, over the rounds in which that was done, take so long at the
    rate of the network. A log without them gives the time of the whole by its rounds.
    """
    again, rounds = _sent_again(log), (log.rounds or 0) - 1
    if again and rounds > 0 and log.bytes_per_s:
        return max(again / rounds * log.page_size / log.bytes_per_s, 1e-3)
    if log.total_ns and log.rounds:
        return max(log.total_ns / 1e9 / log.rounds, 1e-3)
    return 1.0


def _from_one(
    dirty: float, seconds: float, memory: int, how: str, least: int = 0, left: float = 0.0
) -> Dirtying:  # fmt: skip
    slowest = dirty / seconds
    left = min(left, max(REWRITTEN * memory - dirty, 0.0))
    smallest = max(math.ceil((left + dirty) / REWRITTEN), least, 1)
    smallest = min(smallest, memory)
    likely = min(max(2 * math.ceil(left + dirty), smallest), memory)
    noise = 1.96 * math.sqrt(max(dirty, 1.0)) / seconds
    if left:
        dirty /= 1 - left / likely  # the left ones are written like the others
        how = f"{how}, {left:,.0f} pages being left at each sync"
    share = min(dirty / likely, REWRITTEN)
    return Dirtying(
        writes_per_s=rate_of(share * likely, likely, seconds),
        writes_low=max(slowest - noise, 0.0),
        writes_high=rate_of(min(dirty / smallest, REWRITTEN) * smallest, smallest, seconds) + noise,
        set_pages=likely,
        set_low=smallest,
        set_high=memory,
        how=f"{how}; the log does not tell the set, so twice what a round dirties is taken",
    )


def _fitted(pairs: Sequence[tuple[float, float]], memory: int) -> Dirtying:
    from scipy.optimize import least_squares
    from scipy.stats import t as student

    seconds, dirty = (np.array(column, float) for column in zip(*pairs, strict=True))
    most = float(dirty.max())
    lower = [math.log(1e-6 * most / seconds.max()), math.log(most)]
    upper = [math.log(1e6 * most / seconds.min()), math.log(max(memory, 1.001 * most))]

    def residuals(x: np.ndarray) -> np.ndarray:
        rate, pages = np.exp(x)
        made = pages * -np.expm1(-rate * seconds / pages)
        return np.asarray(np.log(np.maximum(made, 1e-9)) - np.log(dirty))

    start = [math.log(float((dirty / seconds).max()) * 1.2), math.log(min(2 * most, memory))]
    start = [min(max(s, lo), hi) for s, lo, hi in zip(start, lower, upper, strict=True)]
    found = least_squares(residuals, start, bounds=(lower, upper))
    rate, pages = (float(v) for v in np.exp(found.x))
    free = max(len(pairs) - 2, 1)
    spread = max(math.sqrt(2 * found.cost / free), MODEL_ERROR)
    jacobian = np.asarray(found.jac, float)
    information = jacobian.T @ jacobian
    covariance = np.linalg.pinv(information) * spread**2
    factor = float(student.ppf(0.5 + CONFIDENCE / 2, free)) if len(pairs) > 2 else 1.96
    widths = factor * np.sqrt(np.diag(covariance))
    identified = bool(np.linalg.cond(information) < 1e8)
    low, high = np.exp(found.x - widths), np.exp(found.x + widths)
    return Dirtying(
        writes_per_s=rate,
        writes_low=float(low[0]) if identified else float((dirty / seconds).min()),
        writes_high=float(high[0]) if identified else rate * 2.6,
        set_pages=min(round(pages), memory),
        set_low=min(max(round(float(low[1])), math.ceil(most)), round(pages)) if identified
        else math.ceil(most),
        set_high=min(round(float(high[1])), memory) if identified else memory,
        how=f"fitted to {len(pairs)} rounds of the log",
    )  # fmt: skip
