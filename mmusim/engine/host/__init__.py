"""The host thread's work on the dirty log: ioctls, walks under mmu_lock, reports.

May import :mod:`mmusim.engine.processes` and below.
"""
