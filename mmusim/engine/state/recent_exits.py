"""How often a vCPU has left the guest lately, which decides what its hits take.

See :mod:`mmusim.costs.hits`. Accesses count from the start of the run.
:mod:`mmusim.engine.compiled.recent_exits` is the same for compiled vCPUs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmusim.costs.hits import BLOCK_BITS, BLOCKS, KEPT, NO_BLOCK, Tables
from mmusim.costs.random_streams import Stream
from mmusim.engine.state.machine_load import MachineLoad, at_price


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
        """Go by the tables of another program, at the prices of a host."""
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
        """The vCPU leaves the guest, after so many accesses."""
        block = accesses >> BLOCK_BITS
        for passed in range(max(self._last + 1, block - KEPT + 1), block + 1):
            self._exits[passed % KEPT] = 0
        self._last = block
        self._exits[block % KEPT] += 1
        if self._block > block:  # looked up before this exit; exits within a block do not count
            self._block = NO_BLOCK

    def streams_at(self, access: int) -> tuple[Any, Any]:
        """Return hits and walks of an access, if no exit comes before its block."""
        block = access >> BLOCK_BITS
        if block != self._block:
            counted = range(max(0, block - BLOCKS), min(block, self._last + 1))
            exits = sum(self._exits[b % KEPT] for b in counted)
            self._found = self._streams[sum(exits >= least for least in self._least) - 1]
            self._block = block
        return self._found

    def slices(self, access: int, count: int) -> Iterator[tuple[int, int, Any, Any]]:
        """Cut `count` accesses where their streams change: first, number, hits and walks."""
        first, streams = 0, self.streams_at(access)
        at = first
        while at < count:
            at = min(count, ((access + at >> BLOCK_BITS) + 1 << BLOCK_BITS) - access)
            then = streams if at == count else self.streams_at(access + at)
            if at == count or then is not streams:
                yield first, at - first, *streams
                first, streams = at, then
