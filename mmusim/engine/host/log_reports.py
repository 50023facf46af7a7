"""Reports of dirty pages: KVM_GET_DIRTY_LOG, KVM_CLEAR_DIRTY_LOG, the dirty rings.

Sources: ``kvm_get_dirty_log_protect``, ``kvm_clear_dirty_log_protect``,
``kvm_arch_mmu_enable_log_dirty_pt_masked``; times by :mod:`mmusim.costs.log_operations`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from typing import Any

import numpy as np
import simpy

from mmusim.base.units import PAGE
from mmusim.config.driver import Clear, Phase, Sync
from mmusim.costs import log_operations
from mmusim.costs.random_streams import Ints
from mmusim.engine.host.destination import send
from mmusim.engine.host.host import Host
from mmusim.engine.host.rearm import (
    among,
    clear_and_rearm,
    clear_split_by_split,
    splits_as_it_clears,
    take_and_rearm,
)
from mmusim.engine.processes.dirty_rings import (
    hold_mmu_lock,
    hold_slots_lock,
    reap,
    release_slots_lock,
)
from mmusim.engine.processes.flush import kick_all
from mmusim.engine.processes.shared_processor import host_runs
from mmusim.engine.state.vm import Steps, Vm
from mmusim.mmu import slot as mmu
from mmusim.mmu.slot import MemSlot, Which
from mmusim.mmu.spte import LOGGED, STALE
from mmusim.policies import Reporting
from mmusim.trace.records import HOST


def sync_dirty_log(vm: Vm, host: Host, phase: Phase, record: dict[str, Any]) -> Steps:
    """Read the dirty pages, re-arm and send them, by the interface that the policy uses.

    Where user space clears separately, it does so in requests of ``phase.chunk`` bytes.
    """
    assert isinstance(phase, Sync)
    if vm.plan.choices.reporting is Reporting.DIRTY_RING:
        yield from harvest_ring(vm, host, phase, record)
        return
    yield from hold_slots_lock(vm, HOST, host.spent)
    yield from get_dirty_log(vm, host, phase, record)
    if vm.plan.choices.reporting is not Reporting.GET_CLEARS:
        yield from clear_in_chunks(vm, host, phase.chunk)
    release_slots_lock(vm, HOST)


def get_dirty_log(vm: Vm, host: Host, phase: Phase, record: dict[str, Any]) -> Steps:
    """Read the log of one slot after the other, from the lowest on (KVM_GET_DIRTY_LOG).

    Adds ``dirty`` and ``false_dirty``, in pages, to `record`.
    """
    del phase
    if not vm.tracked:
        return
    record |= {"dirty": 0, "false_dirty": 0}
    read = np.empty_like(host.bitmap)
    for slot in vm.plan.log_slots:
        yield from get_log_of(vm, host, slot, record, read)
    host.has_bitmap = True
    host.bitmap = read


def get_log_of(vm: Vm, host: Host, slot: MemSlot, record: dict[str, Any], read: Which) -> Steps:
    """Report a slot. Put its bits into `read` where user space clears them separately; else clear
    and re-arm the pages.

    `read` has shape (pages of the VM's memory that is logged,).
    """
    clears, gfns = vm.plan.choices.reporting is Reporting.GET_CLEARS, None

    def take(piece: MemSlot) -> Ints:
        gfns = mmu.fetch_dirty(vm.table, piece)
        report(vm, host, gfns, None, record)
        return gfns

    yield vm.spend(host.once("c_get_floor"))
    yield from drain_buffers(vm, host)
    if clears:
        yield from hold_mmu_lock(vm, HOST, host.spent)
        gfns = yield from take_and_rearm(vm, host, slot, take)
    else:
        bits = mmu.log_of(vm.table, slot)
        read[vm.plan.slot.within(slot)] = bits
        report(vm, host, slot.pages, bits, record)
    copied = host.pay(log_operations.copy(slot.npages))
    if not host.has_bitmap and host.follows("bitmaps"):
        copied += host.pay(log_operations.fault_in_bitmap(slot.npages))
    yield vm.spend(copied)
    if gfns is not None:
        send(vm, gfns)


def report(
    vm: Vm, host: Host, pages: Ints | slice, bits: Which | None, record: dict[str, Any]
) -> None:
    """Record the pages that are reported dirty, and those of them that are not (false dirty).

    They are those of `pages`, gfns or a slice of them, whose bit is set in `bits`, or all.
    """
    vm.settle()
    clean = (vm.table.page[pages] & STALE) == 0
    dirty = len(clean) if bits is None else int(np.count_nonzero(bits))
    if bits is not None:
        clean &= bits
    false = int(np.count_nonzero(clean))
    record["dirty"] = record.get("dirty", 0) + dirty
    record["false_dirty"] = record.get("false_dirty", 0) + false
    host.reported += dirty
    host.false += false


def drain_buffers(vm: Vm, host: Host) -> Steps:
    """Kick the vCPUs so that they drain PML buffers (kvm_arch_sync_dirty_log); do not wait.

    Some kernels kick them without PML too.
    """
    if vm.pml or vm.plan.kernel.kicks_before_reports():
        yield vm.spend(host.pay(log_operations.kick(kick_all(vm))))


def clear_dirty_log(vm: Vm, host: Host, phase: Phase, record: dict[str, Any]) -> Steps:
    """Clear what the last get reported, one request a chunk (KVM_CLEAR_DIRTY_LOG)."""
    del record
    assert isinstance(phase, Clear)
    yield from clear_in_chunks(vm, host, phase.chunk)


def clear_in_chunks(vm: Vm, host: Host, chunk_bytes: int | None) -> Steps:
    """Clear what the last get reported, chunk by chunk; each is sent once it is armed again.

    `chunk_bytes` is the guest memory of one request; None: the whole slot.
    """
    if not vm.tracked:
        return
    slot = vm.plan.slot
    chunk = chunk_bytes // PAGE if chunk_bytes else slot.npages
    for first in range(slot.base_gfn, slot.base_gfn + slot.npages, chunk):
        send(vm, (yield from clear_chunk(vm, host, first, chunk)))


def clear_chunk(vm: Vm, host: Host, first: int, pages: int) -> Generator[simpy.Event, Any, Ints]:
    """Clear pages of a range that the last get reported; return the gfns that are re-armed.

    The range has `pages` pages from gfn `first` on. Each slot that it meets is cleared for itself.
    """
    armed = []
    for part in meeting(vm.plan.log_slots, first, pages):
        armed.append((yield from clear_part(vm, host, part)))
    return armed[0] if len(armed) == 1 else np.concatenate(armed)


def meeting(slots: Iterable[MemSlot], first: int, pages: int) -> Iterator[MemSlot]:
    """Yield the parts of slots that lie in the range of `pages` pages from gfn `first` on."""
    for slot in slots:
        begin, end = max(first, slot.base_gfn), min(first + pages, slot.base_gfn + slot.npages)
        if begin < end:
            yield MemSlot(begin, end - begin)


def clear_part(vm: Vm, host: Host, part: MemSlot) -> Generator[simpy.Event, Any, Ints]:
    """Clear a range of a slot (KVM_CLEAR_DIRTY_LOG); return the gfns that are re-armed."""
    asked = part.base_gfn + np.flatnonzero(host.bitmap[vm.plan.slot.within(part)])
    yield vm.spend(host.once("c_get_floor") + host.pay(log_operations.copy(part.npages)))
    yield from drain_buffers(vm, host)
    yield from hold_mmu_lock(vm, HOST, host.spent)

    def take(piece: MemSlot) -> Ints:
        some = among(asked, piece)
        gfns: Ints = some[(vm.table.page[some] & LOGGED) != 0]
        host.armed += len(gfns)
        return gfns

    if splits_as_it_clears(vm) and (vm.plan.kernel.drops_lock_to_split() or vm.breaks_locks):
        return (yield from clear_split_by_split(vm, host, take(part), part))
    return (yield from clear_and_rearm(vm, host, part, take))


def harvest_ring(
    vm: Vm, host: Host, phase: Phase, record: dict[str, Any], who: int = HOST
) -> Steps:
    """Harvest and reset all dirty rings; send their pages and those of ring-full exits.

    `who` is the thread that does it. Adds ``dirty`` and ``false_dirty`` to `record`.
    """
    del phase
    if who == HOST:
        yield from host_runs(vm, host.spent)
    if vm.pml and vm.tracked:
        yield from drain_buffers(vm, host)
    gfns = mmu.fetch_dirty(vm.table, vm.plan.slot)
    report(vm, host, gfns, None, record)
    mmu.clear_dirty(vm.table, gfns)
    record["dirty"] = yield from reap(vm, who, vm.vcpus[0], host.spent)
    host.armed += record["dirty"]
    send(vm, gfns)
