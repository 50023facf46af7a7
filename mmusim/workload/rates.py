"""Guests that are given by rates: how often pages are accessed, not in which order."""

from __future__ import annotations

from typing import NamedTuple, Protocol, TypeGuard

import numpy as np
from numpy.typing import NDArray

from mmusim.workload.base import Uniforms
from mmusim.workload.points import Law


class Rates(NamedTuple):
    """When one vCPU accesses its pages, in its guest time."""

    laws: tuple[Law, ...]
    law: NDArray[np.uint16]  # (kinds, blocks): 0 never, else 1 + index into laws; writes, reads
    lasts_ns: int  # guest time of a run that nothing else ends


class RatedPattern(Protocol):
    """A workload of one vCPU that has rates in the place of accesses."""

    def length(self, pages: int) -> int:
        """Return 1: accesses are not counted ahead."""

    def complaint(self, guest_pages: int) -> str | None:
        """Return why a guest of so many pages cannot have these rates, or None."""

    def dirty_after(self, pages: int, guest_pages: int, seconds: float) -> float:
        """Return how many pages of a vCPU are written within so many seconds of guest time."""

    def rates(self, pages: int, guest_pages: int, uniforms: Uniforms) -> Rates:
        """Return the rates of a vCPU with `pages` pages, in a guest that has `guest_pages`."""


def is_rated(pattern: object) -> TypeGuard[RatedPattern]:
    """Tell whether a pattern has rates in the place of accesses; `isinstance` takes far longer."""
    return hasattr(pattern, "rates")


class Points(NamedTuple):
    """A program of rates: where a vCPU's pages lie, and the key of its chance."""

    rates: Rates
    key: int
    base_gfn: int
    pages: int
