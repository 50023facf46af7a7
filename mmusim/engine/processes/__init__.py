"""The algorithm under study as SimPy processes: vCPUs, page faults, flushes, user space.

Read ``vcpu.py`` first, then ``page_fault.py``. May import :mod:`mmusim.engine.state`.
"""
