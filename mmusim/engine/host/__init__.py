"""What the host thread does with the dirty log: ioctls, walks under mmu_lock, reports.

May import :mod:`mmusim.engine.processes` and below.
"""
