"""Remote TLB flushes: kvm_flush_remote_tlbs, and what it is to be hit by one."""

from __future__ import annotations

from typing import Any, Final

import simpy

from mmusim.engine.vm import FLUSH_EXIT, FLUSH_WAIT, TLB_FLUSH, Steps, Vcpu, Vm
from mmusim.mmu.counters import REMOTE_TLB_FLUSH, REMOTE_TLB_FLUSH_REQUESTS
from mmusim.mmu.slot import flushed

NOTHING: Final = slice(0, 0)


def flush_remote(
    vm: Vm, by: Vcpu, *, pages: Any = NOTHING, regions: slice = NOTHING, host: bool = False
) -> Steps:
    """Ask every vCPU to flush and wait until those in guest mode have left it.

    The initiator keeps whatever locks it holds. `by` pays (its streams are drawn from; for the
    `host` thread those of vCPU 0), and only vCPUs in guest mode are waited for: all others
    honour the request before they enter. So from this instant on no access begins that uses
    what was taken back from `pages` and `regions`.
    """
    vm.view.stat[REMOTE_TLB_FLUSH_REQUESTS] += 1
    vm.view.stat[REMOTE_TLB_FLUSH] += 1
    started = vm.now
    acks = []
    for v in vm.vcpus:
        v.flush_requested = True
        if v.in_guest:
            acks.append(kick(vm, v))
    flushed(vm.table, pages, regions)
    vm.unflushed = False
    n = by.flushes
    by.flushes += 1
    yield vm.spend(by.c_flush_init.at(n) + len(acks) * by.c_flush_target.at(n))
    for ack in acks:
        if not ack.processed:
            if not host:
                by.waits_for = "acknowledgements of a TLB flush"
            yield ack
    by.waits_for = ""
    if not host:
        by.books.ledger[FLUSH_WAIT] += vm.now - started


def kick(vm: Vm, v: Vcpu) -> simpy.Event:
    """Force a vCPU out of guest mode; return the event of its having left."""
    assert v.process is not None
    v.in_guest = False
    v.ack = vm.env.event()
    v.process.interrupt()
    return v.ack


def answer_kick(vm: Vm, v: Vcpu, index: int) -> Steps:
    """Leave the guest, acknowledge, flush and enter again."""
    assert v.ack is not None
    exit_ns = v.c_exit.at(index)
    yield vm.spend(exit_ns)
    v.ack.succeed()
    v.ack = None
    v.books.ledger[FLUSH_EXIT] += exit_ns
    yield from enter_guest(vm, v, v.c_entry.at(index), FLUSH_EXIT, index)


def enter_guest(vm: Vm, v: Vcpu, entry_ns: int, cause: int, index: int) -> Steps:
    """Serve what was requested, then enter; time of the entry is booked under `cause`."""
    ledger = v.books.ledger
    while True:
        if v.flush_requested:
            v.flush_requested = False
            ns = v.c_tlb_flush.at(index)
            if ns:
                yield vm.spend(ns)
            ledger[TLB_FLUSH] += ns
        if entry_ns:
            yield vm.spend(entry_ns)
            ledger[cause] += entry_ns
        if not v.flush_requested:
            break
        entry_ns = 0  # the request came during the entry, which is broken off and made good
    v.in_guest = True
