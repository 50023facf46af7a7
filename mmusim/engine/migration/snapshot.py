"""Snapshots: the guest's memory as it is at one instant, copied while the guest runs on.

Sources: QEMU ``bg_migration_thread``, ``ram_write_tracking_prepare``, ``ram_write_tracking_start``,
``ram_save_host_page``, ``poll_fault_page``, ``ram_save_release_protection``; Linux
``mwriteprotect_range``, ``handle_userfault``, ``kvm_unmap_gfn_range``.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from mmusim.base.histogram import Histogram
from mmusim.base.units import PAGES_PER_REGION
from mmusim.config.events import COPY_MEMORY, PAUSE
from mmusim.config.snapshot import Snapshot as Phase
from mmusim.costs import log_operations
from mmusim.costs.random_streams import Ints
from mmusim.engine.host.enable_disable import EVERYTHING
from mmusim.engine.host.host import Host
from mmusim.engine.migration.channel import Channel
from mmusim.engine.migration.ram import Unsent
from mmusim.engine.migration.sync import ThreadTimes, pause
from mmusim.engine.migration.transfer import NO_PAGES, Transfer, next_cursor
from mmusim.engine.processes.dirty_rings import hold_mmu_lock, note
from mmusim.engine.processes.flush import flush_remote
from mmusim.engine.processes.shared_processor import on_processor
from mmusim.engine.processes.user_space import hold_bql, sleeps, stop_vcpus
from mmusim.engine.state import invariants
from mmusim.engine.state.vm import Steps, Vcpu, Vm
from mmusim.engine.state.vmm import Vmm
from mmusim.mmu import unmap
from mmusim.mmu.slot import MemSlot
from mmusim.mmu.spte import STALE
from mmusim.trace.records import HOST
from mmusim.trace.snapshot import SnapshotTrace
from mmusim.vocabulary.causes import SNAPSHOT_WAIT

NO_ENTRIES = slice(0, 0)
NOTHING = np.zeros(0, np.uint8)
MOST_AT_ONCE: Final = 256
"""Number of pages that are prepared to be sent together. A fault interrupts them, and the rest is
prepared again, so more would cost the simulator time and change nothing.
"""


class Snapshot:
    """One snapshot: the pages that are still protected, and the vCPUs that wait for them.

    The host unmaps a page from the guest when it changes its protection (an MMU notifier). So all
    of memory is unmapped when the snapshot begins. A read maps a page read-only. Where a page is
    mapped when its protection is lifted, it is unmapped once more and TLBs are flushed. A huge page
    of the host is split when the first of its pages is released. It stays split.
    """

    def __init__(self, vm: Vm, host: Host, number: int, phase: Phase) -> None:
        """Request the snapshot now; `number` is that of the phase."""
        self._vm, self._host, self._phase, self._number = vm, host, phase, number
        self._vmm = vm.vmm = vm.vmm or Vmm(vm.env)
        self._vcpus = vm.vcpus if phase.workload else []
        self._way, self._base = phase.way, vm.plan.slot.base_gfn
        spec, costs = vm.plan.driver.migration, vm.plan.costs
        self._ram = Unsent(vm, spec.zero_pages)
        host.tells(self._ram.share)
        each = sum(costs[name].mean() for name in ("c_uffd_poll", "c_uffd_release"))
        self._channel = Channel(vm, spec, number, each if self._way.runs else 0.0)
        self._transfer = Transfer(vm, self._ram, self._channel, self._deliver)
        self._times = ThreadTimes(vm, self._vmm)
        regions = -(-vm.plan.pages // PAGES_PER_REGION)
        self._touched = np.zeros(vm.plan.pages, np.bool_)  # a read may have mapped the page
        whole = vm.plan.backing > 1
        self._whole = np.full(regions, whole, np.bool_)  # huge pages of the host
        self._read = np.zeros(regions, np.bool_)  # of these, reads may have mapped something
        self._held = np.zeros(vm.plan.pages, np.uint8)  # write-protected by the host
        self._due: Ints = NO_PAGES  # pages that arrived and are not released yet
        self.active = True
        self._began_ns = self._stopped_ns = self._resumed_ns = self._ended_ns = vm.now
        self._on_fault = self._flushes = 0
        self._waits = Histogram()

    def thread(self) -> Steps:
        """Take the snapshot (bg_migration_thread).

        Raises
        ------
        InvariantError
            If somebody wrote to a page before it was copied.
        """
        yield from self._times.timed("populate", self._populate())
        if self._way.runs:
            yield from self._host.windows.operation(PAUSE, self._pause(self._protect()))
            yield from self._host.windows.operation(COPY_MEMORY, self._copy())
            self._vm.user_faults, self._vm.held = None, NOTHING
        else:
            copy = self._host.windows.operation(COPY_MEMORY, self._copy())
            yield from self._host.windows.operation(PAUSE, self._pause(copy))
        self._ended_ns, self.active = self._vm.now, False

    def _populate(self) -> Steps:
        """ram_write_tracking_prepare: read a byte of each page, so that the host maps it."""
        if not self._way.runs:
            return
        vm, pages = self._vm, len(self._ram.unsent)
        present = sum(vm.resident) if len(vm.resident) else pages
        costs = vm.plan.costs
        ns = costs["c_populate_page"].mean() * pages
        ns += costs["c_zero_fault"].mean() * (pages - present)
        yield from pause(vm, round(ns))

    def _pause(self, work: Steps) -> Steps:
        """Stop the vCPUs, save the devices, do some work, let the vCPUs run again."""
        vm, cost = self._vm, self._vm.plan.costs["c_checkpoint"]
        self._stopped_ns = vm.now
        yield from self._times.timed("bql_wait", hold_bql(vm, None))
        yield from self._times.timed("stop", stop_vcpus(vm, self._vcpus))
        devices = vm.plan.draws.stream("c_checkpoint", HOST, cost).at(self._number)
        yield from self._times.timed("stop", pause(vm, devices))
        vm.settle()
        vm.table.page[vm.plan.slot.pages] &= np.uint8(0xFF ^ STALE)
        yield from work
        self._vmm.bql.release(HOST)
        self._vmm.resume()
        self._resumed_ns = vm.now

    # --- protection ---------------------------------------------------------------------------

    def _protect(self) -> Steps:
        """ram_write_tracking_start: write-protect all memory; KVM unmaps it from the guest."""
        vm = self._vm
        entries = len(self._ram.unsent)
        if vm.plan.backing > 1:
            entries = -(-entries // PAGES_PER_REGION)
        ns = round(vm.plan.costs["c_uffd_protect"].mean() * entries)
        yield from self._times.timed("protect", pause(vm, ns))
        yield from self._times.timed("protect", self._unmap(vm.plan.slot))
        self._held[vm.plan.slot.pages] = 1
        vm.held, vm.user_faults = self._held, self

    def _unmap(self, what: MemSlot | int) -> Steps:
        """kvm_unmap_gfn_range: zap the leaves of whole regions or over a page; flush if any."""
        vm, host = self._vm, self._host
        yield from hold_mmu_lock(vm, HOST, host.spent)
        vm.settle()
        if isinstance(what, MemSlot):
            walk, pages, regions = unmap.zap_leaves(vm.table, what), what.pages, what.regions
            if vm.guest is not None:
                vm.guest.zap(vm.table, regions)
        else:
            walk, pages, regions = unmap.zap_page(vm.table, what), slice(what, what + 1), NO_ENTRIES
        owed = host.pay(log_operations.zap_all(vm.plan.choices, walk))
        if walk.changed:
            vm.revoke(EVERYTHING if what is vm.plan.slot else pages, regions)
            vm.changed(HOST)
            yield vm.spend(owed)
            started = vm.now
            self._flushes += 1
            yield from flush_remote(vm, vm.vcpus[0], recorder=False)
            note(host.spent, "flush", vm.now - started)
        if not isinstance(what, MemSlot):
            self._held[what] = 0
        vm.lock.release(HOST)

    # --- copying ------------------------------------------------------------------------------

    def _copy(self) -> Steps:
        """ram_save_iterate: pages that vCPUs wait for first, then the others in order."""
        asked = self._transfer.asked
        while self._ram.dirty:
            if asked:
                page = asked.popleft()
                if self._ram.unsent[page]:
                    self._on_fault += 1
                    yield from self._copy_asked(page)
            else:
                pages = self._next_pages()
                yield from self._times.timed("send", self._transfer.send(pages, urgent=False))
                yield from self._release_due()

    def _copy_asked(self, page: int) -> Steps:
        """Copy a page that somebody waits for, and go on where the way says."""
        before = self._ram.cursor
        sent = self._transfer.send(np.array([page]), urgent=True)
        yield from self._times.timed("send", sent)
        yield from self._release_due()
        self._ram.cursor = next_cursor(
            self._way, "driver.phases.way", len(self._ram.unsent), page, before
        )

    def _next_pages(self) -> Ints:
        """Return the next pages in order that are released alike.

        One whose release takes more than the protection of the page goes alone: it splits a huge
        page, or the guest has mapped it.
        """
        first = self._ram.first()
        most = self._channel.most(self._channel.rate_changes())
        if not self._way.runs:
            return self._ram.following(first, most)
        pages = self._ram.following(first, min(most, MOST_AT_ONCE))
        more = self._needs_more(pages)
        if more[0]:
            return pages[:1]
        return pages[: int(np.argmax(more))] if more.any() else pages

    def _needs_more(self, pages: Ints) -> Any:
        gfns = self._base + pages
        return self._touched[gfns] | self._whole[gfns >> 9]

    def _deliver(self, pages: Ints) -> None:
        """Pages have been copied. Release them at once where that takes nothing else."""
        vm, gfns = self._vm, self._base + pages
        vm.settle()
        invariants.check_snapshot(vm, gfns)
        if vm.probe is not None:
            vm.probe.copied(gfns.tolist())
        self._ram.sent(pages)
        if not self._way.runs:
            return
        more = self._needs_more(pages)
        self._due = pages[more]
        alike = pages[~more]
        self._held[self._base + alike] = 0
        self._transfer.arrived(alike)

    def _release_due(self) -> Steps:
        """ram_save_release_protection of the page that has just been copied, if it is due."""
        due, self._due = self._due, self._due[:0]
        for page in due.tolist():
            gfn = self._base + page
            region = gfn >> 9
            if self._whole[region]:
                yield from self._times.timed("release", self._split(region))
            if self._touched[gfn]:
                yield from self._times.timed("release", self._unmap(gfn))
            self._held[gfn] = 0
            self._transfer.arrived(np.array([page]))

    def _split(self, region: int) -> Steps:
        """Split a huge page of the host (__split_huge_pmd); KVM unmaps it from the guest."""
        vm = self._vm
        yield from pause(vm, round(vm.plan.costs["c_uffd_split"].mean()))
        self._whole[region] = False
        vm.table.disallow_lpage[region] += 1
        if self._read[region]:
            first = region * PAGES_PER_REGION
            end = min(first + PAGES_PER_REGION, self._base + len(self._ram.unsent))
            yield from self._unmap(MemSlot(first, end - first))

    # --- the guest ----------------------------------------------------------------------------

    def fault(self, v: Vcpu, gfn: int, write: bool, index: int) -> Steps:
        """Let a write to a protected page wait until the page has been copied (handle_userfault).

        `v` accesses page `gfn`; `index` is that of its access. A read only maps the page read-only.
        """
        vm = self._vm
        self._transfer.settle()
        if not self._held[gfn]:
            return
        if not write:
            self._reads(gfn)
            return
        began, ns = vm.now, v.c_uffd_fault.at(index)
        v.waits_for = f"the copy of gfn {gfn} to a snapshot"
        sleeps(vm, v)
        yield vm.spend(ns // 2)
        self._transfer.settle()
        if self._held[gfn]:
            yield self._transfer.wait_for(gfn - self._base)
        yield vm.spend(ns - ns // 2)
        v.waits_for = ""
        vm.runs(v)
        self._waits.add([vm.now - began])
        vm.charge(v, SNAPSHOT_WAIT, began, vm.now)
        if v.shares_processor:
            yield from on_processor(vm, v)

    def _reads(self, gfn: int) -> None:
        """A read is about to map a protected page read-only."""
        region = gfn >> 9
        self._touched[gfn] = self._read[region] = True
        flying = self._base + self._transfer.in_transit
        if len(flying) and flying[0] >> 9 <= region <= flying[-1] >> 9:
            self._transfer.interrupt()

    def trace(self) -> SnapshotTrace:
        """Return the trace of the snapshot."""
        channel = self._channel
        return SnapshotTrace(
            start_ns=self._began_ns, stopped_ns=self._stopped_ns, resumed_ns=self._resumed_ns,
            end_ns=self._ended_ns, pages=channel.sent_pages, zero_pages=channel.zero_pages,
            sent_bytes=channel.sent_bytes, on_fault=self._on_fault, flushes=self._flushes,
            waits=self._waits, spent=dict(self._times.spent),
        )  # fmt: skip
