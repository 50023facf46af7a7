"""Time: vCPUs, the host thread and mmu_lock as SimPy processes. This engine defines a run."""

from mmusim.engine.simulate import simulate

__all__ = ["simulate"]
