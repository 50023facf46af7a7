"""Hits that are the first to their page: from passes that touch each page once.

Before each of these passes the guest went once through all of its memory. The pass then made no
exits, or 2 % or 30 % of its accesses exited. Law and meaning: :mod:`mmusim.costs.hits`.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from mmusim.calibration.fault_costs import clock_ns
from mmusim.calibration.hit_curve import ONCE, Floats, entry, monotone, quantiles
from mmusim.calibration.samples import Samples

FEW: Final = 0.02
"""Share of the accesses that exit in passes with few exits; older samples have none."""
Rows = dict[int, Floats]
"""Quantiles by MiB."""


def first_touches(samples: Samples) -> list[dict[str, Any]]:
    """Return the tables of first touches of a profile's curve as TOML data."""
    found = []
    for order in ("random", "sequential"):
        few = [_rows(samples, size, order, "few") for size in ("2M", "4K")]
        alone = [_rows(samples, size, order, "alone") for size in ("2M", "4K")]
        beside = [_rows(samples, size, order, "beside") for size in ("2M", "4K")]
        beside[0] = beside[0] or _displaced(alone[0], beside[1])
        known = [(one, sorted(one[0].keys() & one[1].keys())) for one in (alone, few, beside)]
        if any(len(mibs) < 2 for one, mibs in known if one is not few):
            continue
        for ((large, small), mibs), exits in zip(known, (0.0, FEW, ONCE), strict=True):
            for mib in mibs if len(mibs) > 1 else ():
                table = entry(order, mib, large[mib], small[mib]) | {"first": True}
                share = f"{exits:.0%}"
                found.append(table | ({"writes": share, "exits": share} if exits else {}))
    return found


def _rows(samples: Samples, size: str, order: str, state: str) -> Rows:
    """Return quantiles through mappings of a size, each monotone in the MiB."""
    names = {
        int(name.split("/")[3]): name
        for name in samples.names(f"hit/{size}/{order}/")
        if name.endswith(f"/{state}/read")
    }
    mibs = sorted(names)
    each = [quantiles(samples, names[mib], clock_ns(samples)) for mib in mibs]
    return dict(zip(mibs, monotone(each) if each else [], strict=True))


def _displaced(alone: Rows, small: Rows) -> Rows:
    """Return hits through 2 MiB mappings beside exits where these were not measured.

    Caches hold nothing, as in passes through 4 KiB mappings of the smallest size, and exits do not
    shorten a hit.
    """
    cold = small[min(small)] if small else None
    return {} if cold is None else {mib: np.maximum(cold, ns) for mib, ns in alone.items()}
