"""The host's interference with a vCPU apart from KVM's own work, seen from a guest that never
faults.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from mmusim.calibration.samples import Samples
from mmusim.calibration.tables import Floats, table
from mmusim.costs.distributions import Empirical, Gamma

LEAST_NS: Final = 5_000.0
"""Shorter interruptions (misses of every cache, system management) are part of the operations."""


LONG_NS: Final = 1_280_000.0
"""Longer interruptions are another task's turn on the processor."""


JUDGED: Final = (0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
"""Quantiles of faults that judge the split of an interruption."""
MIN_FAULTS: Final = 10_000
DROPPED: Final = 0.2
PLAIN: Final = (
    "write-protected-4K", "read-after-drop", "write-after-drop", "write-after-recreate",
)  # fmt: skip
"""Kinds of fault that need no new table and drop nothing."""


class Interruptions(NamedTuple):
    """A renewal process of interruptions."""

    per_second: float
    lasts: Floats  # duration of each, as a guest sees it that was interrupted in guest mode
    overhead: float  # of that, the time of leaving and entering the guest
    in_host: float  # share of those that hit code of the host, without that overhead

    @property
    def mean_gap(self) -> float:
        """Nanoseconds from one to the next, on average."""
        return 1e9 / self.per_second

    @property
    def share(self) -> float:
        """Share of all time, seen from guest mode."""
        return float(self.lasts.mean()) * self.per_second / 1e9

    def host_lasts(self) -> Floats:
        """Return the duration of interruptions in code of the host."""
        tenths = round(10 * self.in_host)
        own = np.maximum(self.lasts - self.overhead, 0.0)
        return np.concatenate([np.tile(own, tenths), np.tile(self.lasts, 10 - tenths)])


def interruptions(samples: Samples) -> Interruptions | None:
    """Find the interruptions in the long runs of hits; None if there were (almost) none.

    Long ones (another task had the processor) are rare, so the passes of faults count too: what
    lasts longer than a fault by LONG_NS was one, and their time is exposure as well.

    An interruption in guest mode includes leaving and entering the guest; one of code of the host
    may not. That part is not directly visible. The function takes the part with which the samples
    of faults result again when the interruptions are removed and put back at random.
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
    plain = [samples.of(f"fault/slow/{kind}") for kind in PLAIN]
    return best_split(both, everywhere, np.concatenate([*plain, np.zeros(0)]))


def best_split(lasts: Floats, exposure: float, faults: Floats, seed: int = 1) -> Interruptions:
    """Choose overhead and share in the host so that removing and putting back changes least.

    An event shorter than the overhead is no interruption of the model's kind. Such events may be no
    more than DROPPED of the interrupted time, or there would be nothing left to split.
    """
    rng = np.random.default_rng(seed)
    if len(faults) < MIN_FAULTS:
        return Interruptions(len(lasts) / exposure * 1e9, lasts, 0.0, 1.0)
    faults = np.resize(rng.permutation(faults), 12 * MIN_FAULTS)
    wanted = np.quantile(faults, JUDGED)
    best: tuple[float, Interruptions] | None = None
    ordered = np.sort(lasts)
    dropped = np.searchsorted(np.cumsum(ordered), DROPPED * ordered.sum())
    for overhead in np.linspace(0.0, float(ordered[dropped]), 18):
        kept = lasts[lasts >= max(overhead, LEAST_NS)]
        for in_host in (1.0, 0.8, 0.6, 0.4):
            tried = Interruptions(len(kept) / exposure * 1e9, kept, float(overhead), in_host)
            own = np.resize(rng.permutation(without(faults, tried)), len(faults))
            hit = rng.random(len(own)) < own / 1e9 * tried.per_second
            again = own + hit * rng.choice(tried.host_lasts(), len(own))
            off = float(np.abs(np.log(np.quantile(again, JUDGED) / wanted)).sum())
            if best is None or off < best[0]:
                best = off, tried
    assert best is not None, "an overhead of zero keeps everything"
    return best[1]


def as_renewal(found: Interruptions) -> tuple[Gamma, Empirical]:
    """Return the gaps and the durations for a profile.

    Gaps are exponential with the measured rate: many sources, each rare. The model charges exit,
    acknowledgement and entry of its own to a guest. So the durations are those that code of the
    host sees.
    """
    return Gamma(round(found.mean_gap, 1), 1.0), table(found.host_lasts())


def without(ns: Floats, found: Interruptions | None) -> Floats:
    """Return samples of an operation with the expected interruptions taken out of them.

    The operation was exposed for the sum of its times, so the number of interruptions of each
    length that hit it is known but for chance. They lengthen it by what code of the host is
    interrupted for. Of the samples whose excess over the median lies in
    an octave, as many are taken out as are expected there and two standard deviations, spread
    evenly; the octaves from 1.28 ms on are one, and of it all are taken out if that is twenty times
    the median: such an operation was interrupted, whatever the rate was in the long runs. What is
    left is the operation's own.
    """
    if found is None or len(ns) == 0:
        return ns
    body = float(np.median(ns))
    extra = np.maximum(found.host_lasts(), LEAST_NS)
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
