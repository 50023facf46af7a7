"""A vCPU: it touches memory, and faults for as long as the tables forbid it, as hardware does.

Read this file first: with ``host.py`` it is the algorithm under study.
"""

from __future__ import annotations

from typing import Final

import simpy

from mmusim.engine.flush import answer_kick, enter_guest, flush_remote
from mmusim.engine.guest_run import GuestRun
from mmusim.engine.vm import (
    DROP_LARGE,
    FAULT_FAST,
    FAULT_SLOW,
    PASS,
    TABLE_ALLOC,
    Outcome,
    Steps,
    Vcpu,
    Vm,
)
from mmusim.errors import LivelockError
from mmusim.mmu import fault as mmu
from mmusim.mmu.counters import PF_SPURIOUS, PF_TAKEN
from mmusim.mmu.page_table import has_table, hit_level, leaf, target_level
from mmusim.mmu.spte import ACCESS, PRESENT, WRITABLE, Spte
from mmusim.plan import Program
from mmusim.units import PAGES_PER_REGION

PATIENCE: Final = 16
"""Faults on one access before the guest is declared to make no progress."""

FAST, SLOW, SPURIOUS, LOST_RACE, NOT_FAST = range(5)  # outcomes of a fault, or of its fast path


def vcpu(vm: Vm, v: Vcpu, program: Program) -> Steps:
    """Run a program from the first access to the last."""
    started = vm.now
    run = GuestRun(vm, v, program)
    pass_ns = v.t_pass.at(run.index)
    if pass_ns:
        yield vm.spend(pass_ns)
    v.books.ledger[PASS] += pass_ns
    yield from enter_guest(vm, v, 0, PASS, run.index)

    stuck_at, faults = -1, 0
    while run.k < run.length:
        if run.plan():
            yield from touch(vm, v, run)
            continue
        if run.k != stuck_at:
            stuck_at, faults = run.k, 0
        faults += 1
        if faults > PATIENCE:
            raise no_progress(vm, v, run)
        run.faulted(vm.now)
        outcome = yield from page_fault(vm, v, run)
        vm.fingerprint.add(vm.now, v.number, run.index, outcome)

    v.in_guest = False
    v.books.vcpu_ns += vm.now - started
    v.books.close()
    vm.fingerprint.add(vm.now, v.number, run.length)


def touch(vm: Vm, v: Vcpu, run: GuestRun) -> Steps:
    """Spend a planned run of hits in the guest, unless a kick cuts it short."""
    start = vm.now
    try:
        yield vm.spend_in_guest(run.total_ns, v)
    except simpy.Interrupt:
        done, until = run.cut(vm.now - start)
        if start + until > vm.now:
            yield vm.spend(start + until - vm.now)
        run.commit(done, until, start)
        yield from answer_kick(vm, v, run.index)
    else:
        run.commit(run.count, run.total_ns, start)


def page_fault(vm: Vm, v: Vcpu, run: GuestRun) -> Outcome:
    """tdp_page_fault, kvm_tdp_page_fault: returning means that the guest retries the access."""
    gfn, write, index = run.gfn[run.k], run.write[run.k], run.index
    seen_present = leaf(vm.view, gfn)[1] & PRESENT  # the error code of the fault
    v.in_guest = False
    vm.view.stat[PF_TAKEN] += 1
    exit_ns = v.c_exit.at(index)

    if write and seen_present:
        yield vm.spend(exit_ns)
        outcome = yield from fast_page_fault(vm, v, gfn, index, exit_ns)
        if outcome != NOT_FAST:
            return outcome

    whole = v.c_fault_slow.at(index)
    locked, entry = int(whole * vm.slow.locked), int(whole * vm.slow.entry)
    outside = max(0, round(whole * vm.slow.after_exit) - locked - entry)
    ledger = v.books.ledger
    ledger[FAULT_SLOW] += exit_ns + outside + locked
    before_lock = outside if write and seen_present else exit_ns + outside
    yield vm.spend(before_lock)  # top up caches, gfn to pfn
    queued = vm.take_mmu_lock(v)
    if queued is not None:
        yield from vm.in_queue(v, queued)
    if hit_level(vm.view, gfn, write, False):  # another vCPU was faster
        yield vm.spend(locked)
        vm.view.stat[PF_SPURIOUS] += 1
        outcome = SPURIOUS
    else:
        yield from direct_map(vm, v, gfn, index, locked)
        outcome = SLOW
    vm.lock.release(v.number)
    yield from enter_guest(vm, v, entry, FAULT_SLOW, index)
    return outcome


