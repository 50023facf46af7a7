"""Statistics of paired replications. Pure functions of arrays.

The seed is the unit of replication: a run gives one value per metric, and intervals are over
seeds. Accesses within a run are never pooled as if they were independent. What each word means
and what is guaranteed: ``docs/reference/statistics.md``. May import ``base``.
"""

from mmusim.stats.effect import cohens_d, superiority, variance_ratio
from mmusim.stats.intervals import (
    Interval,
    correlation,
    mean_interval,
    paired_difference,
    paired_p_value,
    paired_ratio,
)
from mmusim.stats.outcomes import Answer, answer
from mmusim.stats.significance import PValue, holm, seeds_needed, sign_flip

__all__ = [
    "Answer",
    "Interval",
    "PValue",
    "answer",
    "cohens_d",
    "correlation",
    "holm",
    "mean_interval",
    "paired_difference",
    "paired_p_value",
    "paired_ratio",
    "seeds_needed",
    "sign_flip",
    "superiority",
    "variance_ratio",
]
