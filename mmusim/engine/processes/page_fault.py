"""A page fault of a vCPU: the lockless path where it is allowed, else the map under mmu_lock.

Sources: ``direct_page_fault``, ``kvm_tdp_page_fault``, ``fast_page_fault``, ``__direct_map``,
``kvm_tdp_mmu_map``; ``domain`` section C.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import simpy

from mmusim.engine.processes.entries import (
    NO_ENTRIES,
    blocking_level,
    count_reads_before_drop,
    frozen,
    make_resident,
    regions_under,
    under,
)
from mmusim.engine.processes.flush import flush_remote, replan
from mmusim.engine.processes.guest_mode import drain_pml, enter_guest, leave_handler
from mmusim.engine.processes.lock_queue import in_queue
from mmusim.engine.state.guest_run import GuestRun
from mmusim.engine.state.rate_run import RateRun
from mmusim.engine.state.vm import Outcome, Steps, Vcpu, Vm
from mmusim.mmu import fault as mmu
from mmusim.mmu.page_table import lacks_tables, leaf, permits, target_level
from mmusim.mmu.spte import ACCESS, LEAF, LEVEL_1G, PRESENT, WRITABLE, Edit
from mmusim.mmu.upper_levels import armed, push_down
from mmusim.vocabulary.causes import (
    CLEAR_WAIT,
    DROP_LARGE,
    FAULT_FAST,
    FAULT_SLOW,
    MMAP_WAIT,
    MMU_LOCK_WAIT,
    SPLIT_LARGE,
    TABLE_ALLOC,
)
from mmusim.vocabulary.counters import NX_LPAGE_SPLITS, PF_SPURIOUS, PF_TAKEN

FAST, SLOW, SPURIOUS, LOST_RACE, NOT_FAST = range(5)  # outcomes of a fault, or of its fast path


def page_fault(vm: Vm, v: Vcpu, run: GuestRun | RateRun) -> Outcome:
    """Handle a page fault; when it returns, the guest tries the access again.

    Sources: tdp_page_fault, kvm_tdp_page_fault. Return one of FAST, SLOW, SPURIOUS, LOST_RACE.
    """
    (gfn, write), index = run.access, run.index
    seen_level, seen = leaf(vm.view, gfn)
    seen_present = seen & PRESENT  # the error code of the fault
    vm.left_guest(v)
    v.count_exit()
    v.handling = True
    vm.view.stat[PF_TAKEN] += 1
    if v.pml:
        yield from drain_pml(vm, v, index)
    exit_ns = v.c_exit.at(index)
    if vm.in_flight_ns:
        v.leaving_ns = vm.now + min(exit_ns, vm.in_flight_ns)
    tries_fast = write and seen_present and vm.fast_faults

    if tries_fast:
        began = vm.now
        yield vm.spend(exit_ns)
        outcome = yield from fast_page_fault(vm, v, gfn, index, began)
        if outcome != NOT_FAST:
            return outcome

    whole = v.c_fault_slow.at(index)
    locked, entry = int(whole * vm.slow.locked), int(whole * vm.slow.entry)
    outside = max(0, round(whole * vm.slow.after_exit) - locked - entry)
    outside, entry = vm.work(outside), vm.work(entry)
    if seen_present and seen_level == 1:
        locked = int(whole * vm.slow.restored)
    if vm.guest is not None:
        outside += v.c_walk_guest.at(index)
    tracked = vm.tracks(gfn)  # the memslot is looked up once; SRCU keeps it until leave_handler
    if tries_fast:
        vm.charge(v, FAULT_SLOW, began, vm.now)
        yield vm.spend_on(v, FAULT_SLOW, outside)  # top up caches, gfn to pfn
    else:
        yield vm.spend_on(v, FAULT_SLOW, exit_ns + outside)
    if vm.user_faults is not None:
        yield from vm.user_faults.fault(v, gfn, write, index)
    if vm.first_touch is not None and not vm.resident[gfn]:
        yield from get_memory(vm, v)
    if vm.shares:
        yield from count_reader(vm, v)
    queued = vm.lock.acquire(v.number, shared=vm.tdp)
    if queued is not None:
        yield from in_queue(vm, v, queued)
    if permits(vm.view, gfn, write):  # another vCPU was faster
        yield vm.spend_on(v, FAULT_SLOW, locked)
        vm.view.stat[PF_SPURIOUS] += 1
        outcome = SPURIOUS
    else:
        outcome = yield from map_page(vm, v, gfn, write, index, tracked, locked)
    vm.lock.release(v.number)
    if vm.shares:
        yield from count_reader(vm, v)
    leave_handler(v)
    yield from enter_guest(vm, v, entry, FAULT_SLOW, index)
    return outcome


def count_reader(vm: Vm, v: Vcpu) -> Steps:
    """Get the cache line of the reader count, to enter or to leave mmu_lock held for read."""
    waits = vm.lock.count_readers()
    if waits:
        vm.rests(v)
        yield vm.spend_on(v, MMU_LOCK_WAIT, waits)
        vm.runs(v)


def get_memory(vm: Vm, v: Vcpu) -> Steps:
    """Wait until the host has found and cleared memory for a page (hva_to_pfn, handle_mm_fault)."""
    assert vm.first_touch is not None
    count, clear = vm.first_touch.waits(vm.now)
    if count + clear:
        vm.rests(v)
        vm.charge(v, MMAP_WAIT, vm.now, vm.now + count)
        vm.charge(v, CLEAR_WAIT, vm.now + count, vm.now + count + clear)
        yield vm.spend(count + clear)
        vm.runs(v)


def fast_page_fault(vm: Vm, v: Vcpu, gfn: int, index: int, began: int) -> Outcome:
    """Restore W by compare-exchange, without mmu_lock, where allowed; the exit was at `began`.

    Return FAST, SPURIOUS or LOST_RACE, or NOT_FAST if nothing was done.
    """
    level, entry = leaf(vm.view, gfn)
    tracked = vm.tracks(gfn)
    allowed = entry & (PRESENT | WRITABLE) == PRESENT | WRITABLE
    if not allowed:
        if len(vm.held) and vm.held[gfn]:
            return NOT_FAST  # not host-writable
        if not vm.policy.fast_path[tracked][level > 1][entry & ACCESS]:
            return NOT_FAST
        target = target_level(vm.view, gfn, tracked, vm.plan.backing)
        if level < target and vm.plan.kernel.fast_fault_at_target_level_only():
            return NOT_FAST
        if vm.upper is not None and armed(vm.upper, gfn):
            return NOT_FAST
    whole = v.c_fault_fast.at(index)
    entry_ns = int(whole * vm.fast.entry)
    handler = max(0, round(whole * vm.fast.after_exit) - entry_ns)
    vm.charge(v, FAULT_FAST, began, vm.now)
    yield vm.spend_on(v, FAULT_FAST, handler)
    if allowed:
        vm.view.stat[PF_SPURIOUS] += 1
        outcome = SPURIOUS
    elif unchanged(vm, gfn, level, entry):
        mmu.fix_lockless(vm.view, gfn, level, tracked)
        if tracked:
            vm.mark_dirty(v, gfn)
        outcome = FAST
    else:
        outcome = LOST_RACE
    leave_handler(v)
    yield from enter_guest(vm, v, entry_ns, FAULT_FAST, index)
    return outcome


def unchanged(vm: Vm, gfn: int, level: int, entry: int) -> bool:
    """Tell whether the spte over `gfn` is what it was; whether it is logged or sent is no part of
    it.
    """
    level_now, entry_now = leaf(vm.view, gfn)
    return level_now == level and entry_now & LEAF == entry & LEAF


def map_page(
    vm: Vm, v: Vcpu, gfn: int, write: bool, index: int, tracked: bool, locked_ns: int
) -> Outcome:
    """Install the mapping under mmu_lock (__direct_map, kvm_tdp_mmu_map), small in a tracked slot.

    The lock is shared in the TDP MMU: what others may have done during each wait is looked at
    again, as compare-exchange does it in the kernel.
    """
    view, region = vm.view, gfn >> 9
    if vm.frozen and frozen(vm, gfn):
        yield vm.spend_on(v, FAULT_SLOW, max(1, locked_ns))
        return LOST_RACE
    level = target_level(view, gfn, tracked, vm.plan.backing)
    bits = LEAF
    if vm.guest is not None:
        bits, unlinked = vm.guest.walk(view, gfn, write)
        if unlinked:
            vm.revoke(under(vm, gfn, max(2, vm.plan.backing)), NO_ENTRIES)
            yield from flush_remote(vm, v)
    if len(vm.held) and vm.held[gfn]:
        bits = PRESENT
    if blocking_level(vm, gfn, level):
        made = yield from make_room(vm, v, gfn, level, index)
        if not made:
            return LOST_RACE
    alloc_ns = lacks_tables(view, gfn, level) * v.c_alloc_table.at(index)
    push_ns = 0
    if vm.upper is not None and write and vm.plan.policy.protects_root:
        cleared = push_down(vm.upper, view, gfn)
        push_ns = round(vm.plan.costs["c_wclear"].mean() * cleared)
    if alloc_ns:
        mapping = vm.now + alloc_ns
        vm.charge(v, TABLE_ALLOC, vm.now, mapping)
        vm.charge(v, FAULT_SLOW, mapping, mapping + locked_ns + push_ns)
        yield vm.spend(alloc_ns + locked_ns + push_ns)
    else:
        yield vm.spend_on(v, FAULT_SLOW, locked_ns + push_ns)
    if vm.tdp:
        if permits(view, gfn, write):
            view.stat[PF_SPURIOUS] += 1
            return SPURIOUS
        if frozen(vm, gfn) or blocking_level(vm, gfn, level):
            return LOST_RACE

    if len(vm.resident) and not vm.resident[gfn]:
        make_resident(vm, gfn)
    mmu.link_tables(view, gfn, level)
    if level > 1:
        if vm.upper is not None:
            vm.upper.had_large[gfn >> 18] = True
        if mmu.map_large(view, gfn, level, vm.plan.keep_child, bits):
            vm.revoke(under(vm, gfn, level), regions_under(vm, gfn, level))
            yield from flush_remote(vm, v)
        return SLOW
    if mmu.map_small(view, gfn, tracked, bits):
        vm.mark_dirty(v, gfn)
    elif not vm.tdp and vm.user_faults is None:
        mmu.prefetch_small(view, gfn, vm.resident, bits)
    if vm.upper is not None and vm.plan.policy.protects_tables and vm.upper.region[region]:
        view.page[gfn] &= ~WRITABLE & 0xFF  # the leaf is in order, the entry above it is not
    if region in vm.nx_small and vm.plan.backing > 1 and not tracked:
        vm.nx_small.discard(region)
        view.stat[NX_LPAGE_SPLITS] += 1
    return SLOW


def make_room(
    vm: Vm, v: Vcpu, gfn: int, level: int, index: int
) -> Generator[simpy.Event, Any, bool]:
    """Drop or split the large sptes that are in the way of a mapping at `level`.

    A drop freezes the entry until its flush is over. A split does not: it fills a table of its own,
    and fails if the entry has changed by then. Tell whether there is room.
    """
    while blocking := blocking_level(vm, gfn, level):
        if vm.policy.blocked == Edit.SPLIT:
            split = yield from split_large_spte(vm, v, gfn, blocking, index)
            if not split:
                return False
            continue
        vm.freeze(blocking, gfn >> 9 * (blocking - 1), on=True)
        yield from drop_large_spte(vm, v, gfn, blocking, index)
        vm.freeze(blocking, gfn >> 9 * (blocking - 1), on=False)
    return True


def drop_large_spte(vm: Vm, v: Vcpu, gfn: int, level: int, index: int) -> Steps:
    """Zap the large spte of `level` 2 or 3 over the faulting page and flush at once, under
    mmu_lock.
    """
    zap_ns = v.c_zap_large.at(index)
    yield vm.spend_on(v, DROP_LARGE, zap_ns)
    count_reads_before_drop(vm, v, gfn, level)
    mmu.drop_large(vm.view, gfn, level)
    vm.revoke(NO_ENTRIES, regions_under(vm, gfn, level))
    yield from flush_remote(vm, v)


def split_large_spte(
    vm: Vm, v: Vcpu, gfn: int, level: int, index: int
) -> Generator[simpy.Event, Any, bool]:
    """Put a table of 512 small sptes in the place of a large one; nobody needs to flush.

    Only the TDP MMU does this in a fault (tdp_mmu_split_huge_page). Tell whether the
    compare-exchange of the large spte succeeded; who comes second has filled a table for nothing.
    """
    before = leaf(vm.view, gfn)[1] & LEAF
    split_ns = v.c_split_1G.at(index) if level == LEVEL_1G else v.c_tdp_split_2M.at(index)
    yield vm.spend_on(v, SPLIT_LARGE, split_ns)
    level_now, now = leaf(vm.view, gfn)
    if level_now != level or now & LEAF != before:
        return False
    mmu.split_large(vm.view, gfn, level)
    replan(vm, v)
    return True
