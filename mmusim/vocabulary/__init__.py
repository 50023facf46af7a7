"""The names of the model: every cause, counter, cost and metric once, with what it means.

May import only from :mod:`mmusim.base`, so that every other package may use it. A new name is one
entry here; tables, claims, columns, reference pages and defaults of host profiles follow from it.
"""

from mmusim.vocabulary.causes import CAUSES as CAUSES
from mmusim.vocabulary.costs import COSTS as COSTS
from mmusim.vocabulary.counters import COUNTERS as COUNTERS
from mmusim.vocabulary.metrics import METRICS as METRICS
