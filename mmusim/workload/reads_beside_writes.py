"""Reads and writes split over space and rate: the caveat of the 2012 thread."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from mmusim.base.quantities import Share, Strict, shown
from mmusim.base.units import PAGES_PER_REGION
from mmusim.workload.base import Accesses, Uniforms


class ReadsBesideWrites(Strict):
    """Independent random accesses; a share of them are writes, confined to a share of regions.

    Reads are uniform over all pages. Seen from one region this is Poisson sampling: reads arrive
    at rate lr, spread over 512 pages, and, in a written region, writes at rate lw.
    """

    pattern: Annotated[Literal["reads-beside-writes"], shown("reads-beside-writes")]
    """Name of the access pattern."""
    accesses_per_page: Annotated[float, Field(gt=0, le=1e4), shown(4.0, "accesses per page")] = 4.0
    """Number of accesses, as a multiple of the number of pages of the vCPU."""
    writes: Annotated[Share, shown("20%")] = 0.01
    """Share of the accesses that are writes."""
    written_regions: Annotated[Share, Field(gt=0), shown("25%")] = 1.0
    """Share of the regions that the writes are confined to."""

    def length(self, pages: int) -> int:
        """Return accesses per page times pages."""
        return max(1, round(self.accesses_per_page * pages))

    def accesses(self, base_gfn: int, pages: int, uniforms: Uniforms) -> Accesses:
        """Return independent accesses to the pages from `base_gfn`."""
        count = self.length(pages)
        write = uniforms("write?", 0, count) < self.writes
        where = uniforms("where", 0, count)
        hot = max(1, round(pages // PAGES_PER_REGION * self.written_regions)) * PAGES_PER_REGION
        hot = min(hot, pages)
        gfn = (where * np.where(write, hot, pages)).astype(np.int64)
        return Accesses(base_gfn + gfn, write)