def fast_page_fault(vm: Vm, v: Vcpu, gfn: int, index: int, exit_ns: int) -> Outcome:
    """Restore W by compare-exchange, without mmu_lock, where that is allowed."""
    level, entry = leaf(vm.view, gfn)
    tracked = vm.tracks(gfn)
    allowed = entry & (PRESENT | WRITABLE) == PRESENT | WRITABLE
    if not allowed:
        if not vm.policy.fast_path[tracked][level - 1][entry & ACCESS]:
            return NOT_FAST
        target = target_level(vm.view, gfn, tracked, vm.plan.huge)
        if level < target and vm.plan.kernel.fast_fault_at_target_level_only:
            return NOT_FAST
    whole = v.c_fault_fast.at(index)
    entry_ns = int(whole * vm.fast.entry)
    handler = max(0, round(whole * vm.fast.after_exit) - entry_ns)
    v.books.ledger[FAULT_FAST] += exit_ns + handler
    yield vm.spend(handler)
    if allowed:
        vm.view.stat[PF_SPURIOUS] += 1
        outcome = SPURIOUS
    elif leaf(vm.view, gfn) == (level, entry):
        mmu.fix_lockless(vm.view, gfn, level, vm.tracks(gfn))
        outcome = FAST
    else:
        outcome = LOST_RACE
    yield from enter_guest(vm, v, entry_ns, FAULT_FAST, index)
    return outcome


def direct_map(vm: Vm, v: Vcpu, gfn: int, index: int, locked_ns: int) -> Steps:
    """Install the mapping under mmu_lock (__direct_map), at 4 KiB in a slot that logs."""
    region, ledger = gfn >> 9, v.books.ledger
    tracked = vm.tracks(gfn)
    if target_level(vm.view, gfn, tracked, vm.plan.huge) == 2:
        yield vm.spend(locked_ns)
        if mmu.map_large(vm.view, region, vm.plan.keep_child):
            yield from flush_remote(vm, v)
        return

    if vm.view.region[region] & PRESENT:
        yield from drop_large_spte(vm, v, region, index)
    alloc_ns = 0 if has_table(vm.view, region) else v.c_alloc_table.at(index)
    ledger[TABLE_ALLOC] += alloc_ns
    yield vm.spend(locked_ns + alloc_ns)
    mmu.link_table(vm.view, region)
    mmu.map_small(vm.view, gfn, tracked)
    if not tracked:
        mmu.prefetch_small(vm.view, gfn)


def drop_large_spte(vm: Vm, v: Vcpu, region: int, index: int) -> Steps:
    """Zap the large spte over the faulting page and flush at once, under mmu_lock."""
    zap_ns = v.c_zap_large.at(index)
    v.books.ledger[DROP_LARGE] += zap_ns
    yield vm.spend(zap_ns)
    pages = slice(region * PAGES_PER_REGION, (region + 1) * PAGES_PER_REGION)
    if v.books.touched is not None:
        v.books.read_before_drop.append(int(v.books.touched[pages].sum()))
    mmu.drop_large(vm.view, region)
    vm.unflushed = True
    yield from flush_remote(vm, v, regions=slice(region, region + 1))


def no_progress(vm: Vm, v: Vcpu, run: GuestRun) -> LivelockError:
    """Build the error that names the access, the entry and the policy."""
    gfn, kind = run.gfn[run.k], "write" if run.write[run.k] else "read"
    spte = Spte.from_bits(*leaf(vm.view, gfn))
    return LivelockError(
        f"vCPU {v.number} makes no progress: its {kind} of gfn {gfn} faulted {PATIENCE} times in a "
        f"row, last at {vm.now} ns, and the spte is still {spte} under policy "
        f"{vm.plan.policy.name!r}"
    )
