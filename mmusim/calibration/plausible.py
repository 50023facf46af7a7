"""Plausible times of a cost. A unit that is read wrongly is off by a thousand."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from mmusim.base.errors import ConfigError
from mmusim.base.units import show_ns
from mmusim.calibration.foreign_series import Foreign
from mmusim.config.host import load_profile, shipped_profiles
from mmusim.vocabulary import COSTS

MEDIAN: Final = 20.0
"""Factor by which a median may differ from those of all shipped hosts. The hosts themselves differ
by as much: faults of a nested guest cost twenty times those of its host.
"""
MEAN: Final = 1_000.0
"""Factor by which a mean may exceed those of all shipped hosts. Rare long stalls raise a mean."""


class Plausible(NamedTuple):
    """Bounds in nanoseconds."""

    least_median: float
    most_median: float
    most_mean: float

    def check(self, cost: str, data: Foreign) -> None:
        """Compare measured times with the bounds.

        Raises
        ------
        ConfigError
            If they lie outside.
        """
        median, mean = data.median(), data.mean()
        if self.least_median <= median <= self.most_median and mean <= self.most_mean:
            return
        off = f"a median of {show_ns(median)}"
        bound = f"{show_ns(self.least_median)} to {show_ns(self.most_median)}"
        if self.least_median <= median <= self.most_median:
            off, bound = f"a mean of {show_ns(mean)}", f"at most {show_ns(self.most_mean)}"
        raise ConfigError.of(
            "fit", cost, None, f"would have {off}, and plausible is {bound}",
            "check which column or map was read and its unit; if it is right, allow it with "
            "--implausible",
        )  # fmt: skip


@lru_cache(maxsize=len(COSTS))
def plausible(cost: str) -> Plausible:
    """Return the plausible range of a cost, from the values of the shipped hosts."""
    COSTS.require(cost, "fit", "COST")
    found = [load_profile(name).costs[cost].distribution() for name in shipped_profiles()]
    medians = [float(one.quantile(0.5)) for one in found]
    return Plausible(
        min(medians) / MEDIAN, max(medians) * MEDIAN, max(one.mean() for one in found) * MEAN
    )
