"""Kernel counters: scripts that real kernels ran, replayed on the model and compared.

May import ``engine``, ``config`` and what is below.
"""

from mmusim.conformance.replay import conform

__all__ = ["conform"]
