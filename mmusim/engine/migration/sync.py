"""How a migration reads the dirty log; its rounds and syncs.

Sources: QEMU ``migration_bitmap_sync``, ``memory_global_dirty_log_sync``,
``kvm_dirty_ring_flush``; ``domain`` K.2 Q9, Q20 and Q24.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from mmusim.config.checkpoint import Checkpoint
from mmusim.config.migrate import Migrate
from mmusim.engine.host.host import MANUAL, Host
from mmusim.engine.host.log_reports import get_dirty_log, harvest_ring
from mmusim.engine.migration.channel import Channel
from mmusim.engine.migration.ram import RamBlock
from mmusim.engine.migration.throttle import Trigger
from mmusim.engine.processes.dirty_rings import hold_slots_lock, release_slots_lock
from mmusim.engine.processes.user_space import hold, run_on_all
from mmusim.engine.state.mmu_lock import SpinLock
from mmusim.engine.state.vm import Steps, Vcpu, Vm
from mmusim.engine.state.vmm import Vmm
from mmusim.policies import Reporting
from mmusim.trace.records import HOST, Round


class ThreadTimes:
    """The time of the migration thread in ns, by activity."""

    def __init__(self, vm: Vm, vmm: Vmm) -> None:
        """Start empty."""
        self._vm, self._vmm = vm, vmm
        self.spent: Counter[str] = Counter()

    def timed(self, what: str, steps: Steps, who: int = HOST) -> Steps:
        """Do an activity and count its time under the name `what`; waits for the big lock have
        their own.

        The time of another thread than the host's is not the migration thread's, and is not
        counted.
        """
        if who != HOST:
            yield from steps
            return
        began, waited = self._vm.now, self._vmm.bql_wait_ns
        yield from steps
        waited = self._vmm.bql_wait_ns - waited
        self.spent["bql_wait"] += waited
        self.spent[what] += self._vm.now - began - waited


def pause(vm: Vm, ns: int) -> Steps:
    """Let `ns` pass; nothing happens if they are 0 or fewer."""
    if ns > 0:
        yield vm.spend(ns)


class LogSync:
    """Reads the log into the bitmap of the pages to be sent, and counts rounds and syncs."""

    def __init__(
        self, vm: Vm, host: Host, phase: Migrate | Checkpoint, ram: RamBlock, channel: Channel,
        trigger: Trigger, times: ThreadTimes, vcpus: list[Vcpu],
    ) -> None:  # fmt: skip
        """Nothing was read yet."""
        self._vm, self._host, self._phase = vm, host, phase
        self._ram, self._channel, self._trigger = ram, channel, trigger
        self._times, self._vcpus = times, vcpus
        self.mutex = SpinLock(vm.env, "bitmap_mutex")
        self.count = 0  # dirty_sync_count
        self.passes = 0  # syncs of the migration thread
        self.rounds: list[Round] = []
        self._round = vm.now, 0, 0, 0, 0, 0
        """When it began; before it pages, zero pages and bytes sent, pages reported, false ones."""
        self.reported = self.false = 0
        self.rings = vm.plan.choices.reporting is Reporting.DIRTY_RING
        self.manual = vm.plan.choices.reporting in MANUAL
        words = -(-vm.plan.slot.npages // 64)
        self._merge_ns = round(vm.plan.costs["c_sync_word"].mean() * words)

    def ioctl(self, operation: Any, record: dict[str, Any], who: int = HOST) -> Steps:
        """Do a log ioctl under slots_lock, as the thread `who`; `operation` is one of the
        host's.
        """
        yield from hold_slots_lock(self._vm, who, self._host.spent)
        yield from operation(self._vm, self._host, self._phase, record)
        release_slots_lock(self._vm, who)

    def read(self, who: int = HOST, for_throttle: bool = False) -> Steps:
        """Read the log with the big lock held (migration_bitmap_sync): dirty pages are to be sent
        again, those that are read for the throttle after the pass in progress.
        """
        yield from self._host.windows.operation("sync-dirty-log", self._read(who, for_throttle))

    def _read(self, who: int, for_throttle: bool) -> Steps:
        """Read the log.

        The kernel's log goes into the bitmaps of user space first, then, under bitmap_mutex, into
        that of the pages to be sent. With rings every vCPU must leave the guest before that.
        """
        vm, timed = self._vm, self._times.timed
        record: dict[str, Any] = {"dirty": 0, "false_dirty": 0}
        self._ram.forget_sent()
        if self.rings:
            yield from timed("kick", run_on_all(vm, self._vcpus, who), who)
            harvest = harvest_ring(vm, self._host, self._phase, record, who)
            yield from timed("sync", harvest, who)
        else:
            yield from timed("sync", self.ioctl(get_dirty_log, record, who), who)
        read = self._host.bitmap
        yield from hold(self.mutex, who)
        yield from timed("merge", pause(vm, self._merge_ns), who)
        self.reported += record["dirty"]
        self.false += record["false_dirty"]
        if who == HOST:
            self.passes += 1
        if who == HOST or for_throttle or vm.plan.qemu.timer_counts():
            self.count += 1
        more = read if self.manual else None
        added = self._ram.noted(more) if for_throttle else self._ram.synced(more)
        self._trigger.synced(added, self._channel.sent_bytes)
        self.mutex.release(who)

    def next_round(self) -> None:
        """End the round, and begin the next, after a sync."""
        channel, (began, pages, zeros, sent, reported, false) = self._channel, self._round
        self.rounds.append(
            Round(
                began,
                self._vm.now,
                channel.sent_pages - pages,
                channel.zero_pages - zeros,
                channel.sent_bytes - sent,
                self._ram.dirty,
                channel.measured,
                self._ram.next_round(),
                self.reported - reported,
                self.false - false,
            )
        )
        sent_by_now = channel.sent_pages, channel.zero_pages, channel.sent_bytes
        self._round = self._vm.now, *sent_by_now, self.reported, self.false
