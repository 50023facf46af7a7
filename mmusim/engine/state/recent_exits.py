"""The share of a vCPU's recent accesses that exited. It decides the time of hits.

See :mod:`mmusim.costs.hits`. Accesses count from the start of the run.
:mod:`mmusim.engine.compiled.recent_exits` compiles the functions on counts of exits as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from mmusim.costs.hits import BLOCK_BITS, BLOCKS, KEPT, NO_BLOCK, Tables
from mmusim.costs.random_streams import Stream
from mmusim.engine.state.machine_load import MachineLoad, at_price

_PLACE: Final = KEPT - 1  # bits of a block's number that say where its exits are counted


def count_in(exits: Any, last: int, block: int) -> None:
    """Record an exit in a block, at or behind the block of the last one, in `exits`, shape
    (KEPT,).
    """
    for passed in range(max(last + 1, block - KEPT + 1), block + 1):
        exits[passed & _PLACE] = 0
    exits[block & _PLACE] += 1


def table_of(exits: Any, last: int, least: Any, block: int) -> int:
    """Return the number of the table of a block's accesses, if no exit comes before the block.

    `least` has the exits from which each table applies, in ascending order.
    """
    counted = 0
    for before in range(max(0, block - BLOCKS), min(block, last + 1)):
        counted += exits[before & _PLACE]
    table = 0
    while table + 1 < len(least) and counted >= least[table + 1]:
        table += 1
    return table


class RecentExits:
    """Exits of a vCPU by block of its accesses, and the tables of its program."""

    __slots__ = ("_block", "_exits", "_found", "_keys", "_last", "_least", "_streams")

    def __init__(self, hit_key: int, walk_key: int) -> None:
        """It has not left the guest. Draws of hits and walks have these keys in all tables."""
        self._exits = [0] * KEPT
        self._keys = hit_key, walk_key
        self._last = 0  # block of the last exit
        self._least: tuple[int, ...] = ()
        self._streams: list[tuple[Any, Any]] = []
        self._block = NO_BLOCK  # for which these were looked up:
        self._found: tuple[Any, Any] = (None, None)

    def take(self, tables: Tables, load: MachineLoad | None) -> None:
        """Change to the tables of another program, at the prices of a host (None: it has none)."""
        hit_key, walk_key = self._keys
        if tables.forgets:
            self._exits = [0] * KEPT
        self._least = tables.least
        self._streams = [
            (Stream(large, hit_key), at_price(load, "t_walk_4K", Stream(walk, walk_key)))
            for large, walk in zip(tables.large, tables.walk, strict=True)
        ]
        self._block = NO_BLOCK

    def left(self, accesses: int) -> None:
        """Note that the vCPU leaves the guest after so many accesses since the start of the run."""
        block = accesses >> BLOCK_BITS
        count_in(self._exits, self._last, block)
        self._last = block
        if self._block > block:  # looked up before this exit; exits within a block do not count
            self._block = NO_BLOCK

    def streams_at(self, access: int) -> tuple[Any, Any]:
        """Return the streams of hits and of walks for an access, if no exit comes before its
        block.
        """
        block = access >> BLOCK_BITS
        if block != self._block:
            self._found = self._streams[table_of(self._exits, self._last, self._least, block)]
            self._block = block
        return self._found

    def slices(self, access: int, count: int) -> Iterator[tuple[int, int, Any, Any]]:
        """Cut `count` accesses from `access` on where their streams change.

        Yield of each slice: its first access, from 0; its number of accesses; streams of hits and
        walks.
        """
        first, streams = 0, self.streams_at(access)
        at = first
        while at < count:
            at = min(count, ((access + at >> BLOCK_BITS) + 1 << BLOCK_BITS) - access)
            then = streams if at == count else self.streams_at(access + at)
            if at == count or then is not streams:
                yield first, at - first, *streams
                first, streams = at, then
