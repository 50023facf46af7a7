"""Times of accesses without faults, by order and footprint: caches, TLBs and walks."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from mmusim.calibration.fault_costs import clock_ns
from mmusim.calibration.findings import Findings, constant, measured
from mmusim.calibration.interference import LEAST_NS
from mmusim.calibration.samples import Samples
from mmusim.calibration.tables import Certainty, convolution_rest, median_certainty, table
from mmusim.costs.distributions import Empirical

REFERENCE: Final = ("random", 96)
"""Order and MiB whose hits are the profile's plain costs."""


class Hits(NamedTuple):
    """Hits of one order over one footprint, both without the clock's own time."""

    order: str
    mib: int
    large: Empirical  # through 2 MiB mappings
    walk: Empirical  # the extra time through 4 KiB mappings, between faults
    samples: int


def hit_costs(samples: Samples) -> tuple[Findings, list[Hits]]:
    """Return the plain costs of hits, and the tables by order and footprint."""
    clock = clock_ns(samples)
    tables = []
    for name in samples.names("hit/2M/"):
        _, _, order, mib, state, kind = name.split("/")
        small = f"hit/4K/{order}/{mib}/beside/read"
        if (state, kind) != ("alone", "read") or small not in samples.arrays:
            continue
        large_ns, small_ns = (_own(samples.of(n)) - clock for n in (name, small))
        large_ns = np.maximum(large_ns, 0.0)
        walk = convolution_rest(np.maximum(small_ns, 0.0), large_ns)
        tables.append(
            Hits(order, int(mib), table(large_ns), table(walk), len(large_ns) + len(small_ns))
        )
    out: Findings = {}
    of_order, over = REFERENCE
    name = f"hit/2M/{of_order}/{over}/alone/read"
    plain = next((t for t in tables if (t.order, t.mib) == REFERENCE), None)
    if plain is not None:
        certainty = _less(median_certainty(samples.arrays[name]), clock)
        what = f"{of_order} reads over {over} MiB, the clock's {clock:.1f} ns taken off"
        out["t_hit_2M"] = measured(
            np.maximum(_own(samples.of(name)) - clock, 0.0), certainty, what
        )  # fmt: skip
        small = f"hit/4K/{of_order}/{over}/beside/read"
        out["t_walk_4K"] = measured(
            np.asarray(plain.walk.ns), _less(median_certainty(samples.arrays[small]), clock),
            "what must be added to t_hit_2M to give reads through 4 KiB mappings between faults",
        )  # fmt: skip
        write = name.replace("/read", "/write")
        if write in samples.arrays:
            reads, writes = (float(np.quantile(samples.of(n), 0.1)) for n in (name, write))
            out["t_write"] = constant(
                writes - reads, None, "tenth percentile of writes less that of reads; a store "
                "counts until it retires",
            )  # fmt: skip
    return out, sorted(tables, key=lambda t: (t.order, t.mib))


def _own(ns: np.ndarray[tuple[int], np.dtype[np.float64]]) -> np.ndarray[
    tuple[int], np.dtype[np.float64]
]:  # fmt: skip
    """Leave out what was interrupted."""
    return ns[ns < LEAST_NS]


def _less(certainty: Certainty, clock: float) -> Certainty:
    return certainty._replace(
        low=max(0.0, certainty.low - clock), high=max(0.0, certainty.high - clock)
    )
