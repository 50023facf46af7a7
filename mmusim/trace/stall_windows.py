"""The largest share of a short window that a vCPU loses: exact, in bounded memory.

A vCPU runs from `begin` to `end` and has stalls (times outside the guest) in between. Let lost(t,
w) be the time of stalls within [t, t + w]. The result is the largest lost(t, w) over all t with
begin <= t <= end - w, for windows w of 0.1 to 100 ms (domain, G.5). As a function of t it is
piecewise linear with slope 1, 0 or -1. It can turn down only where a stall ends at the end of the
window or begins at its beginning. So it suffices to look at these windows and at the last one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mmusim.base.histogram import Histogram
from mmusim.vocabulary import metrics

Ints = NDArray[np.int64]

WINDOWS: Final = tuple(metrics.WINDOWS.values())
"""Lengths of windows in ns."""
_BLOCK: Final = 1 << 14  # numbers that wait to be looked at together: two a stall


class Stalls:
    """The stalls of one vCPU in one phase, as they happen.

    It holds the stalls of the last 100 ms. Of older stalls it keeps the histogram and the worst
    windows.
    """

    __slots__ = ("_before", "_begin", "_ends", "_seen", "_starts", "_waiting", "lengths", "worst")

    def __init__(self, begin_ns: int, lengths: Histogram, before: Histogram | None = None) -> None:
        """Begin at `begin_ns`. The length of each stall is added to `lengths`.

        To `before`, if it began before that: then what lies behind is looked at here.
        """
        self._begin = self._seen = begin_ns  # what ended up to _seen has been looked at
        self._before = before
        self._waiting: list[int] = []  # start, end, start, end ... not yet looked at
        self._starts: Ints = np.zeros(0, np.int64)
        self._ends: Ints = np.zeros(0, np.int64)
        self.lengths = lengths
        self.worst: dict[int, int] = {}

    def add(self, start_ns: int, end_ns: int) -> None:
        """Record a stall. It must not begin before the previous one ended."""
        if start_ns == end_ns:
            return
        if start_ns < self._begin and self._before is not None:
            self._before.add([end_ns - start_ns])
            self._part(self._begin, end_ns)
            return
        waiting = self._waiting
        waiting += (start_ns, end_ns)
        if len(waiting) >= _BLOCK:
            self._look(end_ns)

    def close(self, end_ns: int) -> Mapping[int, int]:
        """End the run of the vCPU. Return window -> most ns lost in any window of that length."""
        self._look(end_ns)
        for window in WINDOWS:
            if end_ns - window >= self._begin:
                self._try(window, np.array([end_ns - window], np.int64))
        return self.worst

    def cut(self, now: int, open_since: int | None) -> Mapping[int, int]:
        """Close as :meth:`close` does, where a stall may be open; its length is not added."""
        if open_since is not None and open_since < now:
            self._part(max(open_since, self._begin), now)
        return self.close(now)

    def _part(self, start_ns: int, end_ns: int) -> None:
        """Look at a part of a stall; its length is not added."""
        if start_ns < end_ns:
            self._look(start_ns)
            self._waiting += (start_ns, end_ns)
            self._look(end_ns, adds=False)

    def _look(self, now: int, adds: bool = True) -> None:
        """Look at every window that ends after those seen, up to `now`, and at an edge of a stall.

        No stall may be open, so that everything until `now` is known.
        """
        new = np.array(self._waiting, np.int64)
        self._waiting.clear()
        if adds:
            self.lengths.add(new[1::2] - new[::2])
        self._starts = np.concatenate([self._starts, new[::2]])
        self._ends = np.concatenate([self._ends, new[1::2]])
        for window in WINDOWS:
            at_end = new[1::2] - window
            known, seen = np.searchsorted(
                self._starts, [now - window, self._seen - window], "right"
            )
            self._try(window, at_end[at_end >= self._begin])
            self._try(window, self._starts[seen:known])
        self._seen = now
        old = int(np.searchsorted(self._ends, now - WINDOWS[-1], "right"))
        self._starts, self._ends = self._starts[old:], self._ends[old:]

    def _try(self, window: int, begins: Ints) -> None:
        """Look at the windows that begin there."""
        if len(begins):
            lost = self._lost_before(begins + window) - self._lost_before(begins)
            self.worst[window] = max(self.worst.get(window, 0), int(lost.max()))

    def _lost_before(self, times: Ints) -> Ints:
        """Return the time of the held stalls before each of `times`."""
        if not len(self._starts):
            return np.zeros(len(times), np.int64)
        spent = self._ends - self._starts
        before = np.cumsum(spent) - spent
        last = np.searchsorted(self._starts, times, "right") - 1
        within = np.minimum(times - self._starts[last], spent[last])
        return np.where(last < 0, 0, before[last] + within)


def worst_of(parts: Iterable[Mapping[int, int]]) -> dict[int, int]:
    """Return the worst of several vCPUs, window by window."""
    worst: dict[int, int] = {}
    for part in parts:
        for window, lost in part.items():
            worst[window] = max(worst.get(window, 0), lost)
    return worst
