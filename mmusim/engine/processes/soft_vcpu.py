"""A vCPU under shadow paging writes to one of its page tables; the others run beside it.

The mechanism (:mod:`mmusim.mmu.soft`) decides what happens in an exit; here each event of it takes
its time, with mmu_lock held where the kernel holds it.
"""

from __future__ import annotations

from typing import Any, Final

import simpy

from mmusim.base.units import PAGES_PER_REGION
from mmusim.config.cost import distribution
from mmusim.config.page_table_write import WritePageTable
from mmusim.engine.processes.flush import flush_remote
from mmusim.engine.processes.guest_mode import answer_kick, enter_guest
from mmusim.engine.processes.lock_queue import in_queue
from mmusim.engine.processes.shared_processor import leave_processor
from mmusim.engine.processes.vcpu import PATIENCE
from mmusim.engine.state.virtual_cpu import REPLAN
from mmusim.engine.state.vm import Steps, Vcpu, Vm
from mmusim.mmu.soft import Access, LargeLeaf, Outcome, SoftMmu, attempt, tell
from mmusim.mmu.soft import events as happened
from mmusim.mmu.spte import Edit
from mmusim.vocabulary.causes import DROP_LARGE, FAULT_SLOW, HITS, PASS, TABLE_ALLOC, THINK
from mmusim.vocabulary.counters import PF_FIXED, PF_SPURIOUS, PF_TAKEN

OUTCOMES: Final = {
    Outcome.PROGRESS: "progress",
    Outcome.RETRY: "livelock",
    Outcome.INTERNAL_ERROR: "internal-error",
}
"""How the phase ends; still retrying when patience is at an end is a livelock."""


def soft_vcpu(
    vm: Vm, v: Vcpu, number: int, phase: WritePageTable, record: dict[str, Any]
) -> Steps:  # fmt: skip
    """Run one vCPU through a write-page-table phase: vCPU 0 writes, the others are bystanders.

    `number` is that of the phase. The writer puts ``outcome``, ``story`` and ``soft_counters`` into
    `record`, the fields of the phase's trace.
    """
    v.begin(vm.now)
    vm.runs(v)
    if v.number == 0:
        yield from Writer(vm, v, number, phase).run(record)
    else:
        yield from bystander(vm, v)
    if not v.in_guest:
        v.stalls.add(v.left_ns, vm.now)
    v.in_guest = False
    vm.rests(v)
    if v.shares_processor:
        leave_processor(vm, v)
    v.recorder.end(v.stalls, v.started_ns, vm.now)


def bystander(vm: Vm, v: Vcpu) -> Steps:
    """Do guest work until the writer has finished; every flush of the writer is an exit."""
    writer = vm.vcpus[0].process
    assert writer is not None
    kicks = 0
    yield from enter_guest(vm, v, 0, PASS, kicks)
    while not writer.triggered:
        since = vm.now
        try:
            yield writer
        except simpy.Interrupt as interrupt:
            vm.charge(v, THINK, since, vm.now)
            if interrupt.cause != REPLAN:
                yield from answer_kick(vm, v, kicks)
                kicks += 1
        else:
            vm.charge(v, THINK, since, vm.now)


