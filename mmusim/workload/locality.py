"""Which pages the accesses of requests touch."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mmusim.base.quantities import Strict
from mmusim.workload.base import Uniforms
from mmusim.workload.hot_cold import HotSets
from mmusim.workload.zipf import Exponent, ranks

Ints = NDArray[np.int64]


class Uniformly(Strict):
    """Every page as likely as every other."""

    kind: Literal["uniform"]

    def touched(self, write: NDArray[np.bool_], pages: int, uniforms: Uniforms) -> Ints:
        """Return which of the pages each access touches, from 0."""
        return (uniforms("where", 0, len(write)) * pages).astype(np.int64)


class ByRank(Strict):
    """Zipf's law: the page of rank r with probability r^-s / H(N, s), scattered over memory."""

    kind: Literal["zipf"]
    exponent: Exponent = 0.99

    def touched(self, write: NDArray[np.bool_], pages: int, uniforms: Uniforms) -> Ints:
        """Return which of the pages each access touches, from 0."""
        page = ranks(uniforms("where", 0, len(write)), pages, self.exponent)
        return np.argsort(uniforms("rank", 0, pages), kind="stable")[page]


class HotAndCold(HotSets):
    """Hot and cold pages, those of reads apart from those of writes."""

    kind: Literal["hot-cold"]


class EachOnce(Strict):
    """Every page once, then every page once more, each time in a fresh order.

    Work that is done once a page is conserved: no policy can avoid it, only move it.
    """

    kind: Literal["each-once"]
    order: Literal["sequential", "random"] = "random"

    def touched(self, write: NDArray[np.bool_], pages: int, uniforms: Uniforms) -> Ints:
        """Return which of the pages each access touches, from 0."""
        passes = -(-len(write) // pages)
        if self.order == "sequential":
            return np.arange(len(write)) % pages
        keys = uniforms("order", 0, passes * pages).reshape(passes, pages)
        return np.argsort(keys, axis=1, kind="stable").reshape(-1)[: len(write)]


Locality = Annotated[Uniformly | ByRank | HotAndCold | EachOnce, Field(discriminator="kind")]
"""A way of choosing pages, by its kind and parameters."""
