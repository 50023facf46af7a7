"""Compiled twins of :mod:`mmusim.workload.points`: the next access to a leaf that matters."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from mmusim.engine.compiled.jit import jit
from mmusim.engine.compiled.mechanism import hit_level
from mmusim.mmu.spte import STALE
from mmusim.workload import points

_GOLDEN: Final = np.uint64(points.GOLDEN)
_A: Final = np.uint64(points.A)
_B: Final = np.uint64(points.B)
_S11, _S27, _S30, _S31 = (np.uint64(n) for n in (11, 27, 30, 31))
_ONE: Final = np.uint64(1)
_INDEX_SHIFT: Final = np.uint64(64 - points.INDEX_BITS)
BLOCK: Final = points.BLOCK
NEVER: Final = points.NEVER
FRACTION: Final = points.FRACTION
END_OF_SWEEPS: Final = points.END_OF_SWEEPS
SWEEP: Final = -1
NOTHING: Final = -2
"""What stands for the cell of a law that has none."""


@jit
def mix(z: Any) -> Any:
    """Return 64 bits mixed well: the finaliser of SplitMix64."""
    z = (z ^ (z >> _S30)) * _A
    z = (z ^ (z >> _S27)) * _B
    return z ^ (z >> _S31)


@jit
def index_of(leaf: int, at: int) -> int:
    """Return the index by which the costs of an access are drawn: of point `at` of a leaf."""
    return np.int64(mix(np.uint64(at) + np.uint64(leaf + 1) * _GOLDEN) >> _INDEX_SHIFT)


@jit
def is_armed(s: Any, v: int, gfn: int, write: int) -> bool:
    """Tell whether an access would fault, be logged, or set a bit that is kept."""
    if s.run_limit == 1:
        return True  # every access is an event
    if hit_level(s, gfn, write, False) == 0 or (write and not s.page[gfn] & STALE):
        return True
    return len(s.touched) > 0 and s.recorder[v] == s.measured_recorder and not s.touched[gfn]


@jit
def next_point(s: Any, v: int, leaf: int, after: int) -> int:
    """Return the first point of a leaf later than `after` that changes something, or NEVER."""
    write = leaf < s.blocks[v]
    block = leaf if write else leaf - s.blocks[v]
    law = s.block_law[v, leaf]
    m = s.law_bits[law]
    if m == NOTHING:
        return NEVER
    first = block * BLOCK
    here = min(BLOCK, (s.law_pages[law] if m == SWEEP else s.own_pages[v]) - first)
    page = 0
    while page < here and not is_armed(s, v, s.base[v] + first + page, write):
        page += 1
    if page >= here:
        return NEVER
    if m == SWEEP:
        return _next_of_sweep(s, v, law, first, page, here, after)
    mine = mix(np.uint64(s.points_key[v]) + np.uint64(leaf + 1) * _GOLDEN)
    within = (_ONE << np.uint64(m + 6)) - _ONE
    cell = (after + 1) >> (m + 6)
    table = s.law_counts[law]
    while cell < NEVER >> (m + 6):
        h = mix(mine + np.uint64(cell + 1) * _GOLDEN)
        u, n, best = (np.float64(np.int64(h >> _S11)) + 0.5) * 2.0**-53, 0, NEVER
        while u >= table[n]:
            n += 1
        for i in range(n):
            w = mix(h + np.uint64(i + 1) * _GOLDEN)
            at = cell << (m + 6) | np.int64(w & within)
            page = at & (BLOCK - 1)
            good = after < at < best and page < here
            if good and is_armed(s, v, s.base[v] + first + page, write):
                best = at
        if best != NEVER:
            return best
        cell += 1
    return NEVER


@jit
def _next_of_sweep(s: Any, v: int, law: int, first: int, page: int, here: int, after: int) -> int:
    """Return the next point of a block of a sweep; `page` is its first that is armed."""
    if after >> 6 > END_OF_SWEEPS:
        return NEVER
    step, pages = s.law_step[law], s.law_pages[law]
    visit = (max(after >> 6, 0) << FRACTION) // step - first
    lap = max(0, visit // pages - 1)
    while True:
        for i in range(page, here):
            at = ((lap * pages + first + i) * step >> FRACTION) << 6 | i
            if at > after and is_armed(s, v, s.base[v] + first + i, True):
                return at
        lap += 1


@jit
def guest_now(s: Any, v: int, waits: bool) -> int:
    """Return a vCPU's guest time in ns; `waits`: it is in the guest, on its way to its next
    point.
    """
    if waits and s.count[v] == 0:
        return s.guest_ns[v] + s.now - s.run_start[v]
    return s.guest_ns[v]


@jit
def look(s: Any, v: int, leaf: int, after: int) -> None:
    """Find the next point of a leaf later than `after` and enter it in the vCPU's tournament."""
    enter(s, v, leaf, next_point(s, v, leaf, after))


@jit
def enter(s: Any, v: int, leaf: int, at: int) -> None:
    """Enter the next point `at` of a leaf; every node of the tree has the least point below it."""
    tree = s.tournament[v]
    i = s.tree_half[v] + leaf
    tree[i] = at
    while i > 1:
        i >>= 1
        least = min(tree[2 * i], tree[2 * i + 1])
        if tree[i] == least:
            break
        tree[i] = least


@jit
def look_at_all(s: Any, v: int, after: int) -> None:
    """Find the next point of every leaf of a vCPU, and build its tournament."""
    tree, half, leaves = s.tournament[v], s.tree_half[v], s.leaves[v]
    for leaf in range(half):
        tree[half + leaf] = next_point(s, v, leaf, after) if leaf < leaves else NEVER
    for i in range(half - 1, 0, -1):
        tree[i] = min(tree[2 * i], tree[2 * i + 1])


@jit
def winner(s: Any, v: int) -> int:
    """Return the number of the leaf that has the next point; the first of equals."""
    tree, half = s.tournament[v], s.tree_half[v]
    i = 1
    while i < half:
        i = 2 * i if tree[2 * i] <= tree[2 * i + 1] else 2 * i + 1
    return i - half
