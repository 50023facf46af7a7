"""The largest share of a short window that a vCPU loses: exact, in bounded memory.

A vCPU runs from `begin` to `end` and has stalls (times outside the guest) in between. Let lost(t,
w) be the time of stalls within [t, t + w]. The result is the largest lost(t, w) over all t with
begin <= t <= end - w, for windows w of 0.1 to 100 ms (domain, G.5). As a function of t it is
piecewise linear with slope 1, 0 or -1. It can turn down only where a stall ends at the end of the
window or begins at its beginning. So it suffices to look at these windows and at the last one.

It stands here twice. :class:`Stalls` looks at many stalls at once with numpy. The functions behind
it look at one number at a time, in rows of a compiled run (`mmusim.engine.compiled.recording`),
which compiles them as they are. A test gives both the same stalls.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mmusim.base.histogram import Histogram
from mmusim.vocabulary import metrics

Ints = NDArray[np.int64]

WINDOWS: Final = tuple(metrics.WINDOWS.values())
"""Lengths of windows in ns."""
LONGEST: Final = max(WINDOWS)
TOGETHER: Final = 16
"""Stalls whose windows are looked at together."""
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


def begun_by(starts: Any, n: int, time: int) -> int:
    """Return how many of `n` stalls begin at `time` or before it."""
    low, high = 0, n
    while low < high:
        middle = (low + high) >> 1
        if starts[middle] <= time:
            low = middle + 1
        else:
            high = middle
    return low


def look_at_windows(
    starts: Any, ends: Any, before: Any, worst: Any, n: int, kept: int, begin: int, seen: int,
    now: int,
) -> int:  # fmt: skip
    """Look at every window that ends behind `seen` and up to `now`, and at an edge of a stall.

    Of `n` stalls, `starts`, `ends` and the time of all stalls `before` each are in ns, shape
    (room,). Those from `kept` on are new. `worst`, (windows,), has the most that was lost, or -1.
    What no later window can reach is forgotten. Returns how many stalls are left, at the beginning.

    Windows that end within the time of a few stalls lose at most what is lost from the beginning of
    the first to the end of the last. Where that is no more than the worst, none is looked at.
    """
    first = kept
    while first < n or seen < now:
        last = min(n, first + TOGETHER)
        until = now if last == n else ends[last - 1]
        for w in range(len(WINDOWS)):
            window = WINDOWS[w]
            if until - window < begin:
                continue
            back = max(0, begun_by(starts, last, seen - window) - 1)
            lost = 0
            if last:
                lost = before[last - 1] + ends[last - 1] - starts[last - 1] - before[back]
                lost -= max(0, min(seen - window, ends[back]) - starts[back])
            if lost > worst[w]:
                look_at_few(starts, ends, before, worst, w, last, first, begin, seen, until)
        first, seen = last, until
    old = 0
    while old < n and ends[old] <= now - LONGEST:
        old += 1
    for i in range(old, n):
        starts[i - old], ends[i - old], before[i - old] = starts[i], ends[i], before[i]
    return n - old


def look_at_few(
    starts: Any, ends: Any, before: Any, worst: Any, w: int, n: int, kept: int, begin: int,
    seen: int, now: int,
) -> None:  # fmt: skip
    """Look at every window number `w` that ends behind `seen` and up to `now`, at an edge."""
    window, most = WINDOWS[w], worst[w]
    back = 0  # the last stall that begins before the window does
    if kept < n:
        back = max(0, begun_by(starts, n, ends[kept] - window) - 1)
    for i in range(kept, n):
        at = ends[i] - window
        if at < begin:
            continue
        while back + 1 < n and starts[back + 1] <= at:
            back += 1
        lost = before[i] + ends[i] - starts[i] - before[back]
        if starts[back] <= at:
            lost -= min(at - starts[back], ends[back] - starts[back])
        most = max(most, lost)
    first, ahead = begun_by(starts, n, seen - window), 0
    if first < n:  # the last stall that begins before the window ends
        ahead = begun_by(starts, n, starts[first] + window) - 1
    for i in range(first, n):
        until = starts[i] + window
        if until > now:
            break
        while ahead + 1 < n and starts[ahead + 1] <= until:
            ahead += 1
        within = min(until - starts[ahead], ends[ahead] - starts[ahead])
        most = max(most, before[ahead] + within - before[i])
    worst[w] = most


def look_at_last_windows(starts: Any, ends: Any, worst: Any, n: int, begin: int, now: int) -> None:
    """Look at the windows that end `now`, with what :func:`look_at_windows` has left."""
    for w in range(len(WINDOWS)):
        at = now - WINDOWS[w]
        if at < begin:
            continue
        lost = 0
        for i in range(n):
            if ends[i] > at:
                lost += ends[i] - max(starts[i], at)
        worst[w] = max(worst[w], lost)


def keep_stall(starts: Any, ends: Any, before: Any, n: int, from_ns: int, to_ns: int) -> None:
    """Keep a stall behind `n` others, for the windows that end behind it."""
    total = 0
    if n:
        total = before[n - 1] + ends[n - 1] - starts[n - 1]
    starts[n], ends[n], before[n] = from_ns, to_ns, total


def worst_of(parts: Iterable[Mapping[int, int]]) -> dict[int, int]:
    """Return the worst of several vCPUs, window by window."""
    worst: dict[int, int] = {}
    for part in parts:
        for window, lost in part.items():
            worst[window] = max(worst.get(window, 0), lost)
    return worst
