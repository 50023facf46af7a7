"""The VMM's part in a migration or a checkpoint, beyond KVM."""

from __future__ import annotations

import simpy

from mmusim.engine.state.mmu_lock import SpinLock


class GuestGoneError(Exception):
    """The guest now runs at the destination, so a vCPU at the source has nothing more to do."""


class Vmm:
    """The state that the VMM adds to KVM while it migrates a VM or makes checkpoints of it."""

    def __init__(self, env: simpy.Environment) -> None:
        """Start with the big lock free and the vCPUs running."""
        self._env = env
        self.bql = SpinLock(env, "the big lock")
        self.stopping = env.event()  # request to the vCPUs to stop
        self.resumed = env.event()  # the guest runs again, or
        self.gone = False  # it is no longer here
        self.limits_dirtying = False
        self.bql_wait_ns = 0  # of the migration thread

    def resume(self) -> None:
        """Let the vCPUs run again; they may be stopped once more."""
        self.resumed.succeed()
        self.stopping, self.resumed = self._env.event(), self._env.event()
