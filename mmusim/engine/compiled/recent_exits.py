"""Recent exits and tables of hits of :mod:`mmusim.engine.state.recent_exits`, for compiled vCPUs.

Without a curve of hits `has_curve` is 0, and every vCPU has one table for the whole run. With a
curve, a vCPU keeps the table of its block, `table_block`. Exits within a block count only for later
blocks.
"""

from __future__ import annotations

from typing import Any

from mmusim.costs.hits import BLOCK_BITS, NO_BLOCK
from mmusim.engine.compiled.jit import compile_all, jit
from mmusim.engine.state import recent_exits

count_in, table_of = compile_all(recent_exits, "count_in", "table_of")


@jit
def count_exit(s: Any, v: int) -> None:
    """A vCPU leaves the guest."""
    if s.has_curve:
        block = s.accesses[v] >> BLOCK_BITS
        count_in(s.exits[v], s.exit_block[v], block)
        s.exit_block[v] = block
        if s.table_block[v] > block:  # it was looked up before this exit
            s.table_block[v] = NO_BLOCK


@jit
def table_at(s: Any, v: int, ahead: int) -> None:
    """Look up the table of the access that comes `ahead` after the next, if no exit precedes it."""
    block = (s.accesses[v] + ahead) >> BLOCK_BITS
    if block == s.table_block[v]:
        return
    table = table_of(s.exits[v], s.exit_block[v], s.exits_least[v], block)
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
