"""The migration thread: set-up, rounds of pre-copy, the switch-over, or giving up.

Sources: QEMU ``migration_thread``, ``migration_iteration_run``, ``migration_completion``,
``ram_save_iterate``, ``migration_bitmap_sync``, ``postcopy_start``; ``domain`` section F.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, Final

from mmusim.base.units import NS, PAGE
from mmusim.config.migrate import Migrate
from mmusim.engine.host.log_ioctls import Host, disable_logging, enable_logging
from mmusim.engine.host.log_reports import clear_chunk, get_dirty_log, harvest_ring
from mmusim.engine.migration.channel import Channel
from mmusim.engine.migration.postcopy import Postcopy
from mmusim.engine.migration.ram import RamBlock
from mmusim.engine.migration.switch import go_to_destination
from mmusim.engine.migration.throttle import AutoConverge, DirtyLimit, Throttle, Trigger
from mmusim.engine.processes.dirty_rings import hold_slots_lock
from mmusim.engine.processes.user_space import hold_bql, stop_vcpus
from mmusim.engine.state import invariants
from mmusim.engine.state.vm import Steps, Vm
from mmusim.engine.state.vmm import Vmm
from mmusim.policies import Reporting
from mmusim.trace.records import HOST, MigrationTrace, Round

ITERATION_NS: Final = 50 * NS["ms"]
"""MAX_WAIT: how long ram_save_iterate sends before it looks up."""
SYNC_EVERY_NS: Final = 5 * NS["s"]
"""With auto-converge the log is read that often, however long a round takes (since 9.2)."""


class Migration:
    """One migration, and what its thread knows."""

    def __init__(self, vm: Vm, host: Host, number: int, phase: Migrate) -> None:
        """Ask for the migration now; `number` is that of the phase."""
        self.vm, self.host, self.spec = vm, host, vm.plan.driver.migration
        self.number, self.phase = number, phase
        self.vmm = vm.vmm = Vmm(vm.env)
        self.vcpus = vm.vcpus if phase.workload else []
        self.ram = RamBlock(vm, self.spec.clear_chunk, self.spec.zero_pages)
        self.channel = Channel(vm, self.spec, number)
        self.converge = AutoConverge(vm, self.vcpus, self.spec)
        self.limit = DirtyLimit(vm, self.vcpus, self.spec.vcpu_dirty_limit)
        self.throttle: Throttle | None = None
        if self.spec.auto_converge:
            self.throttle = self.converge
        elif self.spec.vcpu_dirty_limit:
            self.throttle = self.limit
        self.trigger = Trigger(vm, self.spec.throttle_trigger_threshold, self.throttle)
        self.outcome = ""  # while it goes on
        self.began_ns = self.ended_ns = self.synced_ns = vm.now
        self.ends_by, self.then = self._deadline()
        self.downtime_ns = 0
        self.threshold = 0.0  # bytes that may be left for the switch-over
        self.spent: Counter[str] = Counter()
        self.rounds: list[Round] = []
        self._round = vm.now, 0, 0, 0  # when it began; pages, zero pages, bytes sent before
        self.reported = self.false = 0

    def _deadline(self) -> tuple[float, str]:
        """When the migration is given up, at the latest, and how that is called."""
        spec = self.spec
        cancelled = math.inf if spec.cancel_after is None else round(spec.cancel_after)
        too_long = math.inf if spec.max_time is None else round(spec.max_time)
        if cancelled <= too_long:
            return self.began_ns + cancelled, "cancelled"
        return self.began_ns + too_long, "did-not-converge"

    @property
    def active(self) -> bool:
        """Whether it has neither ended nor been given up."""
        return not self.outcome

    def timed(self, what: str, steps: Steps) -> Steps:
        """Do something, and book the time under its name; waits for the big lock apart."""
        began, waited = self.vm.now, self.vmm.bql_wait_ns
        yield from steps
        waited = self.vmm.bql_wait_ns - waited
        self.spent["bql_wait"] += waited
        self.spent[what] += self.vm.now - began - waited

    def thread(self) -> Steps:
        """migration_thread."""
        yield from self.setup()
        while self.active:
            if self.channel.room() > 0:
                yield from self.iteration_run()
            if self.active:
                yield from self.rate_limit()

    # --- set-up and the rounds ---------------------------------------------------------------

    def setup(self) -> Steps:
        """ram_save_setup: switch logging on and read the log, all under the big lock."""
        yield from self.timed("bql_wait", hold_bql(self.vm, None))
        yield from self.timed("enable", self._ioctl(enable_logging, {}))
        yield from self.bitmap_sync()
        self.vmm.bql.release(HOST)
        self.next_round()
        self.rounds.clear()  # what was before the first

    def _ioctl(self, operation: Any, record: dict[str, Any]) -> Steps:
        yield from hold_slots_lock(self.vm, HOST, self.host.spent)
        yield from operation(self.vm, self.host, self.phase, record)
        self.vm.slots_lock.release(HOST)

    def bitmap_sync(self) -> Steps:
        """migration_bitmap_sync, with the big lock held: what is dirty is to be sent (again)."""
        record: dict[str, Any] = {"dirty": 0, "false_dirty": 0}
        if self.vm.plan.choices.reporting is Reporting.DIRTY_RING:
            yield from self.timed("sync", harvest_ring(self.vm, self.host, self.phase, record))
        else:
            yield from self.timed("sync", self._ioctl(get_dirty_log, record))
            self.ram.unsent[self.vm.plan.slot.offsets(self.host.bitmap)] = True
        self.reported += record["dirty"]
        self.false += record["false_dirty"]
        self.synced_ns = self.vm.now
        self.trigger.synced(self.ram.synced(), self.channel.sent_bytes)

    def sync(self) -> Steps:
        """Take the big lock and read the log."""
        yield from self.timed("bql_wait", hold_bql(self.vm, None))
        yield from self.bitmap_sync()
        self.vmm.bql.release(HOST)

    def next_round(self) -> None:
        """A sync has ended a round."""
        channel, (began, pages, zeros, sent) = self.channel, self._round
        self.rounds.append(
            Round(
                began,
                self.vm.now,
                channel.sent_pages - pages,
                channel.zero_pages - zeros,
                channel.sent_bytes - sent,
                self.ram.dirty,
                channel.measured,
            )
        )
        self._round = self.vm.now, channel.sent_pages, channel.zero_pages, channel.sent_bytes

    def iteration_run(self) -> Steps:
        """migration_iteration_run: go on sending, or switch over if little enough is left."""
        if self.vm.now >= self.ends_by:
            yield from self.give_up(self.then)
            return
        if self.few_left():
            yield from self.sync()
            self.next_round()
            if self.few_left():
                yield from self.completion()
                return
            if 0 < self.spec.postcopy_after <= len(self.rounds):
                yield from self.start_postcopy()
                return
            if len(self.rounds) >= self.spec.max_rounds:
                yield from self.give_up("did-not-converge")
                return
        elif self.spec.auto_converge and self.vm.now >= self.synced_ns + SYNC_EVERY_NS:
            yield from self.sync()
        yield from self.save_iterate()

    def few_left(self) -> bool:
        """Tell whether what is left could be sent in the downtime limit; or nothing is."""
        return not self.ram.dirty or self.ram.dirty * PAGE < self.threshold

    def save_iterate(self) -> Steps:
        """ram_save_iterate: send until the window is full, nothing is left, or for 50 ms."""
        until = min(self.vm.now + ITERATION_NS, self.ends_by)
        while self.ram.dirty and self.channel.room() > 0 and self.vm.now < until:
            yield from self.send_some(int(until), self.channel.room())

    def send_some(self, until_ns: int, room: float = math.inf) -> Steps:
        """Send the next pages; clear the log of their chunk first, if that has not been done."""
        first = self.ram.first()
        chunk = first // self.ram.chunk
        if self.ram.uncleared[chunk]:
            self.ram.uncleared[chunk] = False
            yield from self.timed("clear", self.clear(chunk))
        pages = self.ram.following(first, self.channel.most(until_ns))
        zero = self.ram.is_zero(pages)
        ends = self.channel.ends(zero, until_ns, room)
        self.ram.sent(pages[: len(ends)])
        self.channel.book(zero[: len(ends)], ends)
        yield from self.timed("send", self.pause(int(ends[-1])))

    def clear(self, chunk: int) -> Steps:
        """migration_clear_memory_region_dirty_bitmap: arm what is about to be sent."""
        first = self.vm.plan.slot.base_gfn + chunk * self.ram.chunk
        yield from hold_slots_lock(self.vm, HOST, self.host.spent)
        yield from clear_chunk(self.vm, self.host, first, self.ram.chunk)
        self.vm.slots_lock.release(HOST)

    def rate_limit(self) -> Steps:
        """migration_rate_limit: measure the bandwidth; sleep if the window is full."""
        if self.channel.update_counters():
            bandwidth = self.spec.avail_switchover_bandwidth or self.channel.measured
            self.threshold = bandwidth * self.spec.downtime_limit / NS["s"]
        if self.channel.room() <= 0:
            until = min(self.channel.window_end(), self.ends_by)
            yield from self.timed("rate_limit", self.pause(int(until) - self.vm.now))
            if self.vm.now >= self.ends_by:
                yield from self.give_up(self.then)

    def pause(self, ns: int) -> Steps:
        """Let time pass."""
        if ns > 0:
            yield self.vm.spend(ns)

    def once(self, cost: str) -> int:
        """Return what something costs that happens once in a migration, in ns."""
        distribution = self.vm.plan.costs[cost]
        return self.vm.plan.draws.stream(cost, HOST, distribution).at(self.number)

    # --- how it ends -------------------------------------------------------------------------

    def stop_guest(self) -> Steps:
        """Stop the vCPUs and read the log for the last time; ends with the big lock held."""
        if self.throttle is not None:
            self.throttle.stop()
        yield from self.timed("bql_wait", hold_bql(self.vm, None))
        self.stopped_ns = self.vm.now
        yield from self.timed("stop", stop_vcpus(self.vm, self.vcpus))
        yield from self.timed("stop", self.pause(self.once("c_stop_vcpus")))
        yield from self.bitmap_sync()
        self.next_round()
        invariants.check(self.vm)

    def completion(self) -> Steps:
        """migration_completion: stop, send all that is left without a limit, start over there."""
        yield from self.stop_guest()
        while self.ram.dirty:
            yield from self.send_some(self.vm.now + ITERATION_NS)
        yield from self.timed("device_state", self.pause(self.once("c_device_state")))
        invariants.check_arrival(self.vm)
        self.vmm.gone = True
        self.switched_over("completed")
        self.ended_ns = self.vm.now

    def start_postcopy(self) -> Steps:
        """postcopy_start: the destination runs with what it has and asks for the rest."""
        yield from self.stop_guest()
        yield from self.timed("device_state", self.pause(self.once("c_device_state")))
        invariants.check_arrival(self.vm, self.ram.unsent)
        self.ram.uncleared[:] = False
        postcopy = Postcopy(self.vm, self.ram, self.channel)
        self.switched_over("")
        yield from self.timed("postcopy", postcopy.send_the_rest())
        self.next_round()
        self.outcome = "postcopy"
        self.ended_ns = self.vm.now

    def switched_over(self, outcome: str) -> None:
        """The destination runs."""
        self.outcome = outcome
        self.downtime_ns = self.vm.now - self.stopped_ns
        go_to_destination(self.vm)
        self.vmm.bql.release(HOST)
        self.vmm.resumed.succeed()

    def give_up(self, outcome: str) -> Steps:
        """migration_iteration_finish after a cancel: stop logging; the guest runs on."""
        self.outcome = outcome
        if self.throttle is not None:
            self.throttle.stop()
        yield from self.timed("bql_wait", hold_bql(self.vm, None))
        yield from self.timed("disable", self._ioctl(disable_logging, {}))
        self.vmm.bql.release(HOST)
        self.ended_ns = self.vm.now

    def trace(self) -> MigrationTrace:
        """Return what happened."""
        return MigrationTrace(
            outcome=self.outcome,
            start_ns=self.began_ns,
            end_ns=self.ended_ns,
            downtime_ns=self.downtime_ns,
            rounds=tuple(self.rounds),
            sent_pages=self.channel.sent_pages,
            zero_pages=self.channel.zero_pages,
            distinct_pages=self.ram.distinct,
            sent_bytes=self.channel.sent_bytes,
            spent=dict(self.spent),
            throttle=tuple(self.converge.history),
            dirty_limit=tuple(self.limit.history),
        )
