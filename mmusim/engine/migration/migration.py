"""The migration thread: set-up, rounds of pre-copy, the switch-over, or giving up.

Sources: QEMU ``migration_thread``, ``migration_iteration_run``, ``migration_completion``,
``ram_save_iterate``, ``migration_bitmap_sync``, ``postcopy_start``; ``domain`` section F.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from mmusim.base.units import NS, PAGE
from mmusim.config.migrate import Migrate
from mmusim.costs import log_operations
from mmusim.engine.host.enable_disable import disable_logging, enable_logging
from mmusim.engine.host.host import Host
from mmusim.engine.migration.channel import Channel
from mmusim.engine.migration.meter import GuestMeter
from mmusim.engine.migration.migration_trace import trace_of
from mmusim.engine.migration.postcopy import Postcopy, send_discards
from mmusim.engine.migration.ram import RamBlock
from mmusim.engine.migration.sender import Sender
from mmusim.engine.migration.service import ServiceMeter
from mmusim.engine.migration.switch import go_to_destination
from mmusim.engine.migration.sync import LogSync, ThreadTimes, pause
from mmusim.engine.migration.throttle import Trigger
from mmusim.engine.migration.timers import start_timers
from mmusim.engine.processes.user_space import hold, hold_bql, stop_vcpus
from mmusim.engine.state import invariants
from mmusim.engine.state.vm import Steps, Vm
from mmusim.engine.state.vmm import Vmm
from mmusim.trace.records import HOST, MigrationTrace
from mmusim.vmm.switch_over import Seen, Then

ITERATION_NS: Final = 50 * NS["ms"]
"""MAX_WAIT: the longest time that ram_save_iterate sends without a break."""


class Migration:
    """One migration and the state of its thread."""

    def __init__(self, vm: Vm, host: Host, number: int, phase: Migrate) -> None:
        """Request the migration now; `number` is that of the phase."""
        self.vm, self.host, self.spec = vm, host, vm.plan.driver.migration
        self.number, self.phase, self.windows = number, phase, host.windows
        self.qemu = vm.plan.qemu
        self.vmm = vm.vmm = vm.vmm or Vmm(vm.env)
        self.vcpus = vm.vcpus if phase.workload else []
        self.ram = RamBlock(vm, self.spec.clear_chunk, self.spec.zero_pages)
        host.tells(self.ram.share)
        self.channel = Channel(vm, self.spec, number)
        self.slowed_by = self.spec.throttle_rule
        self.trigger = Trigger(vm, self.vcpus, self.slowed_by)
        self.times = ThreadTimes(vm, self.vmm)
        self.log = LogSync(
            vm, host, phase, self.ram, self.channel, self.trigger, self.times, self.vcpus
        )
        self.sender = Sender(vm, host, self.ram, self.channel, self.times)
        self.outcome = ""  # while it goes on
        self.began_ns = self.ended_ns = vm.now
        self.stopped = False
        self.acked_ns = math.inf  # when the destination allows the switch-over
        self.ends_by, self.then = self._deadline()
        self.downtime_ns = 0
        self.meter = GuestMeter(vm, self.vcpus)
        self.operations_before = len(host.windows.operations)
        self.postcopy: Postcopy | None = None
        self.bandwidth = 0.0  # bytes per second, as the switch-over is planned with
        self.rule = self.spec.switch_over

    def _deadline(self) -> tuple[float, str]:
        """The time at which the migration is given up, and the name of that outcome."""
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

    def thread(self) -> Steps:
        """Run the migration to its end (migration_thread): set-up, then rounds until an outcome is
        known.
        """
        start_timers(self)
        self.vm.env.process(self.meter.run())
        yield from self.setup()
        while self.active:
            if self.channel.room() > 0:
                yield from self.iteration_run()
            if self.active:
                yield from self.rate_limit()

    # --- set-up and the rounds ---------------------------------------------------------------

    def setup(self) -> Steps:
        """Switch logging on and read the log, all under the big lock (ram_save_setup)."""
        yield from self.times.timed("bql_wait", hold_bql(self.vm, None))
        enable = self.log.ioctl(enable_logging, {})
        yield from self.times.timed("enable", self.windows.operation("enable-logging", enable))
        yield from self.log.read()
        self.vmm.bql.release(HOST)
        self.log.next_round()
        self.log.rounds.clear()  # what was before the first
        self.acked_ns = self.vm.now + round(self.spec.switchover_ack)

    def sync(self) -> Steps:
        """Take the big lock and read the log."""
        yield from self.times.timed("bql_wait", hold_bql(self.vm, None))
        yield from self.log.read()
        self.vmm.bql.release(HOST)

    def iteration_run(self) -> Steps:
        """Continue to send, or switch over if little enough is left (migration_iteration_run)."""
        if self.vm.now >= self.ends_by:
            yield from self.give_up(self.then)
            return
        if self.few_left() or self.rule.ask("is_due", self.seen()):
            yield from self.sync()
            self.log.next_round()
            then = self.rule.ask("after_sync", self.seen())
            stop = then is Then.SWITCH_OVER or self.few_left(exact=True)
            if stop and self.vm.now >= self.acked_ns:
                yield from self.completion()
                return
            if then is Then.GIVE_UP:
                yield from self.give_up("did-not-converge")
                return
            if then is Then.POSTCOPY:
                yield from self.start_postcopy()
                return
            if 0 < self.spec.postcopy_after <= len(self.log.rounds):
                yield from self.start_postcopy()
                return
            if len(self.log.rounds) >= self.spec.max_rounds:
                yield from self.give_up("did-not-converge")
                return
        yield from self.save_iterate()

    def few_left(self, exact: bool = False) -> bool:
        """Tell whether nothing is left, or so little that it can be sent within the downtime limit.

        Some releases accept the limit itself, after a sync, when the number is `exact`, or before.
        """
        left, may = self.ram.dirty * PAGE, self.rule.ask("may_be_left", self.seen())
        qemu = self.qemu
        takes_limit = qemu.completes_at_threshold() if exact else qemu.asks_at_threshold()
        return not left or left < may or (takes_limit and left == may)

    def seen(self) -> Seen:
        """Return the facts that a rule of switch-over may use: bytes, bytes per second, ns from the
        request.
        """
        return Seen(
            now_ns=self.vm.now - self.began_ns,
            left=self.ram.dirty * PAGE,
            bandwidth=self.bandwidth,
            downtime_limit=self.spec.downtime_limit,
            syncs=tuple((r.end_ns - self.began_ns, r.dirty_pages * PAGE) for r in self.log.rounds),
            sent=self.channel.sent_bytes,
            memory=self.vm.plan.slot.npages * PAGE,
        )

    def save_iterate(self) -> Steps:
        """Send until the window is full, nothing is left, or for 50 ms (ram_save_iterate)."""
        yield from hold(self.log.mutex, HOST)
        until = min(self.vm.now + ITERATION_NS, self.ends_by)
        while self.ram.dirty and self.channel.room() > 0 and self.vm.now < until:
            yield from self.sender.send_some(int(until), self.channel.room())
        self.log.mutex.release(HOST)

    def clear_at_source(self, chunk: int) -> Steps:
        """Clear the log of a chunk, by number, in post-copy.

        It only takes time, because the guest no longer writes here.
        """
        first, pages = chunk * self.ram.chunk, self.ram.chunk
        dirty = int(np.count_nonzero(self.ram.unsent[first : first + pages]))
        owed = log_operations.rearm(self.vm.plan.kernel, self.vm.plan.choices, pages, dirty)
        ns = (
            self.host.once("c_get_floor")
            + self.host.pay(log_operations.copy(pages))
            + self.host.pay(owed)
        )
        yield from self.times.timed("clear", pause(self.vm, ns))

    def rate_limit(self) -> Steps:
        """Measure the bandwidth; sleep if the window is full (migration_rate_limit)."""
        if self.channel.update_counters():
            self.bandwidth = self.spec.avail_switchover_bandwidth or self.channel.measured
        if self.channel.room() <= 0:
            until = min(self.channel.window_end(), self.ends_by)
            yield from self.times.timed("rate_limit", pause(self.vm, int(until) - self.vm.now))
            if self.vm.now >= self.ends_by:
                yield from self.give_up(self.then)

    def once(self, cost: str) -> int:
        """Return the time of an operation that happens once in a migration, in ns, by its cost."""
        distribution = self.vm.plan.costs[cost]
        return self.vm.plan.draws.stream(cost, HOST, distribution).at(self.number)

    # --- how it ends -------------------------------------------------------------------------

    def stop_guest(self) -> Steps:
        """Stop the vCPUs and read the log for the last time; ends with the big lock held.

        Raises
        ------
        LostWriteError, InvariantError
            If the policy has lost a write or leaves a page writable and unlogged.
        """
        yield from self.times.timed("bql_wait", hold_bql(self.vm, None))
        self.windows.happens("start", {"switch-over"})
        self.stopped, self.stopped_ns = True, self.vm.now
        yield from self.times.timed("stop", stop_vcpus(self.vm, self.vcpus))
        yield from self.times.timed("stop", pause(self.vm, self.once("c_stop_vcpus")))
        yield from self.log.read()
        self.log.next_round()
        invariants.check(self.vm)
        if not self.qemu.clears_while_stopped():
            self.ram.uncleared[:] = False

    def completion(self) -> Steps:
        """Stop the guest, send the rest without a limit, switch over (migration_completion).

        Raises
        ------
        LostWriteError
            If a page did not arrive in its newest state.
        """
        yield from self.stop_guest()
        while self.ram.dirty:
            yield from self.sender.send_some(self.vm.now + ITERATION_NS)
        yield from self.times.timed("device_state", pause(self.vm, self.once("c_device_state")))
        invariants.check_arrival(self.vm)
        self.vmm.gone = not self.phase.tail  # else its vCPUs run on there
        self.switched_over("completed")
        self.ended_ns = self.vm.now

    def start_postcopy(self) -> Steps:
        """Let the destination run with the pages that it has and request others (postcopy_start).

        Raises
        ------
        LostWriteError
            If a page is old there and the destination does not know it.
        """
        yield from self.stop_guest()
        discards = send_discards(self.vm, self.ram, self.channel, self.spec, self.stopped_ns)
        yield from self.times.timed("discard", discards)
        yield from self.times.timed("device_state", pause(self.vm, self.once("c_device_state")))
        invariants.check_arrival(self.vm, self.ram.unsent)
        if not self.qemu.clears_in_postcopy():
            self.ram.uncleared[:] = False
        self.postcopy = postcopy = Postcopy(
            self.vm, self.ram, self.channel, self.spec, self.clear_at_source
        )
        self.switched_over("")
        yield from self.times.timed("postcopy", postcopy.send_the_rest())
        self.log.next_round()
        self.outcome = "postcopy"
        self.ended_ns = self.vm.now

    def switched_over(self, outcome: str) -> None:
        """Note that the destination runs from now on; the throttles end here.

        `outcome` is that of the migration; "" while post-copy goes on.
        """
        self.meter.stop()
        self.outcome = outcome
        self.trigger.stop()
        self.downtime_ns = self.vm.now - self.stopped_ns
        self.windows.happens("end", {"switch-over"})
        go_to_destination(self.vm)
        self.vmm.bql.release(HOST)
        self.vmm.resumed.succeed()

    def give_up(self, outcome: str) -> Steps:
        """Stop logging; the guest runs on here (migration_iteration_finish after a cancel).

        `outcome` is ``cancelled`` or ``did-not-converge``.
        """
        self.meter.stop()
        self.outcome = outcome
        self.trigger.stop()
        yield from self.times.timed("bql_wait", hold_bql(self.vm, None))
        disable = self.log.ioctl(disable_logging, {})
        yield from self.times.timed("disable", self.windows.operation("disable-logging", disable))
        self.vmm.bql.release(HOST)
        self.ended_ns = self.vm.now

    def trace(self, service: ServiceMeter) -> MigrationTrace:
        """Return the trace of the migration, with the progress of a service beside it."""
        return trace_of(self, service)
