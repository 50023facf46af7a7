"""The algorithm under study as SimPy processes: vCPUs, page faults, flushes, user space.

Read ``vcpu.py`` first, then ``page_fault.py``. May import :mod:`mmusim.engine.state`.

A function that returns ``Steps`` or ``Outcome`` is a generator, a process or a part of one: call it
with ``yield from``. In all of them `vm` is the VM and `v` the vCPU that acts; `gfn` is the number
of a guest page of 4 KiB; `level` is 1, 2 or 3 for entries of 4 KiB, 2 MiB or 1 GiB; `index` is that
of the access, by which its costs are drawn; `who` is an actor's number; times are whole ns of
simulated time; `spent` collects what a log operation spends, ns by cost or wait. They raise nothing
of their own but where a docstring says so: errors of the policy come from
:mod:`mmusim.engine.state.invariants`.
"""
