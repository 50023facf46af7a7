"""Working sets that change, as in a program that goes from one task to the next."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from mmusim.base.quantities import Count, Share, Strict, shown
from mmusim.workload.base import Accesses, Uniforms
from mmusim.workload.uniform import PerPage, count_of


class Phased(Strict):
    """One working set for `phase_length` accesses, then another: phases and transitions.

    Phase p works on `working_set` N neighbouring pages, uniformly. They begin at a page drawn per
    phase and wrap at the end of memory. A share `strays` of the accesses goes to the set of the
    phase before. Source: the phase-transition behaviour of Denning, Working Sets Past and Present
    (IEEE TSE 1980), in the form of Madison and Batson (CACM 1976): disjoint localities held for
    long phases.
    """

    pattern: Annotated[Literal["phased"], shown("phased")]
    """Name of the access pattern."""
    accesses_per_page: Annotated[PerPage, shown(4.0, "accesses per page")] = 4.0
    """Number of accesses, as a multiple of the number of pages of the vCPU."""
    phase_length: Annotated[Count, shown(10000, "accesses")] = 10_000
    """Number of accesses in one phase."""
    working_set: Annotated[Share, Field(gt=0), shown("10%")] = 0.1
    """Share of the pages that one phase uses."""
    strays: Annotated[Share, shown("1%")] = 0.0
    """Share of the accesses that still go to the working set of the phase before."""
    writes: Annotated[Share, shown("20%")] = 0.3
    """Share of the accesses that are writes."""

    def length(self, pages: int) -> int:
        """Return accesses per page times pages."""
        return count_of(self.accesses_per_page, pages)

    def accesses(self, base_gfn: int, pages: int, uniforms: Uniforms) -> Accesses:
        """Return the accesses to the pages from `base_gfn`, phase by phase."""
        count = self.length(pages)
        phase = np.arange(count) // self.phase_length
        phase -= (uniforms("stray?", 0, count) < self.strays) & (phase > 0)
        starts = (uniforms("phase", 0, int(phase[-1]) + 2) * pages).astype(np.int64)
        size = max(1, round(self.working_set * pages))
        page = starts[phase] + (uniforms("where", 0, count) * size).astype(np.int64)
        return Accesses(base_gfn + page % pages, uniforms("write?", 0, count) < self.writes)
