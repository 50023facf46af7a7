"""The mappings that a vCPU must walk again after a TLB flush."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from mmusim.costs.random_streams import Ints
from mmusim.mmu.page_table import PageTable
from mmusim.mmu.spte import PRESENT

REACH: Final = 1536
"""Entries of a second-level TLB (Skylake): the number of accesses that it remembers."""
GRAIN: Final = 256
"""Number of accesses between two computations of the working set."""


class WorkingSet:
    """The pages that a program uses again, from any access on."""

    def __init__(self, gfn: Ints) -> None:
        """Analyse a program of accesses; `gfn` has shape (accesses,)."""
        self._gfn = gfn
        self.end = len(gfn)  # of what is accessed: a program may be stopped
        self._at = -1
        self._pages: Ints = gfn[:0]

    def at(self, k: int) -> Ints:
        """Return pages used both in the `REACH` accesses before access `k` and in those after."""
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
    """Count the present mappings of `pages`; a large one counts once, however many pages use it."""
    giant = (t.giant[pages >> 18] & PRESENT) != 0
    large = (t.region[pages >> 9] & PRESENT) != 0
    small = np.count_nonzero(((t.page[pages] & PRESENT) != 0) & ~large & ~giant)
    regions = np.unique(pages[large & ~giant] >> 9).size
    return Refill(int(small), regions + np.unique(pages[giant] >> 18).size)
