"""The memory of a process, as a running Linux reports it.

May import ``workload`` and what is below.
"""

from mmusim.process_memory.dirty_rates import Recording, watch

__all__ = ["Recording", "watch"]
