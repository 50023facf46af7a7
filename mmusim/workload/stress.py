"""QEMU's own migration load: every vCPU rewrites its memory in order, as fast as it is told."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from mmusim.base.quantities import Rate, Share, Strict, Time, shown
from mmusim.base.units import NS, PAGE, parse_rate
from mmusim.workload.base import Uniforms
from mmusim.workload.points import BLOCK, Law, Sweep
from mmusim.workload.rates import Rates


class Stress(Strict):
    """Each vCPU writes its pages one after the other, over and over, at a steady rate.

    Source: QEMU tests/migration/stress.c, the load of guestperf and of its published auto-converge
    results: a thread on each vCPU XORs a page of random words into its memory, page after page. The
    time is guest time: a vCPU that stalls writes later. A write itself takes no time. Only writes
    that change something cost simulation (docs/explanation/rates.md).
    """

    pattern: Annotated[Literal["stress"], shown("stress")]
    """Name of the access pattern."""
    rate: Annotated[Rate, Field(ge=PAGE, le=10**13), shown("1GB/s")] = parse_rate("3000MB/s")
    """Memory that each vCPU writes in a second of guest time. What a core can do is assumed."""
    working_set: Annotated[Share, Field(gt=0), shown("90%")] = 1.0
    """Share of the memory of the vCPU that it rewrites: the first pages."""
    time: Annotated[Time, Field(ge=1e3, le=1e14), shown("2s")] = 1e9
    """Guest time of each vCPU in a phase `run`. A migration goes on until it ends by itself."""

    def length(self, pages: int) -> int:
        """Return 1: accesses are not counted ahead."""
        del pages
        return 1

    def complaint(self, guest_pages: int) -> str | None:
        """Return None: every guest can have this rate."""
        del guest_pages
        return None

    def dirty_after(self, pages: int, guest_pages: int, seconds: float) -> float:
        """Return how many pages of a vCPU are written within so many seconds of guest time."""
        del guest_pages
        return min(max(1, round(self.working_set * pages)), seconds * self.rate / PAGE)

    def rates(self, pages: int, guest_pages: int, uniforms: Uniforms) -> Rates:
        """Return the sweep of a vCPU with `pages` pages."""
        del guest_pages, uniforms
        swept = max(1, round(self.working_set * pages))
        laws: tuple[Law, ...] = (Sweep(PAGE * NS["s"] / self.rate, swept),)
        law = np.zeros((1, -(-pages // BLOCK)), np.uint16)
        law[0, : -(-swept // BLOCK)] = 1
        return Rates(laws, law, round(self.time))
