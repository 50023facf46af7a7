"""Hot and cold pages, separate for reads and writes."""

from __future__ import annotations

from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from mmusim.base.errors import MisfitError
from mmusim.base.quantities import Share, Strict, shown
from mmusim.workload.base import Accesses, Uniforms
from mmusim.workload.uniform import PerPage, count_of


class HotSets(Strict):
    """Reads and writes each have hot pages of their own.

    The first H = `hot` N pages are hot for reads. As many are hot for writes; they begin at page (1
    - overlap) H, so the two sets share the part `overlap`. A read goes to its hot set with
    probability `hot_reads`, uniformly within, and otherwise to any other page, uniformly. Writes do
    the same with `hot_writes`. So a page hot for reads is read hot_reads (1 - writes) / H times per
    access. Source: the hot and cold sets of Rosenblum and Ousterhout (SOSP 1991), here separate for
    reads and writes.
    """

    hot: Annotated[Share, Field(gt=0), shown("10%")] = 0.1
    """Share of the pages that is hot for reads, and the same share for writes."""
    hot_reads: Annotated[Share, shown("90%")] = 0.9
    """Share of the reads that go to the pages hot for reads."""
    hot_writes: Annotated[Share, shown("90%")] = 0.9
    """Share of the writes that go to the pages hot for writes."""
    overlap: Annotated[Share, shown("50%")] = 0.0
    """Share of one hot set that the other set has too. 0 % keeps reads and writes apart."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.hot * (2 - self.overlap) > 1:
            raise MisfitError(
                "hot", f"{self.hot:.6%}", "leaves no room for both hot sets",
                "lower hot, or raise overlap",
            )  # fmt: skip
        return self

    def hot_sets(self, pages: int) -> tuple[int, int]:
        """Return the size of each hot set, and the first page of that of writes."""
        size = min(pages, max(1, round(self.hot * pages)))
        return size, min(round((1 - self.overlap) * size), pages - size)

    def touched(
        self, write: NDArray[np.bool_], pages: int, uniforms: Uniforms
    ) -> NDArray[np.int64]:
        """Return which of the pages each access touches, from 0; `write` says which are writes."""
        count = len(write)
        where = uniforms("where", 0, count)
        hot, written_from = self.hot_sets(pages)
        is_hot = uniforms("hot?", 0, count) < np.where(write, self.hot_writes, self.hot_reads)
        is_hot |= hot == pages
        start = np.where(write, written_from, 0)
        return _page(where, is_hot, start, hot, pages)


class HotCold(HotSets):
    """Independent accesses, most of them to hot pages."""

    pattern: Annotated[Literal["hot-cold"], shown("hot-cold")]
    """Name of the access pattern."""
    accesses_per_page: Annotated[PerPage, shown(4.0, "accesses per page")] = 4.0
    """Number of accesses, as a multiple of the number of pages of the vCPU."""
    writes: Annotated[Share, shown("20%")] = 0.2
    """Share of the accesses that are writes."""

    def length(self, pages: int) -> int:
        """Return accesses per page times pages."""
        return count_of(self.accesses_per_page, pages)

    def accesses(self, base_gfn: int, pages: int, uniforms: Uniforms) -> Accesses:
        """Return independent accesses to the pages from `base_gfn`."""
        write = uniforms("write?", 0, self.length(pages)) < self.writes
        return Accesses(base_gfn + self.touched(write, pages, uniforms), write)


def _page(
    where: NDArray[np.float64],
    is_hot: NDArray[np.bool_],
    start: NDArray[np.int64],
    hot: int,
    pages: int,
) -> NDArray[np.int64]:
    """Count from the start of the hot set. The cold pages follow it, around the end of memory."""
    offset = np.where(is_hot, where * hot, hot + where * (pages - hot)).astype(np.int64)
    return (start + offset) % pages
