"""The same simulation, compiled: vCPUs, mmu_lock and flushes. The host thread stays in Python.

The weaver (:mod:`mmusim.engine.weave`) makes the functions that wait from the SimPy processes, with
the words of :mod:`mmusim.engine.compiled.words`. This package has the functions that change data.
Both engines share state changes (:mod:`mmusim.mmu`) and random numbers. The events of vCPUs and of
Python are in one heap in SimPy's order, so the host's processes run unchanged between compiled
vCPUs.

Words that all modules share: `s` is the memory of a run, with the fields and shapes of
:mod:`mmusim.engine.compiled.fields`; `v` is the number of a vCPU, and a field of vCPUs has an
element for each of them; `who` is an actor's number, below 0 for a thread of the host; `gfn` is the
number of a guest page of 4 KiB, `level` 1 to 3 as in :mod:`mmusim.mmu`; `index` is that of an
access, by which its costs are drawn; times are whole ns of simulated time. Compiled functions raise
nothing and check nothing: where memory is full they return to Python, which makes room
(:mod:`mmusim.engine.compiled.python_calls`). Where a function has the name of one of the SimPy
engine, it does the same.
"""
