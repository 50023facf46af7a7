"""Stage 4, Metrics: the values of one run, with names and units.

May import ``trace``, ``config`` and what is below. Their names, units and formulas stand in
``vocabulary.metrics``.
"""

from mmusim.metrics.measure import Metrics, measure

__all__ = ["Metrics", "measure"]