class Writer:
    """vCPU 0: three accesses, each tried until something other than a retry comes of it."""

    def __init__(self, vm: Vm, v: Vcpu, number: int, phase: WritePageTable) -> None:
        """Build the guest of the scenario."""
        self.vm, self.v, self.number = vm, v, number
        read_only = vm.policy.protect_large == Edit.WRITE_PROTECT
        by_policy = LargeLeaf.READ_ONLY if read_only else LargeLeaf.DROP
        self.mmu, self.setup, self.store = phase.scenario(by_policy).build()
        self._think = distribution(phase.think)
        self._streams: dict[str, Any] = {}
        self._paid: dict[str, int] = {}
        self._outside = self._locked = self._entry = 0  # what is left of a fault's own time
        self._exits = self._kicks = 0

    def run(self, record: dict[str, Any]) -> Steps:
        """Set the scene (steps 1 to 3 of the posting), then store; put outcome and story into
        `record`.
        """
        yield from enter_guest(self.vm, self.v, 0, PASS, 0)
        laps: list[list[happened.Event]] = []
        before: list[happened.Event] = []
        for access in self.setup:
            scene: list[list[happened.Event]] = []
            yield from self.access(access, scene)
            before += [event for lap in scene for event in lap]
        faults = self.mmu.stat["pf_taken"]
        outcome = yield from self.access(self.store, laps)
        stat = self.mmu.stat
        record["outcome"] = OUTCOMES[outcome]
        record["story"] = tell(before, laps)
        record["soft_counters"] = dict(stat) | {"laps": stat["pf_taken"] - faults}
        count(self.vm, self.mmu)

    def access(self, access: Access, laps: list[list[happened.Event]]) -> Any:
        """Try an access until it succeeds, KVM gives up, or it faulted PATIENCE times; return the
        outcome.

        `laps` gets the events of each attempt.
        """
        vm, v = self.vm, self.v
        think = self.cost("t_think", self._think)
        yield from self.work(THINK, think)
        began = vm.now
        while True:
            outcome = attempt(self.mmu, access)
            laps.append(self.mmu.drain())
            for event in laps[-1]:
                yield from self.take(event)
            vm.fingerprint.add(vm.now, v.number, len(laps), list(Outcome).index(outcome))
            if outcome is not Outcome.RETRY or len(laps) >= PATIENCE:
                break
        if outcome is Outcome.PROGRESS:
            v.recorder.latencies[access.write].append(vm.now - began)
        return outcome

    def cost(self, name: str, of: Any = None) -> int:
        """Return the next draw of a cost in ns; `of` is its distribution, else that of the host
        profile.

        Streams are per phase and counted by payments.
        """
        if name not in self._streams:
            drawn = self.vm.plan.costs_of(self.v.number)[name] if of is None else of
            purpose = f"{name} of phase {self.number}"
            self._streams[name] = self.vm.plan.draws.stream(purpose, self.v.number, drawn)
            self._paid[name] = 0
        self._paid[name] += 1
        return int(self._streams[name].at(self._paid[name] - 1))

    def spend(self, cause: int, ns: int) -> Steps:
        """Let `ns` pass in the host and charge them."""
        if ns:
            yield self.vm.spend_on(self.v, cause, ns)

    def work(self, cause: int, ns: int, *, whole: bool = False) -> Steps:
        """Let `ns` pass in the guest and charge them; a kick is answered, then the rest follows.

        What is done as a `whole` is one access: it completes before the guest is left.
        """
        vm, v = self.vm, self.v
        ends = vm.now + ns
        while True:
            since, kicked = vm.now, False
            try:
                yield vm.spend(ends - since)
            except simpy.Interrupt as interrupt:
                kicked = interrupt.cause != REPLAN
                if kicked and whole:
                    yield vm.spend(ends - vm.now)
            vm.charge(v, cause, since, vm.now)
            left = ends - vm.now
            if kicked:
                self._kicks += 1
                yield from answer_kick(vm, v, self._kicks - 1)
                ends = vm.now + left
            if not left:
                return

    def take(self, event: happened.Event) -> Steps:
        """Let an event of the mechanism take its time."""
        vm, v = self.vm, self.v
        match event:
            case happened.Faulted():
                yield from self.exit()
            case happened.Walked():
                yield from self.spend(FAULT_SLOW, self.cost("c_walk_guest"))
            case happened.Locked():
                yield from self.lock()
            case happened.Unlocked():
                vm.lock.release(v.number)
            case happened.Shadowed(chain=entries):
                chain = round(vm.plan.costs["c_sp_chain"].mean() * entries)
                yield from self.spend(TABLE_ALLOC, self.cost("c_sp_shadow") + chain)
            case happened.Zapped(direct=direct):
                name = "c_alloc_table" if direct else "c_sp_shadow"
                yield from self.spend(TABLE_ALLOC, self.cost(name))
            case happened.TableMade():
                yield from self.spend(TABLE_ALLOC, self.cost("c_alloc_table"))
            case happened.Synced():
                scan = round(vm.plan.costs["c_scan"].mean() * PAGES_PER_REGION)
                yield from self.spend(FAULT_SLOW, scan)
            case happened.LargeDropped() | happened.Protected(level=2, zapped=True):
                yield from self.spend(DROP_LARGE, self.cost("c_zap_large"))
            case happened.Flushed():
                yield from flush_remote(vm, v)
            case happened.Emulated() | happened.EmulationFailed():
                yield from self.spend(FAULT_SLOW, self.cost("c_emulate"))
            case happened.Entered():
                yield from self.enter()
            case happened.Stored():
                yield from self.work(HITS, max(1, self.cost("t_hit_2M")), whole=True)
            case _:  # it takes no time of its own
                pass

    def exit(self) -> Steps:
        """Leave the guest; one draw of c_fault_slow is divided as for the direct MMU."""
        vm = self.vm
        vm.left_guest(self.v)
        whole = self.cost("c_fault_slow")
        self._locked, self._entry = int(whole * vm.slow.locked), int(whole * vm.slow.entry)
        rest = round(whole * vm.slow.after_exit) - self._locked - self._entry
        self._outside = max(0, rest)
        self._exits += 1
        yield from self.spend(FAULT_SLOW, self.cost("c_exit"))

    def lock(self) -> Steps:
        """Take mmu_lock; the first section of an exit has the fault's own work in it."""
        outside, self._outside = self._outside, 0
        yield from self.spend(FAULT_SLOW, outside)
        queued = self.vm.lock.acquire(self.v.number)
        if queued is not None:
            yield from in_queue(self.vm, self.v, queued)
        locked, self._locked = self._locked, 0
        yield from self.spend(FAULT_SLOW, locked)

    def enter(self) -> Steps:
        """Go back into the guest."""
        left, self._outside, self._locked = self._outside + self._locked, 0, 0
        yield from self.spend(FAULT_SLOW, left)
        yield from enter_guest(self.vm, self.v, self._entry, FAULT_SLOW, self._exits)


def count(vm: Vm, mmu: SoftMmu) -> None:
    """Add the faults of the soft MMU to the counters of the VM; flushes are counted where they are
    made.
    """
    vm.view.stat[PF_TAKEN] += mmu.stat["pf_taken"]
    vm.view.stat[PF_FIXED] += mmu.stat["pf_fixed"]
    vm.view.stat[PF_SPURIOUS] += mmu.stat["pf_spurious"]
