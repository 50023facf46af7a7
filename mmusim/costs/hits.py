"""What an access without a fault takes: by the pages that are in use, and by recent exits.

Caches and TLBs hold what was touched last. So the number of pages decides what a hit takes. An exit
lets KVM run, whose own lines displace as many of the guest as ``displaces`` touches of pages would.
With n pages and a share phi of accesses that exit, a hit takes what it takes without exits over
``n (1 + displaces x phi)`` pages. How near the last exit is makes no difference.

phi is that of the last 4,096 accesses of the vCPU, counted in blocks of 256: the table of a block
is known when it begins. So a run of hits, in which there are no exits, knows its tables ahead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np

from mmusim.costs.distributions import Constant, Distribution, Empirical

BLOCK_BITS: Final = 8
"""Accesses of a block: 2 to this."""
BLOCKS: Final = 16
"""Blocks before an access whose exits count."""
KEPT: Final = 32
"""Blocks whose exits a vCPU remembers: those that count, and its own."""
MOST_TABLES: Final = 16
"""Tables that one program can meet, each for half an octave of pages."""
NEVER: Final = 1 << 62
"""Exits that no vCPU has: a program with fewer tables."""


class Tables(NamedTuple):
    """What hits of one program take, by the exits in the blocks that count."""

    least: tuple[int, ...]  # (tables,) exits from which each applies; the first is 0
    large: tuple[Distribution, ...]  # through 2 MiB mappings
    walk: tuple[Distribution, ...]  # longer than that through 4 KiB mappings


@dataclass(frozen=True)
class HitCurve:
    """What hits of one order take on a host, without exits, over some numbers of pages."""

    pages: tuple[int, ...]  # ascending
    large: tuple[Distribution, ...]
    walk: tuple[Distribution, ...]
    displaces: float  # page touches that displace as much as one exit

    def tables(self, pages: int) -> Tables:
        """Return what hits of a program take that touches so many pages."""
        window = BLOCKS << BLOCK_BITS
        first, last = (half_octave(n) for n in (pages, pages * (1 + self.displaces)))
        steps = range(first, min(last, first + MOST_TABLES - 1) + 1)
        least = [0]
        for step in steps[1:]:  # from half a step below it
            share = (2 ** ((step - 0.5) / 2) / pages - 1) / self.displaces
            least.append(math.ceil(share * window))
        found = [_at(self, step) for step in steps]
        return Tables(tuple(least), tuple(f[0] for f in found), tuple(f[1] for f in found))

    def without_variance(self) -> HitCurve:
        """Return the curve with each distribution replaced by its mean."""
        large, walk = (tuple(Constant(d.mean()) for d in each) for each in (self.large, self.walk))
        return HitCurve(self.pages, large, walk, self.displaces)

    def facts(self) -> dict[str, Any]:
        """Return what decides a run's result."""
        return {
            "pages": list(self.pages), "large": repr(self.large), "walk": repr(self.walk),
            "displaces": self.displaces,
        }  # fmt: skip


def half_octave(pages: float) -> int:
    """Return the step of a number of pages on a grid of half octaves."""
    return round(2 * math.log2(pages))


@cache
def _at(curve: HitCurve, step: int) -> tuple[Distribution, Distribution]:
    """Return the distributions of a step: each quantile linear in the logarithm of the pages."""
    at = min(max(2 ** (step / 2), curve.pages[0]), curve.pages[-1])
    above = next(i for i, pages in enumerate(curve.pages) if pages >= at)
    if curve.pages[above] == at:
        return curve.large[above], curve.walk[above]
    low, high = curve.pages[above - 1], curve.pages[above]
    part = math.log(at / low) / math.log(high / low)
    return (
        between(curve.large[above - 1], curve.large[above], part),
        between(curve.walk[above - 1], curve.walk[above], part),
    )


def between(low: Distribution, high: Distribution, part: float) -> Distribution:
    """Return the distribution whose quantiles lie a part of the way from one to the other."""
    if isinstance(low, Constant) and isinstance(high, Constant):
        return Constant(low.ns + part * (high.ns - low.ns))
    nodes = {0.0, 1.0}
    for one in (low, high):
        nodes |= set(one.p) if isinstance(one, Empirical) else set(np.linspace(0.001, 0.999, 65))
    p = np.array(sorted(nodes))
    inner = p.clip(1e-9, 1 - 1e-9)
    ends = [one.quantile(p if isinstance(one, Empirical) else inner) for one in (low, high)]
    ns = np.maximum.accumulate(ends[0] + part * (ends[1] - ends[0]))
    return Empirical(tuple(p.tolist()), tuple(ns.tolist()))
