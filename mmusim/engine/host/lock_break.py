"""Walks over a slot that let others have mmu_lock: cond_resched_lock, tdp_mmu_iter_cond_resched.

``should_yield = need_resched() or (the kernel is preemptible and somebody waits for the lock)``. A
kernel without full preemption does not notice waiting vCPUs: its walk ends first, unless the tick
wants the processor for another task. The kernel asks at each rmap head, spte or split; the model at
each 2 MiB, or at each GiB where the backing is that large. Gets and clears never ask.

A walk that asks nobody is one step, unless TLBs let translations go: what a vCPU walks for again
meets the entry as it is by then, so such a walk goes on in pieces, and takes the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, Final

import numpy as np
import simpy

from mmusim.base.units import PAGES_PER_REGION
from mmusim.costs import log_operations
from mmusim.engine.processes.dirty_rings import hold_mmu_lock, note, pay
from mmusim.engine.processes.flush import awaited, flush_remote
from mmusim.engine.state.vm import Steps, Vm
from mmusim.mmu.slot import MemSlot
from mmusim.mmu.spte import LEVEL_1G, TABLE
from mmusim.mmu.walk import Walk
from mmusim.trace.records import HOST
from mmusim.vocabulary.counters import REMOTE_TLB_FLUSH_REQUESTS

MOST_PIECES: Final = 512
"""Pieces of a walk that does not give way; a piece is at least 2 MiB."""
Price = Callable[[int, Walk], tuple[log_operations.Counts, int]]
"""From a number of pages to the time of a walk over them and the flushes under mmu_lock."""


def walk_slot(
    vm: Vm,
    spent: dict[str, int],
    work: Callable[[MemSlot], Walk],
    price: Price,
    *,
    shared: bool,
    freezes: bool = False,
) -> Generator[simpy.Event, Any, bool]:
    """Walk over the slot with mmu_lock held, part by part; tell whether a flush is still owed.

    `spent` collects the time. Each part is processed in one step when the walk reaches it. With
    `freezes` every entry that points to a table no longer is frozen for its flush.
    """
    owed = False
    vm.scheduled_ns = vm.now
    if not vm.breaks_locks and not freezes:
        return (yield from walk_on(vm, spent, work, price))
    parts = parts_of(vm, PAGES_PER_REGION ** (2 if vm.plan.backing == LEVEL_1G else 1))
    for number, part in enumerate(parts, 1):
        linked = linked_tables(vm, part) if freezes else set()
        done = work(part)
        owed = owed or done.changed
        counts, flushes = price(part.npages, done)
        gone = sorted(linked - linked_tables(vm, part), reverse=True) if freezes else []
        yield from spend_and_flush(vm, spent, pay(vm, counts, spent), flushes, gone[:flushes])
        if number < len(parts) and should_yield(vm):
            yield from give_way(vm, spent, owed, shared)
            owed = False
    return owed


def walk_on(
    vm: Vm, spent: dict[str, int], work: Callable[[MemSlot], Walk], price: Price
) -> Generator[simpy.Event, Any, bool]:
    """Walk over the slot without giving way, in one piece or in several at the same price."""
    whole, pages, flushed = Walk(), 0, 0
    paid: dict[str, int] = {}
    size = vm.plan.slot.npages
    if vm.plan.tlb is not None and vm.upper is None:
        size = max(PAGES_PER_REGION ** (2 if vm.plan.backing == LEVEL_1G else 1),
                   -(-size // (MOST_PIECES * PAGES_PER_REGION)) * PAGES_PER_REGION)  # fmt: skip
    for piece in parts_of(vm, size):
        whole, pages = Walk(*map(sum, zip(whole, work(piece), strict=True))), pages + piece.npages
        counts, flushes = price(pages, whole)
        due: dict[str, int] = {}
        pay(vm, counts, due)
        ns = sum(due.values()) - sum(paid.values())
        for cost in due | paid:
            note(spent, cost, due.get(cost, 0) - paid.get(cost, 0))
        paid = due
        yield from spend_and_flush(vm, spent, ns, flushes - flushed)
        flushed = flushes
    return whole.changed


def parts_of(vm: Vm, size: int) -> list[MemSlot]:
    """Return the slot in parts of `size` pages."""
    slot = vm.plan.slot
    ends = range(slot.base_gfn, slot.base_gfn + slot.npages, size)
    return [MemSlot(gfn, min(size, slot.base_gfn + slot.npages - gfn)) for gfn in ends]


def linked_tables(vm: Vm, part: MemSlot) -> set[tuple[int, int]]:
    """Return level and index of the entries of a part that point to tables."""
    found: set[tuple[int, int]] = set()
    levels = (2, vm.table.region, part.regions), (LEVEL_1G, vm.table.giant, part.giants)
    for level, entries, where in levels:
        found |= {(level, where.start + int(i)) for i in np.flatnonzero(entries[where] & TABLE)}
    return found


def spend_and_flush(
    vm: Vm,
    spent: dict[str, int],
    ns: int,
    flushes: int,
    replaced: Sequence[tuple[int, int]] = (),
) -> Steps:
    """Spend the time of a part, evenly between the flushes that it needs.

    If no vCPU is in the guest, flushes are only requested, and their time is paid together. An
    entry that is replaced is frozen until its flush is over; the entries below it are processed
    before the flush, or since 6.10 after it (tdp_mmu_zap_spte_atomic).
    """
    if not any(awaited(vm, v) for v in vm.vcpus):
        vm.table.stat[REMOTE_TLB_FLUSH_REQUESTS] += flushes
        ns += pay(vm, log_operations.paid({"c_flush_init": flushes}), spent)
    else:
        started, left = vm.now, ns
        first = vm.plan.kernel.flushes_before_processing()
        for entry in replaced:
            vm.freeze(*entry, on=True)
        for number in range(flushes):
            step = left // (flushes - number)
            left -= step
            if not first:
                yield vm.spend(step)
            yield from flush_remote(vm, vm.vcpus[0], recorder=False)
            for entry in replaced[number : number + 1]:
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
    """Tell whether another task needs the host thread's processor."""
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
