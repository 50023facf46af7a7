"""The same simulation, compiled: vCPUs, mmu_lock and flushes. The host thread stays in Python.

The weaver (:mod:`mmusim.engine.weave`) makes the functions that wait from the SimPy processes, with
the words of :mod:`mmusim.engine.compiled.words`. This package has the functions that change data.
Both engines share state changes (:mod:`mmusim.mmu`) and random numbers. The events of vCPUs and of
Python are in one heap in SimPy's order, so the host's processes run unchanged between compiled
vCPUs.
"""
