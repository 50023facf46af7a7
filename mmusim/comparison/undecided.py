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
    low, high = claim.expect or (math.nan, math.nan)
    return Verdict(
        says=claim.says,
        setting=setting.name,
        metric=claim.metric,
        what=" / ".join(claim.sides),
        measured=nothing,
        expected=(low, high),
        outcome="inconclusive",
        origin=claim.origin,
        source=claim.source,
        refuted=claim.refuted,
        reason=reason,
        window=claim.window,
    )
