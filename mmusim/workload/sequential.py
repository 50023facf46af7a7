"""Sweeps through memory in the order of addresses."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import AfterValidator

from mmusim.base.quantities import Count, Share, Size, Strict, shown
from mmusim.base.units import PAGE
from mmusim.workload.base import Accesses, Uniforms


def whole_pages(size: int) -> int:
    """Return `size`, in bytes, if it is a positive multiple of 4 KiB; for use in validators.

    Raises
    ------
    ValueError
        If it is not.
    """
    if size < PAGE or size % PAGE:
        raise ValueError('must be a positive multiple of 4KiB; write e.g. "64KiB"')
    return size


Pages = Annotated[Size, AfterValidator(whole_pages)]
"""A size of whole pages, ``"64KiB"``."""


class Sequential(Strict):
    """Every page once per sweep, `stride` apart; a share of the accesses are writes.

    With a stride of s pages the sweep visits 0, s, 2s ..., then 1, s + 1 ..., as a column-wise walk
    over a matrix whose rows are s pages does. Access i is a write with probability `writes`,
    independently. Source: the sweep of STREAM and of the kernel's dirty_log_perf_test.
    """

    pattern: Annotated[Literal["sequential"], shown("sequential")]
    """Name of the access pattern."""
    sweeps: Annotated[Count, shown(2, "sweeps")] = 1
    """Number of sweeps over memory."""
    stride: Annotated[Pages, shown("4KiB")] = PAGE
    """Distance from one access to the next, in whole pages."""
    writes: Annotated[Share, shown("20%")] = 0.5
    """Share of the accesses that are writes."""

    def length(self, pages: int) -> int:
        """Return sweeps times pages."""
        return self.sweeps * pages

    def accesses(self, base_gfn: int, pages: int, uniforms: Uniforms) -> Accesses:
        """Return the sweeps over the pages from `base_gfn`."""
        stride = self.stride // PAGE
        sweep = np.argsort(np.arange(pages) % stride, kind="stable")
        write = uniforms("write?", 0, self.length(pages)) < self.writes
        return Accesses(base_gfn + np.tile(sweep, self.sweeps), write)
