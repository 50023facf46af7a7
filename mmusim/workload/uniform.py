"""Every page as likely as every other."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from mmusim.base.quantities import Share, Strict, shown
from mmusim.workload.base import Accesses, Uniforms

PerPage = Annotated[float, Field(gt=0, le=1e4)]
"""Accesses a vCPU makes for each page it owns."""


def count_of(accesses_per_page: float, pages: int) -> int:
    """Return accesses per page times pages, at least 1."""
    return max(1, round(accesses_per_page * pages))


class Uniform(Strict):
    """Independent accesses, uniform over a share of the pages; a share of them are writes.

    After n accesses to N pages N (1 - (1 - 1/N)^n) distinct ones have been touched (occupancy; see
    Feller, An Introduction to Probability Theory, vol. 1, IV.2).
    """

    pattern: Annotated[Literal["uniform"], shown("uniform")]
    """Name of the access pattern."""
    accesses_per_page: Annotated[PerPage, shown(4.0, "accesses per page")] = 4.0
    """Number of accesses, as a multiple of the number of pages of the vCPU."""
    writes: Annotated[Share, shown("20%")] = 0.5
    """Share of the accesses that are writes."""
    footprint: Annotated[Share, Field(gt=0), shown("25%")] = 1.0
    """Share of the pages that the workload uses: the first ones."""

    def length(self, pages: int) -> int:
        """Return accesses per page times pages."""
        return count_of(self.accesses_per_page, pages)

    def accesses(self, base_gfn: int, pages: int, uniforms: Uniforms) -> Accesses:
        """Return independent accesses to the pages from `base_gfn`."""
        count = self.length(pages)
        touched = max(1, round(pages * self.footprint))
        gfn = (uniforms("where", 0, count) * touched).astype(np.int64)
        return Accesses(base_gfn + gfn, uniforms("write?", 0, count) < self.writes)
