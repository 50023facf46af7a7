"""A vCPU that is given by rates, as :mod:`mmusim.engine.state.rate_run` defines it.

The current access is in the fields of a sequential program, so functions that read access k find
it there.
"""

from __future__ import annotations

from typing import Any

from mmusim.engine.compiled.fields import READS, WRITES
from mmusim.engine.compiled.jit import jit
from mmusim.engine.compiled.mechanism import hit_level
from mmusim.engine.compiled.points import (
    BLOCK,
    NEVER,
    enter,
    guest_now,
    index_of,
    look,
    look_at_all,
    winner,
)
from mmusim.engine.compiled.recording import histogram_of, recorder_at, tally
from mmusim.engine.state.rate_run import BETWEEN
from mmusim.mmu.spte import STALE


@jit
def plan_by_rate(s: Any, v: int) -> bool:
    """Let time pass up to the next access that matters; return False if it faults or is logged."""
    s.count[v] = 0
    s.idles[v, 0] = 0
    while s.k[v] < s.length[v]:
        if s.began[v] < 0:
            _choose(s, v)
        due = min(s.point[v] >> 6, s.lasts_ns[v])
        if due > s.guest_ns[v]:
            s.total_ns[v] = due - s.guest_ns[v]
            s.first[v] = s.first_point[v] + BETWEEN
            return True
        gfn = s.sequential[v] + s.k[v]
        if hit_level(s, gfn, s.writes[v] != 0, s.taken_n + s.taken_python > 0) == 0:
            s.first[v] = s.first_point[v] + index_of(s.leaf[v], s.point[v]) - s.k[v]
            return False
        complete(s, v)
    s.total_ns[v] = 0
    s.first[v] = s.first_point[v] + BETWEEN
    return True


@jit
def _choose(s: Any, v: int) -> None:
    """Stand before the next access of all leaves."""
    at = s.tournament[v, 1]
    s.point[v] = at
    if at == NEVER:
        return
    leaf = winner(s, v)
    s.leaf[v] = leaf
    write = leaf < s.blocks[v]
    block = leaf if write else leaf - s.blocks[v]
    s.sequential[v] = s.base[v] + block * BLOCK + (at & (BLOCK - 1)) - s.k[v]
    s.writes[v] = write


@jit
def complete(s: Any, v: int) -> None:
    """Complete the access at hand, and find the next point of its leaf."""
    gfn, write = s.sequential[v] + s.k[v], s.writes[v]
    if write:
        s.page[gfn] |= STALE
    if len(s.touched) > 0 and s.recorder[v] == s.measured_recorder:
        s.touched[gfn] = 1
    if s.began[v] >= 0:
        tried = recorder_at(s, v, s.began[v])
        tally(s, histogram_of(tried, WRITES if write else READS), s.now - s.began[v])
        s.began[v] = -1
        s.k[v] += 1
        s.accesses[v] += 1
        s.sequential[v] -= 1
    look_on(s, v)


@jit
def look_on(s: Any, v: int) -> None:
    """Pass the point at hand, and find the next point of its leaf."""
    s.past[v] = s.point[v]
    look(s, v, s.leaf[v], s.point[v])


@jit
def passed_by_rate(s: Any, v: int, spent_ns: int) -> None:
    """Let `spent_ns` of guest time pass."""
    s.guest_ns[v] += spent_ns
    if s.guest_ns[v] >= s.lasts_ns[v]:
        s.length[v] = s.k[v]


@jit
def at_hand(s: Any, v: int) -> int:
    """Return the leaf whose access has been tried and is not made yet, or -1."""
    return s.leaf[v] if s.began[v] >= 0 or (s.under_way[v] and s.count[v] > 0) else -1


@jit
def look_at(s: Any, v: int, first: int, end: int) -> None:
    """Look again at the pages of a range of gfns: accesses to them may matter now."""
    low = max(first, s.base[v]) - s.base[v]
    high = min(end, s.base[v] + s.own_pages[v]) - s.base[v]
    if low >= high:
        return
    passed = guest_now(s, v, s.under_way[v] != 0)
    after = max(s.past[v], (passed << 6) - 1)
    if low == 0 and high == s.own_pages[v]:
        kept, held = at_hand(s, v), s.point[v]
        look_at_all(s, v, after)
        if kept >= 0:
            enter(s, v, kept, held)
        return
    kept = at_hand(s, v)
    for block in range(low // BLOCK, (high - 1) // BLOCK + 1):
        if block != kept:
            look(s, v, block, after)
        if s.leaves[v] > s.blocks[v] and block + s.blocks[v] != kept:
            look(s, v, block + s.blocks[v], after)


@jit
def look_at_ranges(s: Any, n: int) -> None:
    """Look again at `n` ascending ranges of gfns."""
    for v in range(s.cpus):
        if s.leaves[v] and s.alive[v]:
            end = s.base[v] + s.own_pages[v]
            i = first_behind(s.looked, n, s.base[v])
            while i < n and s.looked[i, 0] < end:
                look_at(s, v, s.looked[i, 0], s.looked[i, 1])
                i += 1


@jit
def first_behind(ranges: Any, n: int, gfn: int) -> int:
    """Return the first of `n` ascending ranges that ends behind a page; `n` if none does."""
    low, high = 0, n
    while low < high:
        middle = (low + high) // 2
        if ranges[middle, 1] > gfn:
            high = middle
        else:
            low = middle + 1
    return low


@jit
def flush_ends(s: Any) -> None:
    """Look again at what compiled code took back: TLBs hold no more of it."""
    for v in range(s.cpus):
        if s.leaves[v] and s.alive[v]:
            for i in range(s.taken_n):
                look_at(s, v, s.taken[i, 0], s.taken[i, 1])
                look_at(s, v, s.taken[i, 2] << 9, s.taken[i, 3] << 9)
