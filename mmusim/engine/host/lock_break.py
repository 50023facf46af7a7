"""Walks over a slot that let others have mmu_lock: cond_resched_lock, tdp_mmu_iter_cond_resched.

``should_yield = need_resched() or (the kernel is preemptible and somebody waits for the lock)``. A
kernel without full preemption does not notice waiting vCPUs: its walk ends first, unless the tick
wants the processor for another task. The kernel asks at each rmap head, spte or split; the model at
each 2 MiB, or at each GiB where the backing is that large. Gets and clears never ask.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple

import simpy

from mmusim.base.units import PAGES_PER_REGION
from mmusim.costs import log_operations
from mmusim.engine.processes.dirty_rings import hold_mmu_lock, note, pay
from mmusim.engine.processes.flush import flush_remote
from mmusim.engine.state.vm import Steps, Vm
from mmusim.mmu.slot import MemSlot
from mmusim.mmu.spte import LEVEL_1G
from mmusim.trace.records import HOST
from mmusim.vocabulary.counters import REMOTE_TLB_FLUSH_REQUESTS


class Done(NamedTuple):
    """What a part of a walk did."""

    changed: bool  # TLBs may hold more than the tables allow
    counts: log_operations.Counts
    flushes: int = 0  # that it needs on the way, with mmu_lock held
    replaced: Sequence[tuple[int, int]] = ()  # entries (level, index), each frozen for its flush


def walk_slot(
    vm: Vm,
    spent: dict[str, int],
    work: Callable[[MemSlot], Done],
    *,
    shared: bool,
    entry_by_entry: bool = False,
) -> Generator[simpy.Event, Any, bool]:
    """Walk over the slot with mmu_lock held, part by part; tell whether a flush is still owed.

    `spent` takes what is spent. Each part is done at once when it is reached; the parts are the
    ranges of large entries if the walk may yield, or if what it does must be seen `entry_by_entry`.
    """
    owed = False
    vm.scheduled_ns = vm.now
    parts = parts_of(vm, entry_by_entry)
    for number, part in enumerate(parts, 1):
        done = work(part)
        owed = owed or done.changed
        yield from spend_and_flush(vm, spent, done)
        if number < len(parts) and should_yield(vm):
            yield from give_way(vm, spent, owed, shared)
            owed = False
    return owed


def parts_of(vm: Vm, entry_by_entry: bool) -> list[MemSlot]:
    """Return the parts between which the walk may yield; all of the slot if it never does."""
    slot = vm.plan.slot
    if not vm.breaks_locks and not entry_by_entry:
        return [slot]
    size = PAGES_PER_REGION ** (2 if vm.plan.backing == LEVEL_1G else 1)
    ends = range(slot.base_gfn, slot.base_gfn + slot.npages, size)
    return [MemSlot(gfn, min(size, slot.base_gfn + slot.npages - gfn)) for gfn in ends]


def spend_and_flush(vm: Vm, spent: dict[str, int], done: Done) -> Steps:
    """Let the time of a part pass, evenly between the flushes that it needs.

    Where nobody is in the guest a flush is only asked for, and all are paid together. An entry that
    is replaced is frozen until its flush is over; what was below it is processed before the flush,
    and after it since 6.10 (tdp_mmu_zap_spte_atomic).
    """
    ns = pay(vm, done.counts, spent)
    if not any(v.in_guest for v in vm.vcpus):
        vm.table.stat[REMOTE_TLB_FLUSH_REQUESTS] += done.flushes
        ns += pay(vm, log_operations.paid({"c_flush_init": done.flushes}), spent)
    else:
        started, left = vm.now, ns
        first = vm.plan.kernel.flushes_before_processing()
        for entry in done.replaced:
            vm.freeze(*entry, on=True)
        for number in range(done.flushes):
            step = left // (done.flushes - number)
            left -= step
            if not first:
                yield vm.spend(step)
            yield from flush_remote(vm, vm.vcpus[0], recorder=False)
            for entry in done.replaced[number : number + 1]:
                vm.freeze(*entry, on=False)
            if first:
                yield vm.spend(step)
        note(spent, "flush", vm.now - started - (ns - left))
        ns = left
    yield vm.spend(ns)


def should_yield(vm: Vm) -> bool:
    """Tell whether the host thread gives way at this point of its walk."""
    return need_resched(vm) or (vm.plan.preemptible and vm.lock.waiters > 0)


def need_resched(vm: Vm) -> bool:
    """Tell whether another task is to have the host thread's processor."""
    every = vm.plan.need_resched_ns
    return every > 0 and vm.now // every > vm.scheduled_ns // every


def give_way(vm: Vm, spent: dict[str, int], owed: bool, shared: bool) -> Steps:
    """Flush what is owed, drop mmu_lock, let the other task run, and queue again at the tail."""
    if owed:
        started = vm.now
        yield from flush_remote(vm, vm.vcpus[0], recorder=False)
        note(spent, "flush", vm.now - started)
    vm.lock.release(HOST)
    vm.lock.breaks += 1
    if need_resched(vm):
        yield vm.spend(pay(vm, {"c_resched": 1.0}, spent))
        vm.scheduled_ns = vm.now
    yield vm.spend(pay(vm, {"c_yield": 1.0}, spent))
    yield from hold_mmu_lock(vm, HOST, spent, shared)
