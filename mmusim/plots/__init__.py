"""Figures of an experiment's outcome and of single runs, as matplotlib figures.

Each function returns a new figure in the house style: colours for colour-blind readers, lines,
marks and hatches that differ in print, every axis with its unit. :mod:`mmusim.plots.catalogue` has
the figures that `mmusim plot` draws by name. May import ``analysis`` and what is below.
"""

from mmusim.plots.across import across
from mmusim.plots.benchmarks import benchmarks
from mmusim.plots.growth import growth
from mmusim.plots.horizons import horizons
from mmusim.plots.lanes import timeline
from mmusim.plots.latencies import ecdf, latencies
from mmusim.plots.ledger import decomposition
from mmusim.plots.migration import in_vain, rounds
from mmusim.plots.outside import published_times, working_set
from mmusim.plots.phase_diagram import phase_diagram
from mmusim.plots.ratios import ratios, swept
from mmusim.plots.service import postcopy_waits, service
from mmusim.plots.shift import shift
from mmusim.plots.style import style
from mmusim.plots.theory import against_theory
from mmusim.plots.utilisation import utilisation

__all__ = [
    "across",
    "against_theory",
    "benchmarks",
    "decomposition",
    "ecdf",
    "growth",
    "horizons",
    "in_vain",
    "latencies",
    "phase_diagram",
    "postcopy_waits",
    "published_times",
    "ratios",
    "rounds",
    "service",
    "shift",
    "style",
    "swept",
    "timeline",
    "utilisation",
    "working_set",
]
