"""Metrics: the values by which runs are compared, with unit, direction, formula and source.

The name of a distribution starts with the statistic: ``p99_latency``. :mod:`mmusim.metrics`
computes the formulas.
"""

from __future__ import annotations

from mmusim.vocabulary import guest_metrics as guest_metrics
from mmusim.vocabulary import vmm_metrics as vmm_metrics
from mmusim.vocabulary.metric import METRICS as METRICS
from mmusim.vocabulary.metric import MIN_BEYOND as MIN_BEYOND
from mmusim.vocabulary.metric import POSTCOPY_FAULTS as POSTCOPY_FAULTS
from mmusim.vocabulary.metric import QUANTILES as QUANTILES
from mmusim.vocabulary.metric import SLOW_SECONDS as SLOW_SECONDS
from mmusim.vocabulary.metric import SNAPSHOT_WAITS as SNAPSHOT_WAITS
from mmusim.vocabulary.metric import STALL_STATISTICS as STALL_STATISTICS
from mmusim.vocabulary.metric import USUAL as USUAL
from mmusim.vocabulary.metric import WINDOWS as WINDOWS
from mmusim.vocabulary.metric import Scope as Scope
