"""The same simulation, compiled: vCPUs, mmu_lock and flushes. The host thread stays in Python.

What waits is written twice, here and in the SimPy processes. State changes (:mod:`mmusim.mmu`) and
random numbers are shared. The events of both live in one heap in SimPy's order, so the host's
processes run unchanged between compiled vCPUs.
"""
