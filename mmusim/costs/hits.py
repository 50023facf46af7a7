"""What an access without a fault takes: by the pages that are in use, and by recent exits.

Caches and TLBs hold what was touched last. So the number of pages decides what a hit takes. An exit
lets KVM run, whose own lines displace some of the guest. How near the last exit is makes no
difference; the share phi of accesses that exit does. Two laws say how:

* **Measured with exits.** If the host was measured with several shares of exits, those tables
  count: each quantile is linear in the logarithm of phi between them, and constant beyond. Without
  exits counts as a share of :data:`NO_EXITS`.
* **Displacement**, where it was measured without exits only: an exit displaces as many lines as
  ``displaces`` touches of pages. So a hit over n pages takes what it takes without exits over
  ``n (1 + displaces x phi)`` pages.

What a program has not touched yet was displaced before: by what the vCPU went through before it,
by exits, and while it did not run. If the host was measured so, such first touches have tables of
their own, by the memory of the vCPU and by the exits of the program; where a program goes once
through its pages, exits before it do not count. Else, and in later laps, the first access to each
page takes what it takes with the most exits that were measured; of random orders, because in
sequence the hardware fetches ahead.

A walk reads entries, of which a cache line has eight. So what it takes goes by the *spread*: eight
for each line whose entries are used. Of a dense set the spread is the number of pages.

phi is that of the last 4,096 accesses of the vCPU, counted in blocks of 256: the table of a block
is known when it begins. So a run of hits, in which there are no exits, knows its tables ahead.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmusim.costs.distributions import Constant, Distribution, Empirical

BLOCK_BITS: Final = 8
"""Accesses of a block: 2 to this."""
BLOCKS: Final = 16
"""Blocks before an access whose exits count."""
KEPT: Final = 32
"""Blocks whose exits a vCPU remembers: those that count, and its own."""
NO_BLOCK: Final = -1
"""The block of a table that must be looked up again."""
MOST_TABLES: Final = 16
"""Tables that one program can meet, each for half an octave of pages."""
NEVER: Final = 1 << 62
"""Exits that no vCPU has: a program with fewer tables."""


NO_EXITS: Final = 2.0**-13
"""The share of exits for which tables count that were measured without."""
FRESH_STEPS: Final = 8
"""Steps of the share of accesses that are the first to their page."""
LINE: Final = 8
"""Entries of a page table in a cache line."""


class Measured(NamedTuple):
    """What hits take over some numbers of pages with about the same share of exits."""

    pages: tuple[int, ...]  # ascending
    shares: tuple[float, ...]  # of accesses that exited
    large: tuple[Distribution, ...]
    walk: tuple[Distribution, ...]


class Tables(NamedTuple):
    """What hits of one program take, by the exits in the blocks that count."""

    least: tuple[int, ...]  # (tables,) exits from which each applies; the first is 0
    large: tuple[Distribution, ...]  # through 2 MiB mappings
    walk: tuple[Distribution, ...]  # longer than that through 4 KiB mappings
    forgets: bool = False  # exits before the program do not count


@dataclass(frozen=True)
class HitCurve:
    """What hits of one order take on a host, without exits, over some numbers of pages."""

    pages: tuple[int, ...]  # ascending
    large: tuple[Distribution, ...]
    walk: tuple[Distribution, ...]
    displaces: float  # page touches that displace as much as one exit
    with_exits: tuple[Measured, ...] = ()  # empty: what exits do follows from `displaces`
    first: HitCurve | None = None  # of first touches, by the pages gone through before

    def tables(
        self, pages: int, spread: int | None = None, fresh: float = 0.0, before: int | None = None
    ) -> Tables:  # fmt: skip
        """Return what hits of a program take that touches so many pages, with such a spread.

        Of its accesses a share `fresh` is the first to its page in the program, and the vCPU went
        through `before` pages before; None: what is fresh was displaced by exits.
        """
        if self.with_exits:
            dense, wide = half_octave(pages), half_octave(spread or pages)
            known = None if before is None or self.first is None else half_octave(before)
            return _measured_tables(self, dense, wide, round(FRESH_STEPS * fresh), known)
        window = BLOCKS << BLOCK_BITS
        first, last = (half_octave(n) for n in (pages, pages * (1 + self.displaces)))
        steps = range(first, min(last, first + MOST_TABLES - 1) + 1)
        least = [0]
        for step in steps[1:]:  # from half a step below it
            share = (2 ** ((step - 0.5) / 2) / pages - 1) / self.displaces
            least.append(math.ceil(share * window))
        found = [_at(self, step) for step in steps]
        return Tables(tuple(least), tuple(f[0] for f in found), tuple(f[1] for f in found))

    def tables_of(self, gfns: NDArray[np.int64], before: int | None = None) -> Tables:
        """Return what hits of a program take that touches these pages in this order.

        The vCPU went through `before` pages before; None: that is not known.
        """
        pages, spread = pages_and_spread(gfns)
        fresh = pages / max(1, len(gfns))
        if self.first is None or before is None:
            in_sequence = np.count_nonzero(np.diff(gfns) == 1) > len(gfns) / 2
            fresh = 0.0 if in_sequence else fresh
        return self.tables(pages, spread, fresh, before)

    def each(self, change: Callable[[Distribution], Distribution], *, walks: bool) -> HitCurve:
        """Return the curve with `change` applied to each distribution; to those of walks only if
        `walks`.
        """

        def all_of(some: tuple[Distribution, ...]) -> tuple[Distribution, ...]:
            return tuple(map(change, some))

        def walk_of(some: tuple[Distribution, ...]) -> tuple[Distribution, ...]:
            return all_of(some) if walks else some

        return HitCurve(
            self.pages, all_of(self.large), walk_of(self.walk), self.displaces,
            tuple(m._replace(large=all_of(m.large), walk=walk_of(m.walk)) for m in self.with_exits),
            None if self.first is None else self.first.each(change, walks=walks),
        )  # fmt: skip

    def without_variance(self) -> HitCurve:
        """Return the curve with each distribution replaced by its mean."""
        return self.each(lambda d: Constant(d.mean()), walks=True)

    def facts(self) -> dict[str, Any]:
        """Return what decides a run's result, as plain data: equal facts are equal curves."""
        facts: dict[str, Any] = {
            "pages": list(self.pages), "large": repr(self.large), "walk": repr(self.walk),
            "displaces": self.displaces,
        }  # fmt: skip
        if self.with_exits:
            facts["with_exits"] = repr(self.with_exits)
        if self.first is not None:
            facts["first"] = self.first.facts()
        return facts


