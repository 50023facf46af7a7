"""The same simulation, compiled: vCPUs, mmu_lock and flushes; the host thread stays as it is.

What waits is written twice, here and in the SimPy processes; what changes state is shared
(:mod:`mmusim.mmu`), and so is what is random. The events of both live in one heap in SimPy's order,
so that the host's processes run unchanged between compiled vCPUs.
"""
