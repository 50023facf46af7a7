"""The mappings that a vCPU must walk again after a TLB flush.

They are found twice: by :class:`WorkingSet` and :func:`refill`, many pages at once with numpy, and
one page at a time by the functions behind them, which compiled code runs as they are (`s` is the
memory of a run, `mmusim.engine.compiled.working_set`). A test gives both the same programs.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from mmusim.costs.random_streams import Ints
from mmusim.mmu.page_table import PageTable
from mmusim.mmu.spte import PRESENT

REACH: Final = 1536
"""Entries of a second-level TLB (Skylake): the number of accesses that it remembers."""
GRAIN: Final = 256
"""Number of accesses between two computations of the working set."""
SLOTS: Final = 4096
"""Of the hash table in which pages are looked up one at a time; a power of two above REACH."""
NO_PAGE: Final = (1 << 31) - 1
"""In the place of a page that has been counted."""


class WorkingSet:
    """The pages that a program uses again, from any access on."""

    def __init__(self, gfn: Ints) -> None:
        """Analyse a program of accesses; `gfn` has shape (accesses,)."""
        self._gfn = gfn
        self.end = len(gfn)  # of what is accessed: a program may be stopped
        self._at = -1
        self._pages: Ints = gfn[:0]

    def at(self, k: int) -> Ints:
        """Return the pages used both in the `REACH` accesses before access `k` and in those after.

        It is found anew every `GRAIN` accesses. The gfns ascend, without repeats.
        """
        at = k // GRAIN * GRAIN
        if at != self._at:
            gfn = self._gfn[: self.end]
            before, after = gfn[max(0, at - REACH) : at], gfn[at : at + REACH]
            self._at, self._pages = at, np.intersect1d(before, after)
        return self._pages


class Refill(NamedTuple):
    """The numbers of mappings that must be walked again."""

    small: int
    large: int


def refill(t: PageTable, pages: Ints) -> Refill:
    """Count the present mappings of `pages`, shape (pages,).

    A large mapping counts once, however many of the pages use it.
    """
    giant = (t.giant[pages >> 18] & PRESENT) != 0
    large = (t.region[pages >> 9] & PRESENT) != 0
    small = np.count_nonzero(((t.page[pages] & PRESENT) != 0) & ~large & ~giant)
    regions = np.unique(pages[large & ~giant] >> 9).size
    return Refill(int(small), regions + np.unique(pages[giant] >> 18).size)


def page_at(s: Any, v: int, k: int) -> int:
    """Return the gfn of access k of a vCPU's program; compiled code has a function of its own."""
    page: int = s.pages_of[v][k]
    return page


def place_of(table: Any, page: int) -> int:
    """Return the place of `page` in a hash table of `SLOTS` entries, or the free place for it."""
    i = ((page * 0x9E3779B1) & 0xFFFFFFFF) >> (32 - 12)
    while table[i] >= 0 and table[i] != page:
        i = (i + 1) & (SLOTS - 1)
    return i


def find_again(s: Any, v: int, at: int) -> None:
    """Find the pages used both in the `REACH` accesses before access `at` and in those after.

    They stand in ``s.working[v]``, ``s.set_n[v]`` of them, each once.
    """
    table = s.last_seen
    for i in range(SLOTS):
        table[i] = -1
    for k in range(max(0, at - REACH), min(at, s.length[v])):
        page = page_at(s, v, k)
        table[place_of(table, page)] = page
    n, found = 0, s.working[v]
    for k in range(at, min(at + REACH, s.length[v])):
        page = page_at(s, v, k)
        i = place_of(table, page)
        if table[i] == page:
            found[n] = page
            n += 1
            table[i] = NO_PAGE
    s.set_at[v], s.set_n[v] = at, n


def count_first(table: Any, entry: int) -> int:
    """Add an entry to a hash table; return 1 if it was not there, else 0."""
    i = place_of(table, entry)
    if table[i] == entry:
        return 0
    table[i] = entry
    return 1


def refill_of(s: Any, v: int, k: int) -> tuple[int, int]:
    """Count the small and the large present mappings that are in use around access k."""
    at = k // GRAIN * GRAIN
    if at != s.set_at[v]:
        find_again(s, v, at)
    small = large = 0
    if s.set_n[v] == 0:
        return small, large
    table, found = s.last_seen, s.working[v]  # large ones that were counted
    for i in range(SLOTS):
        table[i] = -1
    for i in range(s.set_n[v]):
        page = found[i]
        if s.giant[page >> 18] & PRESENT:
            large += count_first(table, page >> 18 | 1 << 29)
        elif s.region[page >> 9] & PRESENT:
            large += count_first(table, page >> 9)
        else:
            small += (s.page[page] & PRESENT) != 0
    return small, large
