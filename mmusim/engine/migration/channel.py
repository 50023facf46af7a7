"""The channel to the destination: a network with a changing rate, the sending threads, a limit.

Sources: QEMU ``migration_rate_exceeded``, ``migration_update_counters``; ``domain`` F.1 and H.5.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mmusim.base.units import NS, PAGE
from mmusim.config.migrate import Migration
from mmusim.costs.random_streams import uniforms
from mmusim.engine.state.vm import Vm
from mmusim.trace.records import HOST

HEADER: Final = 8
"""Bytes of a page's header: offset and flags."""
ZERO_PAGE_BYTES: Final = HEADER + 1
"""Bytes of a page that is all zeros."""
WINDOW_NS: Final = 100 * NS["ms"]
"""BUFFER_DELAY: the length of the windows in which QEMU limits and measures bandwidth. Here the
rate of the network changes by these windows too.
"""
RATE_AUTOCORRELATION: Final = 0.8
"""Autocorrelation of the network's rate between consecutive windows."""
MIN_RATE_SHARE: Final = 0.1
"""Lower bound of the rate in a window, as a share of the mean rate."""


class Noise:
    """The rate of the network in each window, relative to its mean: AR(1), a function of indices.

    x(0) = e(0), x(n) = a x(n-1) + sqrt(1 - a^2) e(n) with independent standard normal e and
    a = `RATE_AUTOCORRELATION`; the factor is 1 + cv x(n), at least `MIN_RATE_SHARE`. Its mean is 1
    and its standard deviation cv.
    """

    def __init__(self, key: int, cv: float) -> None:
        """Name the stream of random words."""
        self._key = key
        self._cv = cv
        self._x: list[float] = []

    def at(self, window: int) -> float:
        """Return the factor of the rate in a window, by its number from 0; mean 1, without unit."""
        if not self._cv:
            return 1.0
        from scipy.special import ndtri

        while len(self._x) <= window:
            n = len(self._x)
            e = float(ndtri(uniforms(self._key, n, 1)[0]))
            before = self._x[-1] if n else e
            self._x.append(
                RATE_AUTOCORRELATION * before + math.sqrt(1 - RATE_AUTOCORRELATION**2) * e
                if n
                else e
            )
        return max(MIN_RATE_SHARE, 1 + self._cv * self._x[window])


def processor_ns(vm: Vm, spec: Migration) -> tuple[float, float]:
    """Return the processor time of a page and of a zero page, in ns, without the network.

    Without multifd the migration thread does everything. With it that thread finds the pages and
    `channels` senders copy them. The release of QEMU decides which thread looks for zero pages.
    Threads work side by side, so the slower of the two counts.
    """
    names = ("c_zero_check", "c_send_page", "c_zero_page", "c_zero_fault", "c_find_page")
    check, copy, zero, fault, find = (vm.plan.costs[name].mean() for name in names)
    zero += fault * (1 - spec.zero_pages_touched)
    senders = spec.multifd_channels
    if senders == 1:
        return check + copy, find + zero
    if vm.plan.qemu.senders_check_zero():
        return max(find, (check + copy) / spec.multifd_channels), max(
            find, zero / spec.multifd_channels
        )
    return max(find + check, copy / spec.multifd_channels), find + zero


