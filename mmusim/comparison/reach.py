"""Claims that so many seeds cannot support, whatever the runs give."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from mmusim.config.claims import Claim
from mmusim.stats.binomial import share_of_seeds
from mmusim.stats.intervals import LEAST_SEEDS, RESOLUTION
from mmusim.vocabulary import METRICS

MOST_SEEDS_TRIED: Final = 1_000
"""The search for a sufficient number of seeds ends here."""


def out_of_reach(claims: Sequence[Claim], seeds: int) -> Iterator[str]:
    """Yield a sentence for each claim that so many seeds cannot support, with the remedy.

    Parameters
    ----------
    claims : sequence of Claim
        Claims of an experiment.
    seeds : int
        Seeds of each setting. Below five no claim can be supported, and another message says so.
    """
    for claim in claims:
        if claim.expect is None or seeds < LEAST_SEEDS:
            continue
        low, high = claim.expect
        if claim.policy and METRICS[claim.metric].yes_or_no:
            if not _can_lie_within(low, high, seeds):
                more = range(seeds + 1, MOST_SEEDS_TRIED) if low < high else ()
                enough = next((n for n in more if _can_lie_within(low, high, n)), None)
                yield f"{_begin(claim, seeds)}: {claim.metric} is a share of seeds; " + (
                    f"{enough} would do, if all are alike"
                    if enough
                    else "no number would do; widen expect, e.g. [0.9, 1] takes 29 seeds"
                )
        elif claim.ratio and high - low < 2 * RESOLUTION:
            yield (
                f"{_begin(claim, seeds)}: no interval of a ratio is narrower than "
                f"{100 * RESOLUTION:g} % of the baseline to either side; widen expect"
            )


def _begin(claim: Claim, seeds: int) -> str:
    return f"claim {claim.says!r} cannot be supported by {seeds} seeds"


def _can_lie_within(low: float, high: float, seeds: int) -> bool:
    """Tell whether the interval of some count lies within: of none, of all, or in the middle."""
    middle = round(seeds * min(1.0, max(0.0, (low + high) / 2)))
    bounds = (share_of_seeds(count, seeds) for count in {0, middle, seeds})
    return any(low <= least and most <= high for least, most in bounds)
