"""What a running Linux tells of the memory of a process.

May import ``workload`` and what is below.
"""

from mmusim.linux.dirtying import Recording, watch

__all__ = ["Recording", "watch"]
