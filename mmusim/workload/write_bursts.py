"""Reads with occasional bursts of writes: checkpoints, flushes, garbage collection."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mmusim.base.quantities import Strict, shown
from mmusim.base.units import PAGE
from mmusim.workload.base import Accesses, Uniforms
from mmusim.workload.sequential import Pages
from mmusim.workload.uniform import PerPage, count_of


class WriteBursts(Strict):
    """Uniform reads; between two bursts a geometric number of them with mean `reads_between`.

    A burst writes `burst` bytes of neighbouring pages, one write a page, from a page drawn
    uniformly, round the end of memory. The share of writes is b / (b + reads_between) with b the
    pages of a burst. The number of reads is floor(ln u / ln(1 - q)) with q = 1 / (1 +
    reads_between), the inverse transform of the geometric distribution on 0, 1, 2 ...
    """

    pattern: Annotated[Literal["write-bursts"], shown("write-bursts")]
    """Name of the access pattern."""
    accesses_per_page: Annotated[PerPage, shown(4.0, "accesses per page")] = 4.0
    """Number of accesses, as a multiple of the number of pages of the vCPU."""
    reads_between: Annotated[float, Field(gt=0, le=1e9), shown(1000.0, "reads")] = 1000.0
    """Mean number of reads from one burst to the next."""
    burst: Annotated[Pages, shown("256KiB")] = 64 * PAGE
    """Memory that one burst writes."""

    def length(self, pages: int) -> int:
        """Return accesses per page times pages."""
        return count_of(self.accesses_per_page, pages)

    def accesses(self, base_gfn: int, pages: int, uniforms: Uniforms) -> Accesses:
        """Return the accesses to the pages from `base_gfn`."""
        count, burst = self.length(pages), self.burst // PAGE
        begins = self._begins(count, burst, uniforms)
        access = np.arange(count)
        number = np.searchsorted(begins, access, side="right") - 1  # of the burst last begun
        into = access - begins[np.maximum(number, 0)]
        write = (number >= 0) & (into < burst)
        where = uniforms("where", 0, count)
        starts = (uniforms("burst", 0, len(begins)) * pages).astype(np.int64)
        written = (starts[np.maximum(number, 0)] + into) % pages
        return Accesses(
            base_gfn + np.where(write, written, (where * pages).astype(np.int64)), write
        )

    def _begins(self, count: int, burst: int, uniforms: Uniforms) -> NDArray[np.int64]:
        """Return the index of the first access of each burst, up to one that is past the end."""
        fails = np.log1p(-1 / (1 + self.reads_between))
        bursts = 16
        while True:
            reads = np.floor(np.log(uniforms("reads", 0, bursts)) / fails).astype(np.int64)
            begins = np.cumsum(reads + burst) - burst
            if begins[-1] >= count:
                return begins[: int(np.searchsorted(begins, count)) + 1]
            bursts *= 4
