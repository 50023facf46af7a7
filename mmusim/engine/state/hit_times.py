"""What hits cost a vCPU: one of them, or many at once, with the streams of its last exits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mmusim.costs.random_streams import Ints, Stream
from mmusim.engine.state.virtual_cpu import Vcpu


def hit_ns(v: Vcpu, index: int, write: bool, ahead: int = 0) -> int:
    """Return the time of access `index` through a 2 MiB mapping; at least 1 ns.

    It comes `ahead` after the next, and no exit precedes it.
    """
    if v.recent is not None:
        v.t_hit, v.t_walk = v.recent.streams_at(v.accesses + ahead)
    hit = v.t_hit.at(index) or 1
    if write and v.t_write is not None:
        hit += v.t_write.at(index)
    return hit if v.prices is None else v.prices.hit(hit, v.misses * (1 + write))


def walks_ns(v: Vcpu, first: int, level: NDArray[np.int8]) -> Ints:
    """Return the extra time in ns of accesses from `first` on through 4 KiB mappings; shape of
    `level`.

    `level` has 1 where the mapping is of 4 KiB; others have 0 extra time.
    """
    walks = np.zeros(len(level), np.int64)
    small = level == 1
    if small.any():
        drawn = [walk.slice(first + begin, n) for begin, n, _, walk in _slices(v, len(level))]
        walks[small] = np.concatenate(drawn)[small]
    return walks


def _slices(v: Vcpu, count: int) -> Iterator[tuple[int, int, Stream, Stream]]:
    """Cut `count` accesses from the next on where their streams change."""
    if v.recent is None:
        return iter([(0, count, v.t_hit, v.t_walk)])
    return v.recent.slices(v.accesses, count)


def hits_ns(v: Vcpu, first: int, write: NDArray[np.bool_]) -> Ints:
    """Return the time in ns of accesses from `first` on through 2 MiB mappings, each at least 1 ns.

    `write` says which of them write; the result has its shape.
    """
    drawn = [hit.slice(first + begin, n) for begin, n, hit, _ in _slices(v, len(write))]
    hits = np.maximum(np.concatenate(drawn), 1)
    if v.t_write is not None and write.any():
        hits += np.where(write, v.t_write.slice(first, len(write)), 0)
    return hits if v.prices is None else v.prices.hit(hits, v.misses * (1 + write))
