"""The accesses of a guest that is given by rates, found where they are looked for.

A *leaf* is a kind of access and a block of 64 neighbouring pages. Its law says when the pages are
accessed, in guest time of the vCPU:

* ``Poisson``: independent Poisson processes, one a page. Guest time is cut into cells of 2^m ns
  with 1 to 2 accesses of the block in the mean. The accesses of cell i are a function of (key,
  leaf, i): a Poisson number of them, each at a uniform instant to a uniform page.
* ``Sweep``: the pages of the vCPU one after the other, over and over.

Only whole numbers are computed, but for one comparison of a double with a table. So two engines
find the same accesses: :mod:`mmusim.engine.compiled.points` has the same functions as compiled
code. A point is the number ``ns << 6 | page of the block``, so no two of a leaf are equal.

Why it is enough to look for accesses that change something: docs/explanation/rates.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

BLOCK: Final = 64
"""Pages of a leaf."""
NEVER: Final = 1 << 62
MOST_CELL: Final = 55
"""log2 of the longest cell, in ns."""
COUNTS: Final = 64
"""Length of a table of the distribution of how many points a cell has."""
FRACTION: Final = 12
"""Bits of a fraction of a nanosecond in the gap of a sweep."""
GOLDEN: Final = 0x9E3779B97F4A7C15
A: Final = 0xBF58476D1CE4E5B9
B: Final = 0x94D049BB133111EB
END_OF_SWEEPS: Final = 1 << 50
"""Guest time, in ns, after which a sweep ends: 13 days."""
INDEX_BITS: Final = 38
"""Costs of an access are drawn by a number of so many bits, made of its leaf and point."""
_WORD: Final = (1 << 64) - 1


@dataclass(frozen=True)
class Poisson:
    """Accesses of each page of a block at `rate` per ns of guest time."""

    rate: float

    @cached_property
    def cell_bits(self) -> int:
        """Return m: a cell is 2^m ns long."""
        return min(max(math.ceil(math.log2(1 / (BLOCK * self.rate))), 0), MOST_CELL)

    @cached_property
    def counts(self) -> tuple[float, ...]:
        """Return the probability of at most n points in a cell, for n from 0; the last is 2."""
        mean = BLOCK * self.rate * 2.0**self.cell_bits
        chance = total = math.exp(-mean)
        table = [total]
        for n in range(1, COUNTS - 1):
            chance *= mean / n
            total += chance
            table.append(total)
        return (*table, 2.0)


@dataclass(frozen=True)
class Sweep:
    """The first `pages` pages of a vCPU, one after the other, one every `gap` ns."""

    gap: float
    pages: int

    @cached_property
    def step(self) -> int:
        """Return the gap in units of 2^-12 ns."""
        return max(1, round(self.gap * 2**FRACTION))


Law = Poisson | Sweep


def mix(z: int) -> int:
    """Scramble a word (the finaliser of SplitMix64, Steele 2014)."""
    z = (z ^ z >> 30) * A & _WORD
    z = (z ^ z >> 27) * B & _WORD
    return z ^ z >> 31


def next_point(
    key: int, leaf: int, block: int, law: Law, armed: Callable[[int], bool], after: int
) -> int:
    """Return the first point later than `after` of a page for which `armed` holds, or NEVER.

    Parameters
    ----------
    key : int
        Of the vCPU in this phase or lap.
    leaf : int
        Number of the leaf among those of the vCPU, which makes its points its own.
    block : int
        Number of its block.
    law : Law
        Of its accesses.
    armed : function of a page of the block, 0 to 63
        Whether an access would change something.
    after : int
        A point; -1 for none.
    """
    if not any(map(armed, range(BLOCK))):
        return NEVER
    if isinstance(law, Sweep):
        return _next_of_sweep(block, law, armed, after)
    m, table, mine = law.cell_bits, law.counts, mix(key + (leaf + 1) * GOLDEN & _WORD)
    cell, within = (after + 1) >> (m + 6), (1 << (m + 6)) - 1
    while cell < NEVER >> (m + 6):
        h = mix(mine + (cell + 1) * GOLDEN & _WORD)
        u, n, best = ((h >> 11) + 0.5) * 2.0**-53, 0, NEVER
        while u >= table[n]:
            n += 1
        for i in range(n):
            w = mix(h + (i + 1) * GOLDEN & _WORD)
            at = cell << (m + 6) | w & within
            if after < at < best and armed(w & (BLOCK - 1)):
                best = at
        if best != NEVER:
            return best
        cell += 1
    return NEVER


def _next_of_sweep(block: int, law: Sweep, armed: Callable[[int], bool], after: int) -> int:
    """Return the next point of a block of a sweep; visit j is of page j modulo `pages`."""
    first = block * BLOCK
    here = min(BLOCK, law.pages - first)
    if after >> 6 > END_OF_SWEEPS or not any(map(armed, range(here))):
        return NEVER
    visit = (max(after >> 6, 0) << FRACTION) // law.step - first
    lap = max(0, visit // law.pages - 1)
    while True:
        for page in range(here):
            at = ((lap * law.pages + first + page) * law.step >> FRACTION) << 6 | page
            if at > after and armed(page):
                return at
        lap += 1


def index_of(leaf: int, at: int) -> int:
    """Return the number by which the costs of an access are drawn: who it is, not when it is met.

    So an access costs the same under every policy that makes it pay.
    """
    return mix(at + (leaf + 1) * GOLDEN & _WORD) >> (64 - INDEX_BITS)
