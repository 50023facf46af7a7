"""A vCPU: it touches memory, and faults for as long as the tables forbid it, as hardware does.

Read this file first: with ``page_fault.py`` and ``host/`` it is the algorithm under study.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

import simpy

from mmusim.base.errors import LivelockError
from mmusim.engine.processes.guest_mode import (
    answer_kick,
    drain_pml,
    enter_guest,
    halt,
    pml_full,
)
from mmusim.engine.processes.page_fault import LOST_RACE, page_fault
from mmusim.engine.processes.shared_processor import leave_processor
from mmusim.engine.state.guest_run import GuestRun
from mmusim.engine.state.rate_run import RateRun
from mmusim.engine.state.virtual_cpu import REPLAN
from mmusim.engine.state.vm import Steps, Vcpu, Vm
from mmusim.engine.state.vmm import GuestGoneError
from mmusim.mmu.dirty_ring import PML_ENTRIES
from mmusim.mmu.page_table import leaf, permits
from mmusim.mmu.spte import Spte
from mmusim.mmu.upper_levels import armed
from mmusim.plan.make import Program
from mmusim.vocabulary.causes import PASS

PATIENCE: Final = 16
"""Faults on one access, lost races apart, before the guest is declared to make no progress."""


def vcpu(vm: Vm, v: Vcpu, program: Program, laps: Iterator[Program]) -> Steps:
    """Run a program from the first access to the last, then each that `laps` yields.

    Raises
    ------
    LivelockError
        If one access faults PATIENCE times in a row, lost races apart.
    """
    v.begin(vm.now)
    vm.runs(v)
    v.run = way_through(vm, v, program, vm.now)
    pass_ns = v.t_pass.at(v.run.index)
    v.left_ns = vm.now + pass_ns  # it is no stall
    if pass_ns:
        yield vm.spend_on(v, PASS, pass_ns)
    with suppress(GuestGoneError):
        yield from enter_guest(vm, v, 0, PASS, v.run.index)
        yield from go_through(vm, v, v.run)
        while begin_lap(vm, v, laps):
            yield from go_through(vm, v, v.run)

    run = leave_program(v)
    if v.in_guest:
        vm.left_guest(v)
        v.count_exit()
    if v.pml:
        yield from drain_pml(vm, v, run.index)
    vm.rests(v)
    if v.shares_processor:
        leave_processor(vm, v)
    end_program(vm, v, run.length)


def way_through(vm: Vm, v: Vcpu, program: Program, began_ns: int) -> GuestRun | RateRun:
    """Return a vCPU's progress through a program that begins at `began_ns`: by accesses, or by
    rates.
    """
    if program.points is not None:
        return RateRun(vm, v, program)
    return GuestRun(vm, v, program, began_ns)


def begin_lap(vm: Vm, v: Vcpu, laps: Iterator[Program]) -> bool:
    """Begin the next program, if there is one, when the one before is over; return whether there
    was.
    """
    program = next(laps, None)
    if program is not None:
        v.run = way_through(vm, v, program, v.run.over_ns)
    return program is not None


def leave_program(v: Vcpu) -> Any:
    """Return the progress through the program that is over; from now on the vCPU is in none."""
    run, v.run = v.run, None
    return run


def end_program(vm: Vm, v: Vcpu, length: int) -> None:
    """Record how a vCPU has ended, after `length` accesses of its last program."""
    v.stalls.add(v.left_ns, vm.now)
    v.recorder.end(v.stalls, v.started_ns, vm.now)
    vm.fingerprint.add(vm.now, v.number, length)


def go_through(vm: Vm, v: Vcpu, run: GuestRun | RateRun) -> Steps:
    """Make every access of a program; a fault is handled and the access tried again.

    Raises
    ------
    LivelockError
        If one access faults PATIENCE times in a row, lost races apart.
    """
    stuck_at, faults = -1, 0
    while run.k < run.length:
        if run.halts_until:
            yield from halt(vm, v, run)
        elif run.plan():
            yield from touch(vm, v, run)
        elif run.access[1] and permits(vm.view, run.access[0], True):
            yield from logged_write(vm, v, run)
        else:
            if run.k != stuck_at:
                stuck_at, faults = run.k, 0
            if faults == PATIENCE:
                raise no_progress(vm, v, *run.access)
            run.faulted(vm.now)
            outcome = yield from page_fault(vm, v, run)
            faults += outcome != LOST_RACE
            vm.fingerprint.add(vm.now, v.number, run.index, outcome)
            if vm.probe is not None:
                vm.changed(v.number)


def touch(vm: Vm, v: Vcpu, run: GuestRun | RateRun) -> Steps:
    """Spend a planned run of hits in the guest, unless a kick ends it early."""
    start = run.begin()
    while True:
        try:
            yield vm.spend_in_guest(start + run.total_ns - vm.now, v)
        except simpy.Interrupt as interrupt:
            if interrupt.cause == REPLAN:
                run.shorten(vm.now - start)
                continue
            done, until = run.cut(vm.now - start)
            if start + until > vm.now:
                yield vm.spend(start + until - vm.now)
            run.commit(done, until)
            yield from answer_kick(vm, v, run.index)
        else:
            run.commit(run.count, run.total_ns)
        return


def logged_write(vm: Vm, v: Vcpu, run: GuestRun | RateRun) -> Steps:
    """Write to a page that is armed for PML: no fault, but an entry in the buffer.

    If the buffer is full, the vCPU exits first and tries the write again.
    """
    if len(v.pml) == PML_ENTRIES:
        run.faulted(vm.now)
        yield from pml_full(vm, v, run.index)
        vm.fingerprint.add(vm.now, v.number, run.index)
        return
    run.plan_logged()
    yield from touch(vm, v, run)


def no_progress(vm: Vm, v: Vcpu, gfn: int, write: bool) -> LivelockError:
    """Return the error that names the access, the entry and the policy."""
    kind = "write" if write else "read"
    spte = Spte.from_bits(*leaf(vm.view, gfn))
    above = ""
    if vm.upper is not None and armed(vm.upper, gfn):
        above = ", below an entry of the table above it that is write-protected,"
    return LivelockError(
        f"vCPU {v.number} makes no progress: its {kind} of gfn {gfn} faulted {PATIENCE} times in a "
        f"row, last at {vm.now} ns, and the spte{above} is still {spte} under policy "
        f"{vm.plan.policy.name!r}"
    )
