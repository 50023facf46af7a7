"""What a calibration says about one cost."""

from __future__ import annotations

from dataclasses import dataclass

from mmusim.calibration.tables import Certainty, Floats, ks_distance, table
from mmusim.costs.distributions import Constant, Distribution


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A cost, its certainty, and how well the distribution fits the samples."""

    distribution: Distribution
    provenance: str
    note: str
    certainty: Certainty | None = None  # of the median, or of a constant
    ks: float | None = None  # largest distance between samples and fit


def positive(certainty: Certainty | None) -> Certainty | None:
    """Cut an interval at zero, because no time is negative."""
    if certainty is None:
        return None
    return certainty._replace(low=max(0.0, certainty.low), high=max(0.0, certainty.high))


Findings = dict[str, Finding]
"""By the name of the cost."""


def measured(ns: Floats, certainty: Certainty, note: str, *, deep: bool = False) -> Finding:
    """Make a finding of samples: their table of quantiles."""
    fitted = table(ns, deep=deep)
    return Finding(
        distribution=fitted, provenance="measured", note=note, certainty=positive(certainty),
        ks=ks_distance(ns, fitted),
    )  # fmt: skip


def constant(ns: float, certainty: Certainty | None, note: str, how: str = "measured") -> Finding:
    """Make a finding of one number."""
    return Finding(
        distribution=Constant(max(0.0, round(ns, 3))), provenance=how, note=note,
        certainty=positive(certainty),
    )  # fmt: skip
