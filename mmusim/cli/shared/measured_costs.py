"""Rows of measured costs."""

from __future__ import annotations

from typing import Any

from mmusim.base.units import show_ns
from mmusim.config.host import HostProfile


def cost_rows(profile: HostProfile) -> list[dict[str, Any]]:
    """Return a row with the certainty of each cost that is not assumed."""
    rows = []
    for name, cost in profile.costs.items():
        if cost.provenance == "assumed":
            continue
        d, sure = cost.distribution(), cost.certainty
        rows.append(
            {
                "cost": name, "median": show_ns(float(d.quantile(0.5))), "mean": show_ns(d.mean()),
                "p99": show_ns(float(d.quantile(0.99))),
                "95 % interval": f"{show_ns(sure.low)} to {show_ns(sure.high)}" if sure else "",
                "samples": str(sure.samples) if sure else "",
                "replicates": str(sure.replicates) if sure else "",
                "KS": "" if cost.ks is None else f"{cost.ks:.4f}",
                "provenance": cost.provenance, "note": cost.note,
            }
        )  # fmt: skip
    return rows
