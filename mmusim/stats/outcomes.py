"""The outcome of a comparison: better, worse, equivalent within a margin, or unknown."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

from mmusim.base.units import MOST_SEEDS
from mmusim.stats.intervals import LEAST_SEEDS, Interval
from mmusim.stats.marks import EXPLAINED, unseen_share
from mmusim.stats.significance import ALPHA, seeds_to_find

MATTERS: Final = 0.05
"""A difference smaller than this share of the baseline does not matter, unless told otherwise."""
RARE: Final = 0.1
"""Share of seeds. mmusim calls policies equivalent only if it would see a difference of so many."""
LEAST_EQUIVALENT: Final = math.ceil(math.log(ALPHA) / math.log(1 - RARE))
"""The number of seeds, 29, of which at least one shows a mode of share `RARE` with 95 %
probability."""

Outcome = Literal["better", "worse", "equivalent", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The outcome of a comparison of two policies, in words."""

    outcome: Outcome
    matters: float = MATTERS  # the margin, as a share of the baseline
    small: bool = False  # the difference is real, and lies within the margin
    needed: int | None = None  # seeds that would tell, where they are too few
    why: str = ""  # reason of an unknown outcome other than the number of seeds

    def __str__(self) -> str:
        """Write it for people."""
        margin = f"{100 * self.matters:.3g} %"
        if self.outcome == "equivalent":
            return f"equivalent within {margin}"
        if self.outcome != "unknown":
            return self.outcome + (f", but below what matters ({margin})" if self.small else "")
        more = ""
        if self.needed is not None:
            most = f"over {self.needed:,}" if self.needed >= MOST_SEEDS else f"{self.needed:,}"
            more = f"{most} seeds needed"
        reasons = ", ".join(part for part in (self.why, more) if part)
        return f"unknown ({reasons})" if reasons else "unknown"


def answer(
    interval: Interval,
    baseline: float,
    p: float,
    *,
    is_ratio: bool,
    spread: float,
    more_is_better: bool = False,
    family: int = 1,
    matters: float = MATTERS,
    alpha: float = ALPHA,
) -> Answer:
    """Say which of two policies is better, or that they are equivalent, or that this is unknown.

    * better, worse: the adjusted p-value is at most `alpha` and the interval excludes equality. The
      answer is also `small` if the interval lies within the margin: the difference is real, but
      below what matters.
    * equivalent: the interval lies within the margin, and the seeds would show a difference that
      one seed of ten carries (:data:`LEAST_EQUIVALENT` seeds).
    * unknown: all other cases, and every marked interval.

    Parameters
    ----------
    interval : Interval
        Interval of the ratio of means, or of the mean difference.
    baseline : float
        Mean of the baseline, in the metric's unit.
    p : float
        Two-sided p-value of equal means, adjusted for the family.
    is_ratio : bool
        Whether the interval is that of the ratio; else it is that of the difference.
    spread : float
        Standard deviation over seeds of candidate - baseline.
    more_is_better : bool
        The larger value is the better one.
    family : int
        Number of comparisons in the family.
    matters : float
        The margin: the smallest difference of interest, as a share of the baseline.
    alpha : float
        Level of the family.
    """
    equal = 1.0 if is_ratio else 0.0
    margin = matters * (1.0 if is_ratio else abs(baseline))
    within = equal - margin <= interval.low and interval.high <= equal + margin
    n = interval.seeds
    apart = max(0.0, interval.low - equal, equal - interval.high)
    unit = abs(baseline) if is_ratio else 1.0
    effect = max(margin, apart) * unit or spread or 1.0
    needed = max(seeds_to_find(effect, spread, alpha=alpha / family), n + 1)

    def unknown(why: str, seeds: int | None = needed) -> Answer:
        return Answer(outcome="unknown", matters=matters, needed=seeds, why=why)

    if not interval.exists:
        return unknown(EXPLAINED["few seeds"], max(needed, LEAST_SEEDS))
    if interval.mark not in ("", "identical"):
        return unknown(EXPLAINED[interval.mark], None)
    if p <= alpha and apart > 0:
        more = interval.estimate > equal
        return Answer(
            outcome="better" if more == more_is_better else "worse", matters=matters, small=within
        )
    if within and n >= LEAST_EQUIVALENT:
        return Answer(outcome="equivalent", matters=matters)
    if within:
        unseen = f"{100 * unseen_share(n):.0f} % of seeds may behave in a way that no run shows"
        return unknown(unseen, LEAST_EQUIVALENT)
    alike = interval.mark == "identical"
    if apart > 0:
        alone = family > 1 and not (alike and 2.0 ** (1 - n) > alpha)
        why = f"significant alone, not after correction for {family} comparisons" if alone else ""
        return unknown(why, _until_sign(alpha / family) if alike else needed)
    if not alike:
        return unknown("")
    return unknown("", _until_narrow(interval, equal, margin))


def _until_sign(alpha: float) -> int:
    """Return after how many seeds that all differ alike a sign test is at its level."""
    return max(LEAST_SEEDS, 1 + math.ceil(-math.log2(alpha)))


def _until_narrow(interval: Interval, equal: float, margin: float) -> int:
    """Return after how many identical seeds the rule of three lies within the margin."""
    size = (interval.high - equal) / unseen_share(interval.seeds)
    share = min(0.999, margin / size) if size > 0 else 0.999
    return max(LEAST_EQUIVALENT, math.ceil(math.log(ALPHA) / math.log(1 - share)))
