"""Stage 3, Trace: what happened in a run, and the stalls of its vCPUs.

May import ``base`` and ``vocabulary``. Engines write traces; everything above reads them.
"""

from mmusim.trace.records import Probe, Trace

__all__ = ["Probe", "Trace"]
