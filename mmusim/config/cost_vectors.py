"""Hosts that might be meant: vectors of factors, drawn from what is known about each cost."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mmusim.config.cost_ranges import machine_factors, provenance_of, uncertain
from mmusim.config.settings import Setting

TOGETHER: Final = 0.5
"""Correlation between the logarithms of costs that were not measured. A host is slow or fast
as a whole: clock, caches and interconnect are behind most of its costs. An assumption."""
WITHIN: Final = 1.959964
"""A measured or published range is one of 95 %: so many standard deviations to either side."""


def cost_vectors(setting: Setting, count: int, seed: int = 0) -> list[dict[str, float]]:
    """Draw hosts for a setting: factors of all its costs and its machine's numbers, `count` times.

    The shape follows what is known (:func:`mmusim.config.cost_ranges.uncertain`): an assumed cost
    is log-uniform in its range; a published or derived one lognormal, with 95 % of it in the range;
    a measured one lognormal too, with 95 % in its measured interval. Measured costs vary on their
    own, the logarithms of the others are correlated (:data:`TOGETHER`). The assumed numbers of a
    machine are log-uniform and vary on their own. Points are a Latin
    hypercube, so that few of them fill the ranges evenly.

    Parameters
    ----------
    setting : Setting
        Whose host it is.
    count : int
        Hosts, 1 or more.
    seed : int
        Of the draws; settings with the same costs get the same hosts.
    """
    from scipy.stats import norm, qmc

    numbers = machine_factors(setting)
    ranges = uncertain(setting)
    points = qmc.LatinHypercube(len(ranges) + 1, rng=np.random.default_rng(seed)).random(count)
    scores = np.asarray(norm.ppf(np.clip(points, 1e-9, 1 - 1e-9)))
    common, own = scores[:, :1], scores[:, 1:]
    columns: dict[str, NDArray[np.float64]] = {}
    for number, (name, (low, high)) in enumerate(ranges.items()):
        provenance = provenance_of(setting, name)
        weight = 0.0 if provenance == "measured" or name in numbers else TOGETHER
        z = math.sqrt(weight) * common[:, 0] + math.sqrt(1 - weight) * own[:, number]
        middle, half = math.log(low * high) / 2, math.log(high / low) / 2
        if provenance == "assumed":
            columns[name] = np.exp(middle + half * (2 * norm.cdf(z) - 1))
        else:
            columns[name] = np.exp(middle + half * z / WITHIN)
    return [{name: float(column[k]) for name, column in columns.items()} for k in range(count)]
