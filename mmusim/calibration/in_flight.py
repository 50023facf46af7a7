"""Kicks of vCPUs that are on their way out of the guest or into it.

KVM takes a vCPU for running in the guest from shortly before the entry until shortly after the exit
(``vcpu->mode``). A flush kicks it meanwhile and waits for it. Gets beside a vCPU that does nothing
but fault show for how long that is: the share of those that took longer than nine in ten take
beside none, of the time of a fault.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from mmusim.calibration.findings import Findings, constant
from mmusim.calibration.log_costs import get_terms
from mmusim.calibration.samples import Samples
from mmusim.calibration.tables import Certainty, Floats

FITTED: Final = ("c_get_floor", "c_word", "c_flush_init", "c_wclear", "c_dirty_word")
"""Costs of the terms of a get, in their order."""
PAGES: Final = 32.0 * 256
"""Of the slot in which the gets were made."""
NINE_TENTHS: Final = 0.9
"""Of gets beside no vCPU take no longer than what counts as a wait."""
AGAIN: Final = 1000


def in_flight(samples: Samples, costs: Findings) -> Findings:
    """Return c_in_flight, and c_flush_target of kicks that find a vCPU on its way."""
    rows = samples.arrays.get("flush/in-flight")
    if rows is None or any(name not in costs for name in (*FITTED, "c_flush_target", "c_exit")):
        return {}
    each = [_waits(row, costs, np.full(len(row), PAGES)) for row in rows]
    waits, periods = np.concatenate(each), np.concatenate([row[:, 4] for row in rows])
    alone = samples.of("log/get-words")
    kicked = float(np.quantile(_waits(alone[:, 1:], costs, alone[:, 0]), NINE_TENTHS))
    most = min(costs[name].distribution.mean() for name in ("c_exit", "c_entry"))
    rng = np.random.default_rng(1)
    again = [np.concatenate([each[i] for i in rng.integers(0, len(each), len(each))])
             for _ in range(AGAIN)]  # fmt: skip
    shares = np.array([np.mean(some > kicked) for some in again])
    targets = np.array([np.median(some) for some in again])
    period, share = float(np.median(periods)), float(np.mean(waits > kicked))
    size = len(waits), len(rows)
    low, high = (float(q) for q in np.quantile(shares * period / 2, [0.025, 0.975]))
    note = (
        f"{share:.0%} of {len(waits)} gets beside a vCPU that only faults waited for it: that "
        f"share of a fault of {period:,.0f} ns, half at the exit and half at the entry, and no "
        "more than those"
    )
    out = {
        "c_in_flight": constant(
            min(share * period / 2, most),
            Certainty(min(low, most), min(high, most), *size), note,
        )
    }  # fmt: skip
    target, still = float(np.median(waits)), costs["c_flush_target"].distribution.mean()
    if share > 0.5:
        low, high = (float(q) for q in np.quantile(targets, [0.025, 0.975]))
        note = (
            "what a get waits for a vCPU on its way into the guest or out of it; for one in the "
            f"guest it is {still:,.0f} ns"
        )
        out["c_flush_target"] = constant(target, Certainty(low, high, *size), note)
    return out


def _waits(rows: Floats, costs: Findings, pages: Floats) -> Floats:
    """Return what gets took beyond their own work, in ns."""
    dirty, words, ns = rows[:, 0], rows[:, 1], rows[:, 2]
    terms = get_terms(pages, dirty, words)
    own = terms @ np.array([costs[name].distribution.mean() for name in FITTED])
    return np.asarray(np.maximum(ns - own, 0.0))
