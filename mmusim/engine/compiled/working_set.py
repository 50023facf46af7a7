"""The mappings that a vCPU must walk again after a flush, as in :mod:`mmusim.engine.state.tlb`."""

from __future__ import annotations

from typing import Any, Final

from mmusim.engine.compiled.jit import jit
from mmusim.engine.compiled.runs import GFN, code_of
from mmusim.engine.state.tlb import GRAIN, REACH
from mmusim.mmu.spte import PRESENT

SLOTS: Final = 4096
"""Of the hash table in which pages are looked up; a power of two above REACH."""


@jit
def _place(table: Any, page: int) -> int:
    """Return the place of a page in the table, or the place for it."""
    i = ((page * 0x9E3779B1) & 0xFFFFFFFF) >> (32 - 12)
    while table[i] >= 0 and table[i] != page:
        i = (i + 1) & (SLOTS - 1)
    return i


@jit
def find(s: Any, v: int, at: int) -> None:
    """Find the pages used both in the `REACH` accesses before access `at` and in those after."""
    table = s.last_seen
    for i in range(SLOTS):
        table[i] = -1
    for k in range(max(0, at - REACH), min(at, s.length[v])):
        page = code_of(s, v, k) & GFN
        table[_place(table, page)] = page
    n = 0
    for k in range(at, min(at + REACH, s.length[v])):
        page = code_of(s, v, k) & GFN
        i = _place(table, page)
        if table[i] == page:
            s.working[v, n] = page
            n += 1
            table[i] = GFN  # no page: it is counted once
    s.set_at[v], s.set_n[v] = at, n


@jit
def refill(s: Any, v: int, k: int) -> tuple[int, int]:
    """Count the small and the large mappings in use around access k that are there."""
    at = k // GRAIN * GRAIN
    if at != s.set_at[v]:
        find(s, v, at)
    small = large = 0
    if s.set_n[v] == 0:
        return small, large
    table = s.last_seen  # large ones that were counted
    for i in range(SLOTS):
        table[i] = -1
    for i in range(s.set_n[v]):
        page = s.working[v, i]
        if s.giant[page >> 18] & PRESENT:
            large += _first(table, page >> 18 | 1 << 29)
        elif s.region[page >> 9] & PRESENT:
            large += _first(table, page >> 9)
        else:
            small += (s.page[page] & PRESENT) != 0
    return small, large


@jit
def _first(table: Any, entry: int) -> int:
    """Note an entry; 1 if it was not in the table, else 0."""
    i = _place(table, entry)
    if table[i] == entry:
        return 0
    table[i] = entry
    return 1
