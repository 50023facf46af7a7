"""Claims that the runs cannot decide."""

from __future__ import annotations

import math

from mmusim.comparison.verdicts import Verdict
from mmusim.config.claims import Claim
from mmusim.config.settings import Setting
from mmusim.stats import Interval
from mmusim.stats.significance import ALPHA


def undecided(claim: Claim, setting: Setting, reason: str, seeds: int) -> Verdict:
    """Return an inconclusive verdict with its reason and without a measured value.

    Parameters
    ----------
    claim, setting
        The claim, and the setting that it is about.
    reason : str
        Why the runs do not decide the claim, as a sentence without its full stop.
    seeds : int
        Number of seeds.
    """
    nothing = Interval(
        estimate=math.nan, low=math.nan, high=math.nan, confidence=1 - ALPHA, seeds=seeds
    )
    what, expected = _asked(claim)
    return Verdict.on(claim, setting, what, nothing, expected, "inconclusive", reason)


def _asked(claim: Claim) -> tuple[str, tuple[float, float]]:
    """Return the quantity of a claim and its expected range; nan where only runs give that."""
    if claim.order is not None:
        higher = ">" in claim.order
        return " / ".join(claim.sides), (1.0, math.inf) if higher else (-math.inf, 1.0)
    if claim.expect is not None:
        between = " - " if claim.difference is not None else " / "
        return between.join(claim.sides), (claim.expect[0], claim.expect[1])
    expected = (math.nan, math.nan)
    if claim.published is not None and claim.within is not None:
        slack = claim.published * claim.within
        expected = claim.published - slack, claim.published + slack
    return claim.sides[0], expected
