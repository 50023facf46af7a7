"""Recent exits and tables of hits of :mod:`mmusim.engine.state.recent_exits`, for compiled vCPUs.

Without a curve of hits `has_curve` is 0, and every vCPU has one table for good. With one, a vCPU
keeps the table of its block, `table_block`: exits within a block do not count for it.
"""

from __future__ import annotations

from typing import Any, Final

from mmusim.costs.hits import BLOCK_BITS, BLOCKS, KEPT, NO_BLOCK
from mmusim.engine.compiled.jit import jit

_PLACE: Final = KEPT - 1  # bits of a block's number that say where its exits are


@jit
def count_exit(s: Any, v: int) -> None:
    """A vCPU leaves the guest."""
    if s.has_curve:
        block = s.accesses[v] >> BLOCK_BITS
        if block != s.exit_block[v]:
            for passed in range(max(s.exit_block[v] + 1, block - KEPT + 1), block + 1):
                s.exits[v, passed & _PLACE] = 0
            s.exit_block[v] = block
        s.exits[v, block & _PLACE] += 1
        if s.table_block[v] > block:  # it was looked up before this exit
            s.table_block[v] = NO_BLOCK


@jit
def table_at(s: Any, v: int, ahead: int) -> None:
    """Look up the table of the access that comes `ahead` after the next, if no exit precedes it."""
    block = (s.accesses[v] + ahead) >> BLOCK_BITS
    if block == s.table_block[v]:
        return
    exits = 0
    for b in range(max(0, block - BLOCKS), min(block, s.exit_block[v] + 1)):
        exits += s.exits[v, b & _PLACE]
    least = s.exits_least[v]
    table = 0
    while table + 1 < len(least) and exits >= least[table + 1]:
        table += 1
    s.hit_shape[v], s.walk_shape[v] = s.hit_shapes[v, table], s.walk_shapes[v, table]
    s.table_block[v] = block


@jit
def begins_block(s: Any, v: int, ahead: int) -> bool:
    """Tell whether the access that comes `ahead` after the next is the first of its block."""
    first: bool = (s.accesses[v] + ahead) & ((1 << BLOCK_BITS) - 1) == 0
    return first


@jit
def look_up(s: Any, v: int, ahead: int) -> None:
    """Go by the table of the access that comes `ahead` after the next; call it for each in turn."""
    if s.has_curve and (ahead == 0 or begins_block(s, v, ahead)):
        table_at(s, v, ahead)
