"""Stage 5, Comparison: the result of paired runs for policies and claims.

May import ``metrics``, ``stats`` and what is below.
"""

from mmusim.comparison.compare import Comparison, compare, judge

__all__ = ["Comparison", "compare", "judge"]
