"""What a running Linux tells of the memory of a process.

May import ``workload`` and what is below.
"""

from mmusim.process_memory.dirty_rates import Recording, watch

__all__ = ["Recording", "watch"]
