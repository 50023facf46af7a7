"""One word in each page, each page once: the pass of dirty_log_perf_test and its ancestors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from mmusim.workload.base import Accesses, Uniforms

Order = Literal["sequential", "permuted", "random"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PagePass:
    """Every page once, or the share `pages` of them that is first in the order."""

    writes: float
    """The share of the accesses that are writes, drawn access by access. 0 and 1 draw nothing."""
    pages: float = 1.0
    order: Order = "sequential"
    """`permuted` is one fixed order, that of the recorded kernel counters; `random` is a fresh
    order per seed, vCPU and phase."""

    def length(self, pages: int) -> int:
        """Return the share of the pages, rounded down as the kernel's tests do."""
        return int(pages * round(self.pages * 1e6) // 1_000_000)

    def accesses(self, base_gfn: int, pages: int, uniforms: Uniforms) -> Accesses:
        """Return the pass over the pages from `base_gfn`."""
        count = self.length(pages)
        if self.order == "sequential" and self.writes in (0, 1):
            known = _in_a_row if count <= _SHORT_PASS else _in_a_row.__wrapped__
            return known(base_gfn, count, self.writes == 1)
        if self.order == "sequential":
            order = np.arange(count)
        elif self.order == "permuted":
            order = permutation(pages)[:count]
        else:
            order = np.argsort(uniforms("order", 0, pages), kind="stable")[:count]
        if self.writes in (0, 1):
            write = np.full(count, self.writes == 1)
        else:
            write = uniforms("write", 0, count) < self.writes
        return Accesses(base_gfn + order, write)


_SHORT_PASS: Final = 1 << 16
"""Accesses of a pass that is remembered: of so many, their arrays take 0.6 MB."""


@lru_cache(maxsize=16)
def _in_a_row(base_gfn: int, count: int, write: bool) -> Accesses:
    """Return a pass in which each page follows the one before; nobody may change its arrays."""
    gfn, writes = np.arange(base_gfn, base_gfn + count), np.full(count, write)
    gfn.flags.writeable = writes.flags.writeable = False
    return Accesses(gfn, writes, in_a_row=count > 0)


@lru_cache(maxsize=4)
def permutation(pages: int) -> NDArray[np.int64]:
    """Fisher-Yates from the top, by xorshift64 with a fixed state: the recorder's order."""
    x, mask = 88172645463325252, (1 << 64) - 1
    order = list(range(pages))
    for i in range(pages - 1, 0, -1):
        x ^= x << 13 & mask
        x ^= x >> 7
        x ^= x << 17 & mask
        j = x % (i + 1)
        order[i], order[j] = order[j], order[i]
    result = np.array(order, np.int64)
    result.flags.writeable = False
    return result
