"""The same simulation, compiled: vCPUs, mmu_lock and flushes. The host thread stays in Python.

What waits is woven from the SimPy processes (:mod:`mmusim.engine.weave`) by the words of
:mod:`mmusim.engine.compiled.words`; here is what changes data. State changes (:mod:`mmusim.mmu`)
and random numbers are shared. The events of both live in one heap in SimPy's order, so the host's
processes run unchanged between compiled vCPUs.
"""
