"""Stage 4, Metrics: the figures of one run, with names and units.

May import ``trace``, ``config`` and what is below.
"""

from mmusim.metrics.measure import Metrics, measure
from mmusim.metrics.names import UNITS

__all__ = ["UNITS", "Metrics", "measure"]
