"""Costs of log operations: intercept and slopes of their times in pages and dirty pages."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from mmusim.base.units import PAGES_PER_REGION
from mmusim.calibration.findings import Findings, constant, measured
from mmusim.calibration.samples import Samples
from mmusim.calibration.tables import Certainty, Floats

WORD: Final = 64  # pages in a word of the bitmap
BOOTSTRAP: Final = 300


class Line(NamedTuple):
    """Coefficients that are not negative, with their intervals and the share explained."""

    value: Floats
    low: Floats
    high: Floats
    explained: float  # 1 - |residuals| / |deviations from the median|
    rows: int


def nonnegative_fit(terms: Floats, ns: Floats, seed: int = 1) -> Line:
    """Fit ns = terms @ value by least absolute relative deviations, value >= 0.

    The method is iterated reweighted non-negative least squares. A weight is 1 / (r ns), where r is
    the residual as a share of ns and at least 1 %, so an interrupted operation counts for little.
    Intervals are a bootstrap over rows.
    """
    value = _reweighted(terms, ns)
    rng = np.random.default_rng(seed)
    again = []
    for _ in range(BOOTSTRAP):
        pick = rng.integers(0, len(ns), len(ns))
        again.append(_reweighted(terms[pick], ns[pick], rounds=4))
    low, high = np.quantile(again, [0.025, 0.975], axis=0)
    spread = np.abs(ns - np.median(ns)).sum()
    left = np.abs(ns - terms @ value).sum()
    return Line(value, low, high, float(1 - left / spread) if spread else 1.0, len(ns))


def _reweighted(terms: Floats, ns: Floats, rounds: int = 12) -> Floats:
    from scipy.optimize import nnls

    weight = 1 / np.maximum(ns, 1.0)
    scale = np.maximum(terms.max(axis=0), 1e-9)
    value = np.zeros(terms.shape[1])
    for _ in range(rounds):
        value = nnls(terms / scale * weight[:, None], ns * weight)[0] / scale
        off = np.abs(ns - terms @ value) / np.maximum(ns, 1.0)
        weight = 1 / np.maximum(ns, 1.0) / np.sqrt(np.maximum(off, 0.01))
    return np.asarray(value)


def log_costs(samples: Samples, faults: Findings) -> Findings:
    """Return the costs of get, clear, enable, disable and of dirty rings, given those of faults."""
    out: Findings = {}
    gets = samples.of("log/get")
    if len(gets) >= 8:
        out |= _gets(gets, samples.of("log/get-words"))
    if "log/enable" in samples.arrays:
        out |= _enable(samples.of("log/enable"))
    if "log/disable" in samples.arrays and "c_srcu" in out:
        out |= _disable(samples.of("log/disable"), out["c_srcu"].distribution.mean())
    if "ring/reap" in samples.arrays:
        out |= _rings(samples, faults)
    return out


def get_terms(pages: Floats, dirty: Floats, words: Floats) -> Floats:
    """Return what a get pays for, shape (gets, 5): itself, words, that some are dirty, those, and
    dirty pages.
    """
    return np.column_stack([np.ones(len(pages)), pages / WORD, dirty > 0, dirty, words])


def words_of(pages: Floats, dirty: Floats) -> Floats:
    """Return how many words have a bit on average if `dirty` pages are drawn at random."""
    return pages / WORD * (1 - (1 - dirty / pages) ** WORD)


def _gets(rows: Floats, by_words: Floats) -> Findings:
    """Fit gets of scattered pages, and of known numbers of words if they were measured."""
    pages, dirty, ns = rows.T
    terms = get_terms(pages, dirty, words_of(pages, dirty))
    if len(by_words):
        terms = np.vstack([terms, get_terms(*by_words[:, :3].T)])
        ns = np.concatenate([ns, by_words[:, 3]])
    else:
        terms = terms[:, :4]
    line = nonnegative_fit(terms, ns)
    how = f"of {line.rows} gets, {line.explained:.0%} of their spread explained"
    notes = {
        "c_get_floor": f"intercept {how}",
        "c_word": f"slope in words of the bitmap {how}; copying the bitmap is in it",
        "c_flush_init": f"step where anything is dirty {how}",
        "c_wclear": f"slope in dirty pages {how}",
        "c_dirty_word": f"slope in words with dirty bits {how}",
    }
    out = {
        name: constant(line.value[i], _certainty(line, i), note)
        for i, (name, note) in enumerate(notes.items())
        if i < terms.shape[1]
    }
    out["c_copy"] = constant(0.0, None, "in c_word", "derived")
    return out


def _enable(rows: Floats) -> Findings:
    """The grace period varies far more than the walk, whose slope is that of the fastest."""
    pages, _, large, ns = rows.T
    sizes = np.unique(pages)
    fastest = np.array([np.min(ns[pages == size]) for size in sizes])
    slope = 0.0
    if len(sizes) > 1:
        slope = max(0.0, float(np.polyfit(sizes, fastest, 1, w=1 / fastest)[0]))
    heads = pages * (1 + 1 / PAGES_PER_REGION)
    grace = np.maximum(ns - slope * heads, 0.0)
    note = f"fastest of {len(ns)} times to enable, slope in pages over {len(sizes)} sizes"
    certainty = Certainty(0.0, 2 * slope, len(ns), len(sizes))
    del large
    return {
        "c_head": constant(slope, certainty, note),
        "c_srcu": measured(
            grace, _median_of(grace), "times to enable less the walk over rmap heads"
        ),
        "c_memset": constant(0.0, None, "in c_srcu", "derived"),
    }


def _disable(rows: Floats, grace: float) -> Findings:
    pages, small, ns = rows.T
    left = np.maximum(ns - grace, 0.0) / np.maximum(small, 1)
    del pages
    return {
        "c_collapse": constant(
            float(np.median(left)), _median_of(left),
            "time to disable less the mean grace period, by 4 KiB mapping",
        )
    }  # fmt: skip


def _rings(samples: Samples, out_of: Findings) -> Findings:
    count, masks, harvested, reset = samples.of("ring/reap").T
    reading = nonnegative_fit(np.column_stack([np.ones(len(count)), count]), harvested)
    resetting = nonnegative_fit(np.column_stack([np.ones(len(count)), masks, count]), reset)
    out = {
        "c_ring_harvest": constant(
            reading.value[1], _certainty(reading, 1), "slope in entries, read by this program"
        ),
        "c_ring_mask": constant(
            resetting.value[1], _certainty(resetting, 1), "slope of a reset in masks"
        ),
    }
    exits = samples.of("ring/exit")
    if len(exits) >= 5:
        fault = out_of["c_fault_slow"].distribution.quantile(0.5) if out_of else 0.0
        own = exits + reading.value[0] + resetting.value[0] - 2 * float(fault)
        out["c_ring_exit"] = measured(
            np.maximum(own, 0.0), _median_of(own),
            "accesses that found the ring full, less two faults, harvest and reset",
        )  # fmt: skip
    return out


def _certainty(line: Line, i: int) -> Certainty:
    return Certainty(float(line.low[i]), float(line.high[i]), line.rows, line.rows)


def _median_of(ns: Floats) -> Certainty:
    rng = np.random.default_rng(1)
    again = np.median(rng.choice(ns, (1000, len(ns))), axis=1)
    low, high = np.quantile(again, [0.025, 0.975])
    return Certainty(float(low), float(high), len(ns), len(ns))