class Channel:
    """Converts pages to time. A page is sent at the rate at which it began."""

    def __init__(self, vm: Vm, spec: Migration, number: int, more_ns: float = 0.0) -> None:
        """Open the channel now, for phase `number`.

        The sending thread needs `more_ns` for each page beyond finding and copying it.
        """
        self._vm = vm
        self._opened_ns = vm.now
        self._bandwidth = spec.bandwidth
        self._noise = Noise(vm.plan.draws.key(f"bandwidth{number}", HOST), spec.bandwidth_cv)
        self._cpu = np.array(processor_ns(vm, spec)) + more_ns  # of a page, of a zero page
        self._rest = 0.0  # of a nanosecond: time of pages beyond the waited time
        self._limit = spec.max_bandwidth * WINDOW_NS // NS["s"]  # bytes in a window; 0: none
        self._window_from = vm.now, 0  # when this window began, and bytes sent before it
        self.sent_bytes = self.sent_pages = self.zero_pages = 0
        self.measured = 0.0  # bytes per second in the last window

    def room(self) -> float:
        """Return the number of bytes that may still be sent in this window; infinite without a
        limit.
        """
        if not self._limit:
            return math.inf
        return self._window_from[1] + self._limit - self.sent_bytes

    def window_end(self) -> int:
        """Return the end of the window of the limit, in ns."""
        return self._window_from[0] + WINDOW_NS

    def update_counters(self) -> bool:
        """Measure the bandwidth and begin a new window if this one is over; return whether it was.

        migration_update_counters.
        """
        began, before = self._window_from
        elapsed = self._vm.now - began
        if elapsed < WINDOW_NS:
            return False
        self.measured = (self.sent_bytes - before) * NS["s"] / elapsed
        self._window_from = self._vm.now, self.sent_bytes
        return True

    def rate_changes(self) -> int:
        """Return when the rate of the network changes next, in ns."""
        return self._vm.now - (self._vm.now - self._opened_ns) % WINDOW_NS + WINDOW_NS

    def page_ns(self) -> NDArray[np.float64]:
        """Return the time in ns of a page and of a zero page now, shape (2,): network or
        processor.
        """
        window = (self._vm.now - self._opened_ns) // WINDOW_NS
        rate = self._bandwidth * self._noise.at(window) / NS["s"]
        network = np.array([HEADER + PAGE, ZERO_PAGE_BYTES], np.float64) / rate
        return np.asarray(np.maximum(network, self._cpu), np.float64)

    def bytes_ns(self, count: int) -> int:
        """Return the time of `count` bytes on the network now, in ns."""
        window = (self._vm.now - self._opened_ns) // WINDOW_NS
        return round(count * NS["s"] / (self._bandwidth * self._noise.at(window)))

    def most(self, until_ns: int) -> int:
        """Return an upper bound of the pages, zero pages apart, that can begin before
        `until_ns`.
        """
        horizon = min(until_ns, self.rate_changes()) - self._vm.now
        return int(max(0, horizon) / self.page_ns()[0]) + 2

    def ends(
        self, zero: NDArray[np.bool_], until_ns: int, room: float = math.inf
    ) -> NDArray[np.float64]:
        """Return when each of the next pages has arrived, in ns from now, shape (pages that
        begin,).

        Parameters
        ----------
        zero : ndarray, shape (pages,), bool
            Whether each page is all zeros, in the order of sending; at least one page.
        until_ns : int
            No page begins at or after this time, nor after the rate changes.
        room : float
            Bytes that may be sent; no page begins when they are used up. The first page always
            begins.
        """
        ends = self._rest + np.cumsum(self.page_ns()[zero.astype(np.int64)])
        horizon = min(until_ns, self.rate_changes()) - self._vm.now
        count = 1 + int(np.searchsorted(ends[:-1], horizon))
        if room < math.inf:
            used = np.cumsum(np.where(zero, ZERO_PAGE_BYTES, HEADER + PAGE))
            count = min(count, 1 + int(np.searchsorted(used[:-1], room)))
        return ends[:count]

    def count_sent(self, zero: NDArray[np.bool_], ends: NDArray[np.float64]) -> None:
        """Add pages that were sent to the counts, and keep the fraction of a nanosecond for the
        next.

        `zero` and `ends` are those of the pages, as in :meth:`ends`, shape (pages,).
        """
        zeros = int(np.count_nonzero(zero))
        self.sent_pages += len(zero)
        self.zero_pages += zeros
        self.sent_bytes += zeros * ZERO_PAGE_BYTES + (len(zero) - zeros) * (HEADER + PAGE)
        self._rest = float(ends[-1]) % 1
