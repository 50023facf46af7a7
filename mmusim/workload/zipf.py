"""A few pages very often, most pages rarely: popularity by rank."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mmusim.base.quantities import Share, Strict, shown
from mmusim.workload.base import Accesses, Uniforms
from mmusim.workload.uniform import PerPage, count_of

Exponent = Annotated[float, Field(ge=0, le=10)]


class Zipf(Strict):
    """Independent accesses; the page of rank r = 1 ... N is hit with probability r^-s / H(N, s).

    H(N, s) is the sum of r^-s over all ranks. Sampled exactly, by inverse transform of the cdf.
    Which page has which rank is a permutation drawn per seed and vCPU, so popular pages are spread
    over all regions; `scattered = false` keeps them in the order of addresses. Source: Breslau et
    al., Web Caching and Zipf-like Distributions (INFOCOM 1999), who found s from 0.64 to 0.83 in
    proxies' logs; YCSB (SoCC 2010) uses 0.99.
    """

    pattern: Annotated[Literal["zipf"], shown("zipf")]
    """Name of the access pattern."""
    accesses_per_page: Annotated[PerPage, shown(4.0, "accesses per page")] = 4.0
    """Number of accesses, as a multiple of the number of pages of the vCPU."""
    exponent: Annotated[Exponent, shown(0.99, "exponent")] = 0.99
    """Exponent s of Zipf's law. 0 is uniform."""
    writes: Annotated[Share, shown("20%")] = 0.05
    """Share of the accesses that are writes."""
    scattered: Annotated[bool, shown(False)] = True
    """Ranks are scattered over memory. If not, they follow the addresses."""

    def length(self, pages: int) -> int:
        """Return accesses per page times pages."""
        return count_of(self.accesses_per_page, pages)

    def accesses(self, base_gfn: int, pages: int, uniforms: Uniforms) -> Accesses:
        """Return independent accesses to the pages from `base_gfn`."""
        count = self.length(pages)
        page = ranks(uniforms("where", 0, count), pages, self.exponent)
        if self.scattered:
            page = np.argsort(uniforms("rank", 0, pages), kind="stable")[page]
        return Accesses(base_gfn + page, uniforms("write?", 0, count) < self.writes)


def ranks(uniform: NDArray[np.float64], pages: int, exponent: float) -> NDArray[np.int64]:
    """Return the rank, from 0, of each uniform number: the inverse of the cdf."""
    return np.searchsorted(_cdf(pages, exponent), uniform, side="left").astype(np.int64)


@lru_cache(maxsize=4)
def _cdf(pages: int, exponent: float) -> NDArray[np.float64]:
    cdf = np.cumsum(np.arange(1, pages + 1, dtype=float) ** -exponent)
    cdf /= cdf[-1]
    cdf.flags.writeable = False
    return cdf
