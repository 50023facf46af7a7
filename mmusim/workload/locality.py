"""Which pages the accesses of requests touch."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mmusim.base.quantities import Strict, shown
from mmusim.workload.base import Uniforms
from mmusim.workload.hot_cold import HotSets
from mmusim.workload.zipf import Exponent, ranks

Ints = NDArray[np.int64]


class Uniformly(Strict):
    """Every page as likely as every other."""

    kind: Annotated[Literal["uniform"], shown("uniform")]
    """The kind of locality."""

    def touched(self, write: NDArray[np.bool_], pages: int, uniforms: Uniforms) -> Ints:
        """Return which of the pages each access touches, from 0."""
        return (uniforms("where", 0, len(write)) * pages).astype(np.int64)


class ByRank(Strict):
    """Zipf's law: the page of rank r with probability r^-s / H(N, s), scattered over memory."""

    kind: Annotated[Literal["zipf"], shown("zipf")]
    """The kind of locality."""
    exponent: Annotated[Exponent, shown(0.99, "exponent")] = 0.99
    """Exponent of Zipf's law over the pages."""

    def touched(self, write: NDArray[np.bool_], pages: int, uniforms: Uniforms) -> Ints:
        """Return which of the pages each access touches, from 0."""
        page = ranks(uniforms("where", 0, len(write)), pages, self.exponent)
        return np.argsort(uniforms("rank", 0, pages), kind="stable")[page]


class HotAndCold(HotSets):
    """Hot and cold pages, those of reads apart from those of writes."""

    kind: Annotated[Literal["hot-cold"], shown("hot-cold")]
    """The kind of locality."""


class EachOnce(Strict):
    """Every page once, then every page once more, each time in a fresh order.

    Work that is done once a page is conserved: no policy can avoid it, only move it.
    """

    kind: Annotated[Literal["each-once"], shown("each-once")]
    """The kind of locality."""
    order: Annotated[Literal["sequential", "random"], shown("random")] = "random"
    """Order of the pages in each pass."""

    def touched(self, write: NDArray[np.bool_], pages: int, uniforms: Uniforms) -> Ints:
        """Return which of the pages each access touches, from 0."""
        passes = -(-len(write) // pages)
        if self.order == "sequential":
            return np.arange(len(write)) % pages
        keys = uniforms("order", 0, passes * pages).reshape(passes, pages)
        return np.argsort(keys, axis=1, kind="stable").reshape(-1)[: len(write)]


Locality = Annotated[Uniformly | ByRank | HotAndCold | EachOnce, Field(discriminator="kind")]
"""A way of choosing pages, by its kind and parameters."""
