"""Stage 5, Comparison: what paired runs say of policies and claims.

May import ``metrics``, ``stats`` and what is below.
"""

from mmusim.comparison.compare import Comparison, compare, judge

__all__ = ["Comparison", "compare", "judge"]
