"""Harvest and reset of the dirty rings: by the host thread, or by a vCPU whose ring is full."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import simpy

from mmusim.costs import log_operations
from mmusim.costs.machine import remote_lines
from mmusim.engine.processes.flush import flush_remote
from mmusim.engine.processes.lock_queue import in_queue
from mmusim.engine.processes.shared_processor import (
    host_gives_way,
    host_runs,
    host_sleeps,
    leave_processor,
    on_processor,
)
from mmusim.engine.state.vm import Steps, Vcpu, Vm
from mmusim.mmu.dirty_ring import masks
from mmusim.mmu.slot import rearm
from mmusim.trace.records import HOST
from mmusim.vocabulary.causes import RING_FULL
from mmusim.vocabulary.counters import RING_ENTRIES

NO_REGIONS = slice(0, 0)


def reap(
    vm: Vm, who: int, payer: Vcpu, spent: dict[str, int], only: Vcpu | None = None
) -> Generator[simpy.Event, Any, int]:
    """Harvest every ring, or `only` one, and reset them; return the number of entries.

    Source: KVM_RESET_DIRTY_RINGS. Entries are re-armed by masks of up to 64 neighbouring pages,
    each under its own hold of mmu_lock, and one flush follows. Costs of the flush are drawn from
    `payer`.
    """
    yield from hold_slots_lock(vm, who, spent)
    whose = vm.vcpus if only is None else [only]
    harvested = [v.ring.harvest() for v in whose if v.ring is not None]
    count = sum(map(len, harvested))
    vm.view.stat[RING_ENTRIES] += count
    yield vm.spend(pay(vm, log_operations.harvest(count), spent))
    for entries in harvested:
        yield from reset(vm, who if who >= 0 else HOST, list(masks(entries)), spent)
    if count:
        started = vm.now
        yield from flush_remote(vm, payer, recorder=False)
        note(spent, "flush", vm.now - started)
    release_slots_lock(vm, who)
    return count


def reset(vm: Vm, who: int, masks: list[list[int]], spent: dict[str, int]) -> Steps:
    """Re-arm entries mask by mask (lists of gfns), each under its own hold of mmu_lock.

    Of QEMU's threads one is in an ioctl at a time, so all of them hold it as the host. Masks during
    which nothing else happens are one event: nobody can tell them apart.
    """
    prices: dict[int, dict[str, int]] = {}  # number of entries -> what a mask of them costs
    for mask in masks:
        if len(mask) not in prices:
            owed = log_operations.reset_mask(vm.plan.kernel, vm.plan.choices, len(mask))
            pay(vm, owed, prices.setdefault(len(mask), {}))
    times = [sum(prices[len(mask)].values()) for mask in masks]
    ends = np.cumsum([0, *times])
    first = 0
    while first < len(masks):
        behind = int(np.searchsorted(ends, ends[first] + undisturbed_ns(vm))) - 1
        alone = behind > first
        if not alone:
            behind = first + 1
            yield from hold_mmu_lock(vm, who, spent)
        gfns = np.unique(np.concatenate([np.array(m, np.int64) for m in masks[first:behind]]))
        if rearm(vm.table, gfns, vm.pml):
            vm.revoke(gfns, NO_REGIONS)
        for mask in masks[first:behind]:
            for cost, ns in prices[len(mask)].items():
                note(spent, cost, ns)
        yield vm.spend(int(ends[behind] - ends[first]))
        if alone:
            vm.lock.was_held(times[first:behind])
        else:
            vm.lock.release(who)
        first = behind


def undisturbed_ns(vm: Vm) -> float:
    """Return for how many ns only the caller acts among those who can have mmu_lock; may be
    infinite.

    It is 0 where somebody could tell several holds from a long one: a probe, those who wait for the
    lock or for the processor, and writes under way that PML logs.
    """
    if vm.probe is not None or vm.processor is not None or vm.pml or vm.lock.held_n:
        return 0
    return vm.env.peek() - vm.now


def pay(vm: Vm, owed: log_operations.Counts, spent: dict[str, int]) -> int:
    """Return the time in ns of many operations in a row: of each cost its mean times the count,
    rounded.

    `owed` has the counts (:mod:`mmusim.costs.log_operations`).
    """
    total = 0
    if vm.remote:
        owed = {**owed, "t_line_remote": remote_lines(owed)}
    for cost, times in owed.items():
        ns = round(vm.plan.costs[cost].mean() * times)
        note(spent, cost, ns)
        total += ns
    return total


def note(spent: dict[str, int], what: str, ns: int) -> None:
    """Add `ns` to what is spent on a cost or wait."""
    if ns:
        spent[what] = spent.get(what, 0) + ns


def hold_slots_lock(vm: Vm, who: int, spent: dict[str, int]) -> Steps:
    """Take slots_lock, the mutex of all log ioctls. Who waits for it sleeps."""
    if who == HOST:
        yield from host_runs(vm, spent)
    asked = vm.now
    queued = vm.slots_lock.acquire(who)
    if queued is None:
        return
    sleeper = vm.vcpus[who] if who >= 0 and vm.vcpus[who].shares_processor else None
    if who == HOST:
        host_sleeps(vm)
    elif sleeper is not None:
        leave_processor(vm, sleeper)
    yield queued
    note(spent, "slots_lock_wait", vm.now - asked)
    if who == HOST:
        yield from host_runs(vm, spent)
    elif sleeper is not None:
        vm.charge(sleeper, RING_FULL, sleeper.charged_ns, vm.now)
        yield from on_processor(vm, sleeper)


def release_slots_lock(vm: Vm, who: int) -> None:
    """Release slots_lock: the log operation is over."""
    vm.slots_lock.release(who)
    if who == HOST:
        host_sleeps(vm)


def hold_mmu_lock(vm: Vm, who: int, spent: dict[str, int], shared: bool = False) -> Steps:
    """Take mmu_lock as the actor `who`: for write, or for read if it is a rwlock and `shared`."""
    if who == HOST:
        yield from host_gives_way(vm, spent)
    asked = vm.now
    queued = vm.lock.acquire(who, shared)
    if queued is not None:
        yield from in_queue(vm, None, queued)
    if who == HOST:
        vm.lock.host_got()
    note(spent, "mmu_lock_wait", vm.now - asked)
