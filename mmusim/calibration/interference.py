"""What the host does to a vCPU besides KVM's own work, seen from a guest that never faults."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from mmusim.calibration.samples import Samples
from mmusim.calibration.tables import Floats, table
from mmusim.latency import Empirical, Gamma

LEAST_NS: Final = 5_000.0
"""Shorter ones (misses of every cache, system management) are part of what operations take."""


LONG_NS: Final = 1_280_000.0
"""Longer ones are another task's turn on the processor."""


class Interruptions(NamedTuple):
    """A renewal process of interruptions."""

    per_second: float
    lasts: Floats  # each, as the guest sees it: exit and entry included
    share: float  # of all time

    @property
    def mean_gap(self) -> float:
        """Nanoseconds from one to the next, on average."""
        return 1e9 / self.per_second


def interruptions(samples: Samples) -> Interruptions | None:
    """Find the interruptions in the long runs of hits; None if there were (almost) none.

    Long ones (another task had the processor) are rare, so the passes of faults are asked too: what
    lasts longer than a fault by LONG_NS was one, and their time is exposure as well.
    """
    lasts = samples.of("interruption/lasts")
    exposure = float(samples.of("interruption/exposure").sum())
    if exposure <= 0:
        return None
    short = lasts[(lasts >= LEAST_NS) & (lasts < LONG_NS)]
    faults = [samples.of(name) for name in samples.names("fault/slow/")]
    more = [ns[ns > LONG_NS + np.median(ns)] - np.median(ns) for ns in faults]
    long = np.concatenate([lasts[lasts >= LONG_NS], *more])
    everywhere = exposure + float(sum(ns.sum() for ns in faults))
    if len(short) + len(long) < 10:
        return None
    as_many = round(len(short) / exposure * everywhere)  # had there been hits all the time
    both = np.concatenate([np.resize(np.sort(short), as_many), long])
    return Interruptions(
        per_second=len(both) / everywhere * 1e9, lasts=both, share=float(both.sum() / everywhere)
    )


def as_renewal(found: Interruptions, round_trip_ns: float) -> tuple[Gamma, Empirical]:
    """Return the gaps and the durations as a profile has them.

    Gaps are exponential with the measured rate: many sources, each rare. The model charges exit and
    entry of its own, so they are taken off the durations.
    """
    gaps = Gamma(round(found.mean_gap, 1), 1.0)
    return gaps, table(np.maximum(found.lasts - round_trip_ns, 0.0))


def without(ns: Floats, found: Interruptions | None, round_trip_ns: float) -> Floats:
    """Return samples of an operation with the expected interruptions taken out of them.

    The operation was exposed for the sum of its times, so the number of interruptions of each
    length that hit it is known but for chance. They lengthen it by that length, less exit and
    entry, which code of the host does not pay. Of the samples whose excess over the median lies in
    an octave, as many are taken out as are expected there and two standard deviations, spread
    evenly; the octaves from 1.28 ms on are one, and of it all are taken out if that is twenty times
    the median: such an operation was interrupted, whatever the rate was in the long runs. What is
    left is the operation's own.
    """
    if found is None or len(ns) == 0:
        return ns
    body = float(np.median(ns))
    extra = np.maximum(found.lasts - round_trip_ns, LEAST_NS)
    exposed = body * len(ns) / 1e9 * found.per_second / len(extra)  # samples an interruption
    edges = LEAST_NS * 2.0 ** np.arange(9)
    order = np.sort(ns)
    keep = np.ones(len(order), np.bool_)
    for low, high in zip(edges, [*edges[1:], np.inf], strict=True):
        expected = exposed * np.count_nonzero((extra >= low) & (extra < high))
        there = np.flatnonzero((order - body >= low) & (order - body < high))
        out = min(len(there), round(expected + 2 * np.sqrt(expected)))
        if high == np.inf and low > 20 * body:
            out = len(there)
        if out:
            keep[there[np.linspace(0, len(there) - 1, out).round().astype(int)]] = False
    return order[keep]
