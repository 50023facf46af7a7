"""A host profile as a frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmusim.analysis.labels import Row, frame
from mmusim.config.host import HostProfile
from mmusim.vocabulary import COSTS

if TYPE_CHECKING:
    import pandas as pd


def costs(profile: HostProfile) -> pd.DataFrame:
    """Return what operations cost on a host, one row a cost.

    Columns: ``cost``, ``what`` it is, ``mean_ns``, ``p50_ns``, ``p99_ns``, ``provenance``
    (measured, published, derived, assumed) and the ``note`` that says where it comes from.
    """
    rows: list[Row] = []
    for name, cost in profile.costs.items():
        distribution = cost.distribution()
        p50, p99 = distribution.quantile([0.5, 0.99]).tolist()
        rows.append(
            {
                "cost": name,
                "what": COSTS[name].meaning,
                "mean_ns": distribution.mean(),
                "p50_ns": p50,
                "p99_ns": p99,
                "provenance": cost.provenance,
                "note": cost.note,
            }
        )
    return frame(rows, ["cost", "what", "mean_ns", "p50_ns", "p99_ns", "provenance", "note"])
