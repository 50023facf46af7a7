"""Hits by pages in use and by the share of accesses that exit: from the samples of a probe.

Law and meaning: :mod:`mmusim.costs.hits`. Tables come from passes without faults, from random
passes with some (writes to pages that a get has armed), and from passes that touch each page once
with more. What an exit displaces is found from all of the former.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmusim.calibration.fault_costs import clock_ns
from mmusim.calibration.interference import LEAST_NS
from mmusim.calibration.samples import Samples
from mmusim.calibration.tables import BODY, as_cost, convolution_rest, table

Floats = NDArray[np.float64]
NODES: Final = (0.0, *BODY, 0.998, 1.0)
"""Probabilities whose quantiles are made monotone in the pages."""
MOST_DISPLACED: Final = 1000.0
"""The largest number of touches of pages that an exit may displace."""
ORDER: Final = "random"
"""The order of the mixes."""


class Mix(NamedTuple):
    """A pass with some faults: hits are read, faults displace."""

    mib: int
    percent: int
    share: float  # of accesses that fault
    mean_ns: float  # of hits
    median_ns: float


ONCE: Final = 0.3
"""Share of the accesses that write, and all exit, in passes that touch each page once."""


def hit_curve(samples: Samples) -> dict[str, Any] | None:
    """Return the curve of a profile as TOML data; None if it was not measured."""
    clock = clock_ns(samples)
    tables = []
    means: dict[int, float] = {}
    for order in ("random", "sequential"):
        sizes = [mib for mib in measured(samples, "4K", order) if mib in
                 measured(samples, "2M", order)]  # fmt: skip
        if len(sizes) < 2:
            continue
        large, small = (
            monotone([quantiles(samples, f"hit/curve/{size}/{order}/{mib}", clock)
                      for mib in sizes])
            for size in ("2M", "4K")
        )  # fmt: skip
        for mib, two, four in zip(sizes, large, small, strict=True):
            tables.append(entry(order, mib, two, four))
            if order == ORDER:
                means[mib] = float(np.trapezoid(four, NODES))
        if len(sizes) >= 2:
            tables += with_exits(samples, order, dict(zip(sizes, large, strict=True)), clock)
    mixes = mixes_of(samples, clock)
    if len(means) < 2 or not mixes:
        return None
    best = displaced(means, mixes)
    low, high = interval(samples, means, clock)
    return {"displaces": round(best, 2), "low": round(low, 2), "high": round(high, 2),
            "tables": tables}  # fmt: skip


def with_exits(
    samples: Samples, order: str, large: dict[int, Floats], clock: float
) -> list[dict[str, Any]]:
    """Return the tables of an order that were measured with exits.

    `large` has the quantiles through 2 MiB mappings by MiB, which exits hardly change. Each series
    of sizes with one share of writes needs two or more.
    """
    series: dict[float, dict[int, tuple[str, float]]] = {}
    for name in samples.names("hit/mix/") if order == ORDER else ():
        *_, size, percent = name.split("/")
        exits = samples.of(f"hit/exits/{size}/{percent}")
        if int(size) in large and len(exits):
            share = float(exits[:, 0].sum() / exits[:, 1].sum())
            series.setdefault(int(percent) / 100, {})[int(size)] = name, share
    for name in samples.names(f"hit/4K/{order}/"):
        if name.endswith("/beside/read"):
            series.setdefault(ONCE, {})[int(name.split("/")[3])] = name, ONCE
    tables = []
    sizes = sorted(large)
    for writes, found in sorted(series.items()):
        if len(found) < 2:
            continue
        mibs = sorted(found)
        cold = None
        rows = monotone([quantiles(samples, found[mib][0], clock) for mib in mibs])
        for mib, four in zip(mibs, rows, strict=True):
            two = np.array([np.interp(np.log(mib), np.log(sizes), [large[s][i] for s in sizes])
                            for i in range(len(NODES))])  # fmt: skip
            if writes == ONCE:  # caches hold nothing: walks are what takes longer over more pages
                two = cold = four if cold is None else cold
            tables.append(
                entry(order, mib, two, four)
                | {"writes": f"{writes:.0%}", "exits": f"{100 * found[mib][1]:.4g}%"}
            )
    return tables


def entry(order: str, mib: int, two: Floats, four: Floats) -> dict[str, Any]:
    """Return a table of the curve from quantiles at NODES through 2 MiB and 4 KiB mappings."""
    at = (np.arange(1024) + 0.5) / 1024
    parts, whole = np.interp(at, NODES, two), np.interp(at, NODES, four)
    walk = convolution_rest(whole, parts)
    return {
        "order": order, "memory": f"{mib}MiB", "t_hit_2M": as_cost(table(parts)),
        "t_walk_4K": as_cost(table(walk)),
    }  # fmt: skip


def measured(samples: Samples, size: str, order: str) -> list[int]:
    """Return the MiB over which hits of a size and order were measured."""
    prefix = f"hit/curve/{size}/{order}/"
    return sorted(int(name.removeprefix(prefix)) for name in samples.names(prefix))


def quantiles(samples: Samples, name: str, clock: float) -> Floats:
    """Return quantiles at NODES, without the clock's time and without what was interrupted.

    Each is the median over replicates: where pages lie decides, and that changes with the VM.
    """
    each = [ns[ns < LEAST_NS] - clock for ns in samples.arrays[name]]
    found = [np.quantile(np.maximum(ns, 0.0), NODES) for ns in each if len(ns)]
    return np.asarray(np.median(found, axis=0))


def monotone(rows: list[Floats]) -> list[Floats]:
    """Make each quantile monotone in the pages: least squares (pool adjacent violators)."""
    columns = np.array(rows)
    for node in range(columns.shape[1]):
        columns[:, node] = pooled(columns[:, node])
    return [np.maximum.accumulate(row) for row in columns]


def pooled(values: Floats) -> Floats:
    """Return the nearest values that do not descend, by least squares."""
    pools: list[tuple[float, int]] = []
    for value in values.tolist():
        mean, count = value, 1
        while pools and pools[-1][0] > mean:
            before, many = pools.pop()
            mean = (before * many + mean * count) / (many + count)
            count += many
        pools.append((mean, count))
    return np.repeat([mean for mean, _ in pools], [count for _, count in pools])


def mixes_of(samples: Samples, clock: float, replicate: int | None = None) -> list[Mix]:
    """Return the passes with faults: of all replicates, or of one."""
    found = []
    for name in samples.names("hit/mix/"):
        *_, mib, percent = name.split("/")
        exits = f"hit/exits/{mib}/{percent}"
        if exits not in samples.arrays:
            continue
        runs = samples.arrays[name]
        chosen = range(len(runs)) if replicate is None else [replicate % len(runs)]
        ns = np.concatenate([runs[n] for n in chosen])
        ns = np.maximum(ns[ns < LEAST_NS] - clock, 1.0)
        faults = np.concatenate([samples.arrays[exits][n] for n in chosen])
        share = float(faults[:, 0].sum() / faults[:, 1].sum())
        found.append(Mix(int(mib), int(percent), share, float(ns.mean()), float(np.median(ns))))
    return found


def displaced(means: dict[int, float], mixes: list[Mix]) -> float:
    """Return how many touches of pages displace as much as an exit, by the means of mixes."""
    from scipy.optimize import minimize_scalar

    logs = np.log([mix.mean_ns for mix in mixes])

    def apart(displaces: float) -> float:
        predicted = [mean_at(means, mix.mib * (1 + displaces * mix.share)) for mix in mixes]
        return float(np.sum((np.log(predicted) - logs) ** 2))

    grid = np.concatenate([[0.0], np.geomspace(0.25, MOST_DISPLACED, 64)])
    start = int(np.argmin([apart(x) for x in grid]))
    bounds = grid[max(0, start - 1)], grid[min(len(grid) - 1, start + 1)]
    return float(minimize_scalar(apart, bounds=bounds, method="bounded").x)


def mean_at(means: dict[int, float], mib: float) -> float:
    """Return the mean over so much memory: linear in its logarithm; beyond the ends, theirs."""
    sizes = sorted(means)
    at = np.interp(np.log(mib), np.log(sizes), [means[size] for size in sizes])
    return max(1.0, float(at))


def interval(samples: Samples, means: dict[int, float], clock: float) -> tuple[float, float]:
    """Return a 95 % interval by bootstrap over the replicates of the mixes."""
    most = max(len(samples.arrays[name]) for name in samples.names("hit/mix/"))
    each = [displaced(means, mixes_of(samples, clock, number)) for number in range(most)]
    again = np.random.default_rng(1).choice(each, (2000, len(each))).mean(axis=1)
    low, high = np.quantile(again, [0.025, 0.975])
    return float(low), float(high)
