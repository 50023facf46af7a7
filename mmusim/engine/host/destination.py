"""What the host sends to the destination of a migration: pages in their present state."""

from __future__ import annotations

from mmusim.costs.random_streams import Ints
from mmusim.engine.state import rearmed
from mmusim.engine.state.vm import Vm
from mmusim.mmu import slot as mmu


def send(vm: Vm, gfns: Ints) -> None:
    """Send dirty pages, by gfn, now. In a migration only note them: its thread sends them after a
    merge.
    """
    if vm.unsent is not None:
        vm.unsent[1, vm.plan.slot.offsets(gfns)] = True
        return
    copy_to_destination(vm, gfns)


def send_slot(vm: Vm) -> None:
    """Send all of the slot, as :func:`send` does."""
    if vm.unsent is not None:
        vm.unsent[0] = True
        return
    slot = vm.plan.slot
    vm.settle()
    mmu.copied(vm.table, slot.pages)
    if vm.by_rates:
        vm.look_at(rearmed.EVERYTHING)
    if vm.probe is not None:
        vm.probe.copied(list(range(slot.base_gfn, slot.base_gfn + slot.npages)))


def copy_to_destination(vm: Vm, gfns: Ints) -> None:
    """Copy the present state of pages, by ascending gfn, to the destination. It takes no time."""
    vm.settle()
    mmu.copied(vm.table, gfns)
    rearmed.copied(vm, gfns)
    if vm.probe is not None:
        vm.probe.copied(gfns.tolist())
