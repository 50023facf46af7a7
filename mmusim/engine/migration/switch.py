"""The switch-over: from the next access on, the guest runs at the destination."""

from __future__ import annotations

from mmusim.engine.state import rearmed
from mmusim.engine.state.vm import Vm
from mmusim.mmu import walk as walks
from mmusim.mmu.slot import flushed, set_log
from mmusim.mmu.upper_levels import forget

EVERYTHING = slice(None)


def go_to_destination(vm: Vm) -> None:
    """Reset the state of the VM, because the guest runs at the destination from now on.

    Nothing is mapped there, TLBs are empty, and no slot logs.
    """
    walks.zap_all(vm.table, vm.plan.backing)
    if vm.guest is not None:
        vm.guest.zap(vm.table, EVERYTHING)
    if vm.upper is not None:
        forget(vm.upper)
    flushed(vm.table, EVERYTHING, EVERYTHING)
    vm.taken_back.clear()
    vm.look_at(rearmed.EVERYTHING)
    set_log(vm.table, vm.plan.slot, ones=False)
    vm.tracked = False
    vm.processor = None  # the thread stays at the source
    for v in vm.vcpus:
        v.flush_requested = v.need_resched = v.shares_processor = False
        if v.ring is not None:
            v.ring.harvest()
    if vm.probe is not None:
        vm.probe.switched()