def pages_and_spread(gfns: NDArray[np.int64]) -> tuple[int, int]:
    """Return how many pages an array of gfns names, and 8 for each cache line of their entries.

    `gfns` has shape (accesses,). Of no access: one page in one line.
    """
    if not len(gfns):
        return 1, LINE
    first = int(gfns.min()) // LINE * LINE
    touched = np.zeros((int(gfns.max()) - first) // LINE * LINE + LINE, np.bool_)
    touched[gfns - first] = True
    lines = touched.reshape(-1, LINE).any(axis=1)
    return int(np.count_nonzero(touched)), LINE * int(np.count_nonzero(lines))


def half_octave(pages: float) -> int:
    """Return the step of a number of pages, at least 1, on a grid of half octaves: round(2 log2
    pages).
    """
    return round(2 * math.log2(pages))


Pair = tuple[Distribution, Distribution]
"""Of a hit through a 2 MiB mapping, and of the walk."""


@cache
def _at(curve: HitCurve | Measured, step: int) -> Pair:
    """Return the distributions of a step: each quantile linear in the logarithm of the pages."""
    above, part = _place(curve.pages, step)
    if part == 1:
        return curve.large[above], curve.walk[above]
    return (
        between(curve.large[above - 1], curve.large[above], part),
        between(curve.walk[above - 1], curve.walk[above], part),
    )


def _place(pages: tuple[int, ...], step: int) -> tuple[int, float]:
    """Return which number is the first that is not below a step, and how near it is; 1: there."""
    at = min(max(2 ** (step / 2), pages[0]), pages[-1])
    above = next(i for i, n in enumerate(pages) if n >= at)
    if pages[above] == at:
        return above, 1.0
    low, high = pages[above - 1], pages[above]
    return above, math.log(at / low) / math.log(high / low)


def _share_at(measured: Measured, step: int) -> float:
    """Return the share of exits with which hits over so many pages were measured."""
    above, part = _place(measured.pages, step)
    if part == 1:
        return measured.shares[above]
    return measured.shares[above - 1] + part * (measured.shares[above] - measured.shares[above - 1])


@cache
def _measured_tables(
    curve: HitCurve, pages: int, spread: int, fresh: int, before: int | None
) -> Tables:  # fmt: skip
    """Return tables for twice as many exits each, given half octaves of pages and steps of fresh
    accesses.
    """
    window = BLOCKS << BLOCK_BITS
    exits = [0, *(1 << n for n in range(window.bit_length()))]
    least = [math.ceil(n / math.sqrt(2)) for n in exits]
    cold = [(_with_exits(curve, pages, window)[0], _with_exits(curve, spread, window)[1])]
    if before is not None:
        assert curve.first is not None
        cold = [_with_exits(curve.first, before, n) for n in exits]
    pairs = [(_with_exits(curve, pages, n)[0], _with_exits(curve, spread, n)[1]) for n in exits]
    if fresh:
        part = fresh / FRESH_STEPS
        each = cold if before is not None else cold * len(exits)
        pairs = [
            (between(hit, first_hit, part), between(walk, first_walk, part))
            for (hit, walk), (first_hit, first_walk) in zip(pairs, each, strict=True)
        ]
    large, walk = zip(*pairs, strict=True)
    return Tables(tuple(least), large, walk, before is not None and fresh == FRESH_STEPS)


@cache
def _with_exits(curve: HitCurve, step: int, exits: int) -> Pair:
    """Return the distributions of a step with exits among the last accesses that count."""
    known: list[tuple[float, HitCurve | Measured]] = [(NO_EXITS, curve)]
    known += sorted(((_share_at(m, step), m) for m in curve.with_exits), key=lambda pair: pair[0])
    share = min(max(exits / (BLOCKS << BLOCK_BITS), NO_EXITS), known[-1][0])
    above = next(i for i, (at, _) in enumerate(known) if at >= share)
    high = _at(known[above][1], step)
    if known[above][0] == share or not above:
        return high
    low = _at(known[above - 1][1], step)
    part = math.log(share / known[above - 1][0]) / math.log(known[above][0] / known[above - 1][0])
    return between(low[0], high[0], part), between(low[1], high[1], part)


def between(low: Distribution, high: Distribution, part: float) -> Distribution:
    """Return the distribution whose quantiles lie `part`, 0 to 1, of the way from `low` to
    `high`.
    """
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
