"""QEMU's migration thread: rounds, bandwidth, throttles, switch-over and post-copy.

May import :mod:`mmusim.engine.host` and below. Pages are numbers of 4 KiB pages from the beginning
of the slot, unlike gfns; times are whole ns of simulated time. Methods that return ``Steps`` are
parts of SimPy processes: call them with ``yield from``. Sources name functions of QEMU; the release
of QEMU that is simulated decides where they differ (:mod:`mmusim.vmm.qemu`).
"""
