"""The host's dirty-log operations on the slot, as the host thread carries them out.

Sources: ``kvm_vm_ioctl_set_memory_region``, ``kvm_get_dirty_log_protect``,
``kvm_clear_dirty_log_protect``, ``kvm_mmu_slot_remove_write_access``,
``kvm_mmu_zap_collapsible_sptes``; the times follow the formulas of ``domain`` B.3.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mmusim.config.driver import Clear, Phase
from mmusim.draws import Ints, Stream
from mmusim.engine import truth
from mmusim.engine.flush import flush_remote
from mmusim.engine.vm import Books, Steps, Vm
from mmusim.mmu import slot as mmu
from mmusim.mmu.slot import Walk
from mmusim.mmu.spte import LOGGED, STALE, Edit
from mmusim.policies import Disable, EnableWalk
from mmusim.trace import HOST
from mmusim.units import BYTES, PAGE, PAGES_PER_REGION


class Host:
    """The thread and what it remembers between phases."""

    def __init__(self, vm: Vm) -> None:
        """Stand before the first phase."""
        self.vm = vm
        self.phases: list[dict[str, Any]] = []
        self.books: dict[int, Books] = {}
        self.running: list[Any] = []  # vCPU processes in the background
        self.bitmap: Ints = np.zeros(0, np.int64)  # gfns that the last get returned
        self.waits_for = ""
        self._streams: dict[str, Stream] = {}
        self._paid: dict[str, int] = {}

    def spend(self, cost: str) -> int:
        """Return the time of one operation in nanoseconds."""
        if cost not in self._streams:
            self._streams[cost] = self.vm.plan.draws.stream(cost, HOST, self.vm.plan.costs[cost])
            self._paid[cost] = 0
        self._paid[cost] += 1
        return self._streams[cost].at(self._paid[cost] - 1)

    def bulk(self, cost: str, times: float) -> int:
        """Return the time of many operations in a row: their mean, rounded once."""
        return round(self.vm.plan.costs[cost].mean() * times)


def enable_logging(vm: Vm, host: Host, phase: Phase, record: dict[str, Any]) -> Steps:
    """KVM_MEM_LOG_DIRTY_PAGES: a fresh bitmap, then arm every entry of the slot."""
    del phase, record
    if vm.tracked or not vm.plan.policy.tracks:
        return
    slot, all_set = vm.plan.slot, vm.plan.driver.manual_protect == "initially-all-set"
    mmu.set_log(vm.table, slot, ones=all_set)
    vm.tracked = True
    yield vm.spend(host.spend("c_srcu") + host.bulk("c_memset", bitmap_mib(slot.npages)))
    if all_set:
        vm.table.page[slot.pages] |= np.uint8(STALE)  # the destination has nothing yet
        return

    yield from take_mmu_lock(vm)
    walk = mmu.protect_slot(vm.table, slot, Edit(vm.policy.protect_large))
    vm.unflushed = True
    yield vm.spend(enable_ns(vm, host, walk))
    yield from unlock_and_flush(vm, walk.changed, slot.pages)
    send(vm, slot.base_gfn + np.arange(slot.npages))  # the first pass sends everything


def enable_ns(vm: Vm, host: Host, walk: Walk) -> int:
    """Time of arming a slot (B.3): what was visited and what was changed."""
    if vm.plan.kernel.enable_walk is EnableWalk.ACTIVE_TABLES:
        visited = host.bulk("c_scan", PAGES_PER_REGION * tables_in(vm, walk))
    else:
        pages = vm.plan.slot.npages
        heads = pages + pages // PAGES_PER_REGION + -(-pages // PAGES_PER_REGION**2)
        visited = host.bulk("c_head", heads)
    changed = host.bulk("c_wclear", walk.changed_4k)
    changed += host.bulk("c_large_clear", walk.protected_2m)
    return visited + changed + host.bulk("c_zap_large", walk.zapped_2m)


def tables_in(vm: Vm, walk: Walk) -> int:
    """Shadow pages of the slot: those of the last level and the two or three above them."""
    gib = -(-vm.plan.slot.npages // PAGES_PER_REGION**2)
    return walk.tables + gib + 2


def get_dirty_log(vm: Vm, host: Host, phase: Phase, record: dict[str, Any]) -> Steps:
    """KVM_GET_DIRTY_LOG: report, and unless user space clears by itself, clear and re-arm."""
    del phase
    if not vm.tracked:
        return
    slot, manual = vm.plan.slot, vm.plan.driver.manual_protect != "off"
    yield vm.spend(host.spend("c_get_floor"))
    if not manual:
        yield from take_mmu_lock(vm)
    gfns = mmu.fetch_dirty(vm.table, slot)
    record["dirty"] = len(gfns)
    record["false_dirty"] = int(np.count_nonzero(vm.table.page[gfns] & STALE == 0))
    if manual:
        host.bitmap = gfns
    else:
        yield from clear_and_rearm(vm, host, gfns, slot.npages)
    yield vm.spend(host.bulk("c_copy", bitmap_mib(slot.npages)))
    if not manual:
        send(vm, gfns)


def clear_dirty_log(vm: Vm, host: Host, phase: Phase, record: dict[str, Any]) -> Steps:
    """KVM_CLEAR_DIRTY_LOG with the bitmap of the last get, one request a chunk."""
    del record
    assert isinstance(phase, Clear)
    if not vm.tracked:
        return
    slot = vm.plan.slot
    chunk = phase.chunk // PAGE if phase.chunk else slot.npages
    for first in range(slot.base_gfn, slot.base_gfn + slot.npages, chunk):
        asked = host.bitmap[np.searchsorted(host.bitmap, first) :]
        asked = asked[: np.searchsorted(asked, first + chunk)]
        size = min(chunk, slot.base_gfn + slot.npages - first)
        yield vm.spend(host.spend("c_get_floor") + host.bulk("c_copy", bitmap_mib(size)))
        yield from take_mmu_lock(vm)
        gfns = asked[(vm.table.page[asked] & LOGGED) != 0]
        yield from clear_and_rearm(vm, host, gfns, size)
        send(vm, gfns)


def clear_and_rearm(vm: Vm, host: Host, gfns: Ints, pages: int) -> Steps:
    """With mmu_lock held: clear the bits, re-arm the pages, unlock and flush."""
    mmu.clear_dirty(vm.table, gfns)
    large = 0
    if vm.plan.driver.manual_protect == "initially-all-set":
        large = mmu.protect_large_under(vm.table, gfns)
    changed = mmu.rearm(vm.table, gfns)
    vm.unflushed = True
    hold = host.bulk("c_word", -(-pages // 64)) + host.bulk("c_wclear", len(gfns))
    yield vm.spend(hold + host.bulk("c_large_clear", large))
    yield from unlock_and_flush(vm, bool(changed or large), gfns)


def disable_logging(vm: Vm, host: Host, phase: Phase, record: dict[str, Any]) -> Steps:
    """Drop the bitmap; kernels from 4.1 zap what large sptes could replace."""
    del phase, record
    if not vm.tracked:
        return
    truth.check(vm)
    slot = vm.plan.slot
    vm.tracked = False
    mmu.set_log(vm.table, slot, ones=False)
    yield vm.spend(host.spend("c_srcu"))
    if vm.plan.kernel.disable is Disable.KEEP_SMALL:
        return
    yield from take_mmu_lock(vm)
    walk = mmu.zap_collapsible(vm.table, slot, vm.plan.huge)
    vm.unflushed = True
    yield vm.spend(host.bulk("c_collapse", walk.changed_4k))
    yield from unlock_and_flush(vm, walk.changed, slot.pages)


def recreate_slot(vm: Vm, host: Host, phase: Phase, record: dict[str, Any]) -> Steps:
    """Delete the slot and create it again with logging on; every table of the VM is gone."""
    del phase, record
    if vm.tracked:
        truth.check(vm)
    slot = vm.plan.slot
    yield vm.spend(host.spend("c_srcu"))
    yield from take_mmu_lock(vm)
    walk = mmu.zap_all(vm.table)
    vm.unflushed = True
    yield vm.spend(host.bulk("c_zap_large", walk.zapped_2m))
    yield from unlock_and_flush(vm, walk.changed, slice(None))
    yield vm.spend(host.spend("c_srcu"))
    if vm.plan.policy.tracks:
        all_set = vm.plan.driver.manual_protect == "initially-all-set"
        mmu.set_log(vm.table, slot, ones=all_set)
        vm.tracked = True
    send(vm, slot.base_gfn + np.arange(slot.npages))


def send(vm: Vm, gfns: Ints) -> None:
    """The destination receives pages as they are now."""
    mmu.copied(vm.table, gfns)
    if vm.probe is not None:
        vm.probe.copied(gfns.tolist())


def take_mmu_lock(vm: Vm) -> Steps:
    """Queue for mmu_lock as the host thread."""
    queued = vm.take_mmu_lock(None)
    if queued is not None:
        yield from vm.in_queue(None, queued)


def unlock_and_flush(vm: Vm, needed: bool, pages: Any) -> Steps:
    """Flush if entries were taken back, before or after the unlock as the kernel does it."""
    if not needed:
        vm.unflushed = False
        vm.lock.release(HOST)
        return
    if not vm.plan.kernel.flush_under_lock:
        vm.lock.release(HOST)
    yield from flush_remote(vm, vm.vcpus[0], pages=pages, regions=slice(None), host=True)
    if vm.plan.kernel.flush_under_lock:
        vm.lock.release(HOST)


def bitmap_mib(pages: int) -> float:
    """Size in MiB of the bitmap of `pages` pages."""
    return pages / 8 / BYTES["MiB"]
