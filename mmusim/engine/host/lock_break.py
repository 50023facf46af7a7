"""Walks over a slot that let others have mmu_lock: cond_resched_lock, tdp_mmu_iter_cond_resched.

``should_yield = need_resched() or (the kernel is preemptible and somebody waits for the lock)``. A
kernel without full preemption does not notice waiting vCPUs: its walk ends first, unless the tick
wants the processor for another task. The kernel asks at each rmap head, spte or split; the model at
each 2 MiB, or at each GiB where the backing is that large. Gets and clears never ask.

A walk without such tests is one step, unless TLBs have a reach. A TLB with a reach drops
translations, and a vCPU that walks again meets the entry as it is then. So such a walk goes on in
pieces, and takes the same time. Gets and clears process their range in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import cache
from operator import add
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
import simpy

from mmusim.base.units import PAGES_PER_REGION
from mmusim.costs import log_operations
from mmusim.engine.processes.dirty_rings import hold_mmu_lock, note, pay
from mmusim.engine.processes.flush import flush_remote
from mmusim.engine.state.vm import Steps, Vm
from mmusim.mmu.slot import MemSlot, parts_of
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
    slot: MemSlot,
    spent: dict[str, int],
    work: Callable[[MemSlot], Walk],
    price: Price,
    *,
    shared: bool,
    freezes: bool = False,
    flushes_first: bool = True,
) -> Generator[simpy.Event, Any, bool]:
    """Walk over a slot with mmu_lock held, part by part; return whether a flush is still owed.

    Parameters
    ----------
    vm : Vm
        The VM; its kernel decides whether the walk may give the lock up.
    slot : MemSlot
        The range.
    spent : dict
        Collects the time, ns by cost or wait.
    work : callable
        Does the work on a part in one step, and returns its counts.
    price : callable
        From the pages and counts of a part to its costs and its flushes under mmu_lock.
    shared : bool
        Whether the lock is held for read.
    freezes : bool
        Whether each entry that no longer points to a table is frozen for its flush.
    flushes_first : bool
        Whether what is owed is flushed before the lock is given up.
    """
    owed, price = False, cache(price)  # most parts are equal
    vm.scheduled_ns = vm.now
    if not vm.breaks_locks and not freezes:
        return (yield from walk_on(vm, slot, spent, work, price))
    parts = parts_of(slot, PAGES_PER_REGION ** (2 if vm.plan.backing == LEVEL_1G else 1))
    for number, part in enumerate(parts, 1):
        linked = linked_tables(vm, part) if freezes else set()
        done = work(part)
        owed = owed or done.changed
        counts, flushes = price(part.npages, done)
        gone = sorted(linked - linked_tables(vm, part), reverse=True) if freezes else []
        yield from spend_and_flush(vm, spent, pay(vm, counts, spent), flushes, gone[:flushes])
        if number < len(parts) and should_yield(vm):
            yield from give_way(vm, spent, owed and flushes_first, shared)
            owed = owed and not flushes_first
    return owed


def walk_on(
    vm: Vm, slot: MemSlot, spent: dict[str, int], work: Callable[[MemSlot], Walk], price: Price
) -> Generator[simpy.Event, Any, bool]:
    """Walk over the slot without giving way, in one piece or in several at the same price.

    Return whether a flush is still owed.
    """
    whole, pages, flushed = Walk(), 0, 0
    payment = PiecewisePayment(vm, spent)
    for piece in pieces_of(vm, slot):
        whole, pages = added(whole, work(piece)), pages + piece.npages
        counts, flushes = price(pages, whole)
        yield from spend_and_flush(vm, spent, payment.up_to(counts), flushes - flushed)
        flushed = flushes
    return whole.changed


class Rearmed(NamedTuple):
    """What clearing bits and re-arming their pages came to, in numbers of pages and leaves."""

    dirty: int = 0
    unmapped: int = 0  # of them; no small leaf maps these
    large: int = 0  # large leaves that were protected
    split_2m: int = 0
    split_1g: int = 0
    fresh: int = 0  # pages whose leaf a split has just made
    small: int = 0  # small leaves that were armed
    words: int = 0  # words of the bitmap that had bits

    @property
    def changed(self) -> bool:
        """Whether a TLB may now hold more than the tables allow."""
        return self.small + self.large + self.split_2m > 0


Counted = TypeVar("Counted", Walk, Rearmed)


def added(one: Counted, other: Counted) -> Counted:
    """Return the sum of the counts of two parts."""
    return type(one)(*map(add, one, other))


class PiecewisePayment:
    """Pays for an operation piece by piece; in the end it has paid what the whole costs."""

    def __init__(self, vm: Vm, spent: dict[str, int]) -> None:
        """Nothing is paid; `spent` collects the time."""
        self._vm, self._spent = vm, spent
        self._paid: dict[str, int] = {}

    def up_to(self, counts: log_operations.Counts) -> int:
        """Return the time in ns of what is done by now, `counts`, less what was paid before."""
        due: dict[str, int] = {}
        pay(self._vm, counts, due)
        before, self._paid = self._paid, due
        for cost in due | before:
            note(self._spent, cost, due.get(cost, 0) - before.get(cost, 0))
        return sum(due.values()) - sum(before.values())


def pieces_of(vm: Vm, part: MemSlot) -> list[MemSlot]:
    """Return the pieces in which a walk goes over a range: one, if nobody can observe half of
    it.
    """
    runs = any(v.process is not None for v in vm.vcpus)
    if vm.plan.tlb is None or vm.upper is not None or not runs:
        return [part]
    least = PAGES_PER_REGION ** (2 if vm.plan.backing == LEVEL_1G else 1)
    most = -(-vm.plan.slot.npages // (MOST_PIECES * PAGES_PER_REGION)) * PAGES_PER_REGION
    return parts_of(part, max(least, most))


def linked_tables(vm: Vm, part: MemSlot) -> set[tuple[int, int]]:
    """Return level (2 or 3) and index of each entry of a part that points to a table."""
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
    """Spend the `ns` of a part, evenly between the flushes that it needs.

    If no vCPU is in guest mode, flushes are only requested, and their time is paid together.
    `replaced` has level and index of entries that are replaced, one for each flush. Such an entry
    is frozen until its flush is over; the entries below it are processed before the flush, or since
    6.10 after it (tdp_mmu_zap_spte_atomic).
    """
    if not vm.awaits_any():
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
    """Tell whether the host thread gives mmu_lock up at this point of its walk
    (rwlock_needbreak).
    """
    return need_resched(vm) or (vm.plan.preemptible and vm.lock.waiters > 0)


def need_resched(vm: Vm) -> bool:
    """Tell whether another task, or the vCPU beside it, needs the host thread's processor."""
    return task_waits(vm) or (vm.processor is not None and vm.processor.host_is_due())


def task_waits(vm: Vm) -> bool:
    """Tell whether another task needs the host thread's processor."""
    every = vm.plan.need_resched_ns
    return every > 0 and vm.now // every > vm.scheduled_ns // every


def give_way(vm: Vm, spent: dict[str, int], owed: bool, shared: bool) -> Steps:
    """Give mmu_lock up and queue for it again at the tail.

    What is `owed` is flushed before. Meanwhile another task runs, if one waits for the processor.
    """
    if owed:
        started = vm.now
        yield from flush_remote(vm, vm.vcpus[0], recorder=False)
        note(spent, "flush", vm.now - started)
    vm.lock.release(HOST)
    vm.lock.breaks += 1
    if task_waits(vm):
        yield vm.spend(pay(vm, {"c_resched": 1.0}, spent))
        vm.scheduled_ns = vm.now
    yield vm.spend(pay(vm, {"c_yield": 1.0}, spent))
    yield from hold_mmu_lock(vm, HOST, spent, shared)
