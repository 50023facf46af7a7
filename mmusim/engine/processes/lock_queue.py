"""Waiting in the queue of mmu_lock."""

from __future__ import annotations

import simpy

from mmusim.engine.state.vm import Steps, Vcpu, Vm
from mmusim.vocabulary.causes import MMU_LOCK_WAIT


def in_queue(vm: Vm, v: Vcpu | None, granted: simpy.Event) -> Steps:
    """Wait for the event of the grant of mmu_lock, and charge the time to `v`; None: to nobody."""
    asked = vm.now
    if v is not None:
        v.waits_for = "mmu_lock"
        vm.rests(v)
    shared = yield granted
    vm.waited(shared, vm.now - asked)
    if v is not None:
        v.waits_for = ""
        vm.runs(v)
        vm.charge(v, MMU_LOCK_WAIT, asked, vm.now)
