"""What operations cost: distributions, random streams, log operations, and host profiles (data).

May import ``base``, ``mmu``, ``policies`` and ``workload``.
"""
