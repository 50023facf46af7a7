"""A linked list through memory: an access reveals the place of the next one."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from mmusim.base.quantities import Count, Share, Strict, shown
from mmusim.workload.base import Accesses, Uniforms


class PointerChase(Strict):
    """One random cycle through a share of the pages, followed `cycles` times.

    Each page holds the address of the next. So a cycle touches every page once, and every cycle has
    the same order: pages by independent uniform keys, a uniformly random cyclic order like that of
    Sattolo's algorithm (Inf. Process. Lett. 22, 1986). Each node is written at every visit with
    probability `updated`, decided once per node; visits to the others read. Source: the latency
    test of lmbench (McVoy and Staelin, USENIX 1996).
    """

    pattern: Annotated[Literal["pointer-chase"], shown("pointer-chase")]
    """Name of the access pattern."""
    cycles: Annotated[Count, shown(4, "cycles")] = 4
    """Number of cycles through the list."""
    footprint: Annotated[Share, Field(gt=0), shown("50%")] = 1.0
    """Share of the pages that are nodes of the list: the first ones."""
    updated: Annotated[Share, shown("10%")] = 0.0
    """Share of the nodes that each visit writes."""

    def length(self, pages: int) -> int:
        """Return cycles times nodes."""
        return self.cycles * self._nodes(pages)

    def _nodes(self, pages: int) -> int:
        return max(1, round(pages * self.footprint))

    def accesses(self, base_gfn: int, pages: int, uniforms: Uniforms) -> Accesses:
        """Return the walk round the list, whose nodes are pages from `base_gfn`."""
        nodes = self._nodes(pages)
        cycle = np.argsort(uniforms("order", 0, nodes), kind="stable")
        updated = uniforms("updated?", 0, nodes) < self.updated
        return Accesses(
            base_gfn + np.tile(cycle, self.cycles), np.tile(updated[cycle], self.cycles)
        )
