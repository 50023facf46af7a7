"""Statements over hosts: one value for each of several possible hosts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mmusim.stats.binomial import clopper_pearson
from mmusim.stats.intervals import Interval
from mmusim.stats.studentized import Floats

MOST_TERMS: Final = 4
"""Costs that a regression over few hosts may tell apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OverHosts:
    """How often a statement holds when the costs of the host are uncertain."""

    holds: Interval  # share of hosts on which it holds
    low: float  # 95 of 100 hosts lie between these, in the terms of the statement
    high: float
    input_share: float  # of the variance of one host's value: the share that the costs explain
    costs: tuple[str, ...]  # the two that matter most, in this order; fewer if fewer matter


def share_that_holds(holds: NDArray[np.bool_], confidence: float = 0.95) -> Interval:
    """Return the share of hosts on which a statement holds (Clopper and Pearson's interval).

    Hosts are drawn by themselves, so the count is binomial. It is not smoothed: a sparse regression
    over 32 hosts that took the place of the count had intervals that covered 10 times of 100, and a
    count asks nothing of the response. Noise of the seed behind each host's value blurs the share
    towards one half, never away from it.

    Raises
    ------
    ValueError
        If there are no hosts.
    """
    n, k = len(holds), int(np.count_nonzero(holds))
    if not n:
        raise ValueError("no host was run; run some")
    low, high = clopper_pearson(k, n, confidence)
    return Interval(estimate=k / n, low=low, high=high, confidence=confidence, seeds=n)


def spread_of(values: Floats, confidence: float = 0.95) -> tuple[float, float]:
    """Return where a further host's value lies with this confidence (a prediction interval).

    Raises
    ------
    ValueError
        If there are fewer than two hosts.
    """
    from scipy.stats import t

    n = len(values)
    if n < 2:
        raise ValueError("one host has no spread; run more")
    half = float(t.ppf((1 + confidence) / 2, n - 1)) * float(values.std(ddof=1))
    half *= (1 + 1 / n) ** 0.5
    return float(values.mean()) - half, float(values.mean()) + half


def strongest(inputs: Floats, values: Floats, names: Sequence[str]) -> list[str]:
    """Return the inputs that explain most of the values, the strongest first.

    Forward selection of linear terms, each as long as it lowers the error of leaving one out by
    more than a tenth. It names what to measure; it does not predict.

    Parameters
    ----------
    inputs : array, shape (hosts, inputs)
        Logarithms of factors.
    values : array, shape (hosts,)
        One of each host.
    names : sequence of str
        Of the inputs.
    """
    n = len(values)
    chosen: list[int] = []
    error = _left_out(np.ones((n, 1)), values)
    while error > 1e-24 * max(1.0, float((values**2).sum())) and len(chosen) < MOST_TERMS:
        tried = {
            j: _left_out(np.column_stack([np.ones(n), inputs[:, [*chosen, j]]]), values)
            for j in range(inputs.shape[1])
            if j not in chosen and np.ptp(inputs[:, j]) > 0
        }
        best = min(tried, key=lambda j: tried[j], default=None)
        if best is None or tried[best] > 0.9 * error:
            break
        chosen.append(best)
        error = tried[best]
    if not chosen:
        return []
    design = np.column_stack([np.ones(n), inputs[:, chosen]])
    weights = np.linalg.lstsq(design, values, rcond=None)[0][1:]
    effects = np.abs(weights) * inputs[:, chosen].std(axis=0)
    return [names[chosen[i]] for i in np.argsort(-effects)]


def _left_out(design: Floats, values: Floats) -> float:
    """Return the sum of squared errors of leaving each host out."""
    q, _ = np.linalg.qr(design)
    leverage = np.minimum((q**2).sum(axis=1), 1 - 1e-9)
    return float((((values - q @ (q.T @ values)) / (1 - leverage)) ** 2).sum())
