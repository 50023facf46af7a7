"""What vCPUs waited for in a migration, told in lines."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mmusim.base.histogram import Histogram, bin_start
from mmusim.base.units import NS, show_ns


def told_waits(for_log: Mapping[str, int], blocked: Histogram) -> tuple[str, ...]:
    """Tell who held mmu_lock while vCPUs waited for it, and how long they waited for pages.

    Parameters
    ----------
    for_log : mapping
        Log operation -> ns that vCPUs waited for mmu_lock while it held it.
    blocked : Histogram
        How long each fault of post-copy waited for its page, in ns. Told in powers of two of a us,
        as QEMU does since 10.1 (3345fb3b6d); a wait next to a bound may be in the neighbour.

    Returns
    -------
    tuple of str
        At most two lines; none if nobody waited.
    """
    lines = []
    if held := {do: ns for do, ns in for_log.items() if ns}:
        times = ", ".join(f"{do} {show_ns(ns)}" for do, ns in held.items())
        lines.append(f"vCPUs waited for mmu_lock while an operation of the log held it: {times}")
    if blocked.count:
        bins = np.flatnonzero(blocked.counts)
        powers = np.floor(np.log2(np.maximum(bin_start(bins) / NS["us"], 1.0))).astype(int)
        counts = np.bincount(powers, blocked.counts[bins])
        parts = [
            f"{int(n):,} from {show_ns(2**power * NS['us'])}"
            for power, n in enumerate(counts) if n
        ]  # fmt: skip
        lines.append(f"faults that waited for a page of the source: {', '.join(parts)}")
    return tuple(lines)
