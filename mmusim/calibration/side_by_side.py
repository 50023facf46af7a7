"""Two vCPUs that fault side by side: how much slower each is, and what is left for mmu_lock.

A processor of a virtual machine that is busy beside another one works more slowly, and sometimes by
a third for as long as a measurement lasts. That makes every fault longer, the cheapest ones too. A
wait for ``mmu_lock`` makes only some of them longer. So the median of a vCPU is its level, and what
its mean exceeds the median by, beyond the same of one vCPU, is the wait. (If many wait, the median
moves as well, and a part of the wait counts as level: half of it where a third of the faults wait.)
"""

from __future__ import annotations

from typing import Final

import numpy as np

from mmusim.calibration.samples import Samples
from mmusim.calibration.tables import Floats

ALONE: Final = "contention/alone"
BOTH: Final = "contention/both"
MIN_MACHINES: Final = 32
"""Virtual machines that must have been measured."""


def together(samples: Samples) -> list[list[float]]:
    """Return the levels of the two vCPUs of each virtual machine, by the median one alone.

    A pair is in the order in which the vCPUs finished. There is none if too few virtual machines
    were measured, or if one of them lacks a vCPU.
    """
    alone, both = samples.arrays.get(ALONE, []), samples.arrays.get(BOTH, [])
    if len(alone) < MIN_MACHINES or len(both) != 2 * len(alone):
        return []
    base = float(np.median([np.median(ns) for ns in alone]))
    each = [round(float(np.median(ns)) / base, 4) for ns in both]
    return [[first, second] for first, second in zip(each[::2], each[1::2], strict=True)]


def without_levels(samples: Samples) -> tuple[list[Floats], list[Floats]]:
    """Return faults alone and side by side, by virtual machine, all put to the median level alone.

    Those of the two vCPUs of a machine are one array.
    """
    alone, both = samples.arrays[ALONE], samples.arrays[BOTH]
    base = float(np.median([np.median(ns) for ns in alone]))

    def put(ns: Floats) -> Floats:
        return np.asarray(ns * (base / float(np.median(ns))))

    pairs = zip(both[::2], both[1::2], strict=True)
    return [put(ns) for ns in alone], [np.concatenate([put(a), put(b)]) for a, b in pairs]
