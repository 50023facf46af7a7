"""Time: vCPUs, the host thread and mmu_lock as SimPy processes. This engine defines a run.

A change of what a vCPU does is in ``processes/``, one of the host's ioctls in ``host/``, one of
QEMU in ``migration/``. ``state/`` is what they share. ``compiled/`` is the fast engine, which
``weave/`` makes from the processes. May import ``config``, ``plan``, ``trace`` and what is below.
"""

from mmusim.engine.simulate import simulate

__all__ = ["simulate"]
