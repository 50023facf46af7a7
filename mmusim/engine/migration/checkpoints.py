"""Checkpoints: stop the guest, read the log, copy what is dirty, let the guest run again.

Sources: QEMU ``colo_do_checkpoint_transaction``; Cully et al., Remus, NSDI 2008, section 3;
Firecracker, ``create_snapshot`` with a diff.
"""

from __future__ import annotations

from mmusim.config.checkpoint import MOST_CHECKPOINTS, Checkpoint
from mmusim.config.events import PAUSE
from mmusim.engine.host.enable_disable import disable_logging, enable_logging
from mmusim.engine.host.host import Host
from mmusim.engine.migration.channel import Channel
from mmusim.engine.migration.ram import RamBlock
from mmusim.engine.migration.sender import Sender
from mmusim.engine.migration.sync import LogSync, ThreadTimes, pause
from mmusim.engine.migration.throttle import Trigger
from mmusim.engine.processes.user_space import hold_bql, stop_vcpus
from mmusim.engine.state import invariants
from mmusim.engine.state.vm import Steps, Vm
from mmusim.engine.state.vmm import Vmm
from mmusim.trace.checkpoints import CheckpointsTrace, CheckpointTrace
from mmusim.trace.records import HOST


class Checkpoints:
    """The checkpoints of one phase, and what their thread knows."""

    def __init__(self, vm: Vm, host: Host, number: int, phase: Checkpoint) -> None:
        """Nothing has been copied; `number` is that of the phase."""
        self.vm, self.host, self.phase, self.number = vm, host, phase, number
        self.spec, self.windows = vm.plan.driver.migration, host.windows
        self.vmm = vm.vmm = Vmm(vm.env)
        self.vcpus = vm.vcpus if phase.workload else []
        self.ram = RamBlock(vm, self.spec.clear_chunk, self.spec.zero_pages)
        self.channel = Channel(vm, self.spec, number)
        self.times = ThreadTimes(vm, self.vmm)
        trigger = Trigger(vm, [], None)  # nobody is throttled
        self.log = LogSync(
            vm, host, phase, self.ram, self.channel, trigger, self.times, self.vcpus
        )  # fmt: skip
        self.sender = Sender(vm, host, self.ram, self.channel, self.times)
        self.began_ns = self.ended_ns = vm.now
        self.made: list[CheckpointTrace] = []
        self.active = True
        host.tells(lambda: len(self.made) / phase.times)
        cost = vm.plan.costs["c_checkpoint"]
        self._stops = vm.plan.draws.stream("c_checkpoint", HOST, cost)

    def first_copy(self) -> Steps:
        """Switch logging on and copy all memory to the destination; no vCPU runs.

        Raises
        ------
        LostWriteError
            If a page did not arrive in its newest state.
        """
        yield from self.times.timed("bql_wait", hold_bql(self.vm, None))
        enable = self.log.ioctl(enable_logging, {})
        yield from self.times.timed("enable", self.windows.operation("enable-logging", enable))
        yield from self.log.read()
        while self.ram.dirty:
            yield from self.sender.send_some(self.channel.rate_changes())
        invariants.check_arrival(self.vm)
        self.vmm.bql.release(HOST)
        self.log.reported = self.log.false = 0
        self.times.spent.clear()

    def thread(self) -> Steps:
        """Make one checkpoint after the other, as often as the phase says, then stop logging."""
        self.began_ns = arrived = began = self.vm.now
        for _ in range(self.phase.times):
            due = self.phase.due_ns(self.began_ns, began, arrived)
            yield from self.times.timed("wait", pause(self.vm, due - self.vm.now))
            began = self.vm.now
            yield from self.checkpoint(due)
            arrived = self.vm.now
        self.active = False
        yield from self.times.timed("bql_wait", hold_bql(self.vm, None))
        disable = self.log.ioctl(disable_logging, {})
        yield from self.times.timed("disable", self.windows.operation("disable-logging", disable))
        self.vmm.bql.release(HOST)
        self.ended_ns = self.vm.now

    def checkpoint(self, due_ns: int) -> Steps:
        """Make one checkpoint, which was to begin at `due_ns`: pause, copy or send, resume.

        Raises
        ------
        LostWriteError, InvariantError
            If the policy has lost a write or leaves a page writable and unlogged.
        """
        began, sent, bytes_sent = self.vm.now, self.channel.sent_pages, self.channel.sent_bytes
        sending = self.times.spent["send"]
        yield from self.windows.operation(PAUSE, self._pause())
        resumed = self.vm.now
        yield from self.sender.send_buffer()
        self.made.append(
            CheckpointTrace(
                due_ns, began, resumed, self.vm.now, self.channel.sent_pages - sent,
                self.channel.sent_bytes - bytes_sent, self.times.spent["send"] - sending,
            )
        )  # fmt: skip

    def _pause(self) -> Steps:
        """Stop the vCPUs, copy what is dirty, let them run again."""
        yield from self.times.timed("stop", hold_bql(self.vm, None))
        yield from self.times.timed("stop", stop_vcpus(self.vm, self.vcpus))
        yield from self.times.timed(
            "stop", pause(self.vm, self._stops.at(self.number * MOST_CHECKPOINTS + len(self.made)))
        )
        yield from self.log.read()
        invariants.check(self.vm)
        while self.ram.dirty:
            if self.phase.buffered:
                yield from self.sender.buffer_some()
            else:
                yield from self.sender.send_some(self.channel.rate_changes())
        invariants.check_arrival(self.vm)
        self.vmm.bql.release(HOST)
        self.vmm.resume()

    def trace(self) -> CheckpointsTrace:
        """Return the trace of all checkpoints."""
        return CheckpointsTrace(
            began_ns=self.began_ns, end_ns=self.ended_ns, made=tuple(self.made),
            spent=dict(self.times.spent),
        )  # fmt: skip
