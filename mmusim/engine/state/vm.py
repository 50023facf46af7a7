"""A simulated VM: the state that its vCPUs and the host thread share."""

from __future__ import annotations

from typing import Any, Final, Protocol

import numpy as np
import simpy
from numpy.typing import NDArray

from mmusim.base.errors import ClockError
from mmusim.base.histogram import Histogram
from mmusim.costs.machine import Machine
from mmusim.engine.state.fault_shares import FaultShares
from mmusim.engine.state.gauges import gauges
from mmusim.engine.state.machine_load import MachineLoad, first_touch
from mmusim.engine.state.mmu_lock import RwLock, SpinLock
from mmusim.engine.state.processor import shared_processor
from mmusim.engine.state.steps import Outcome as Outcome
from mmusim.engine.state.steps import Steps as Steps
from mmusim.engine.state.virtual_cpu import Vcpu as Vcpu
from mmusim.engine.state.vmm import Vmm
from mmusim.mmu.guest_pde import GuestPdes
from mmusim.mmu.page_table import PageTable
from mmusim.mmu.spte import LEVEL_1G
from mmusim.mmu.upper_levels import UpperLevels
from mmusim.plan.make import Plan
from mmusim.policies import Lock, Mmu, Tracking
from mmusim.trace.records import Fingerprint, Probe
from mmusim.vocabulary.causes import CAUSES
from mmusim.vocabulary.counters import COUNTERS


class UserFaults(Protocol):
    """Pages whose faults user space answers (userfaultfd): missing or write-protected ones."""

    def fault(self, v: Vcpu, gfn: int, write: bool, index: int) -> Steps:
        """Wait until the access may go on, if it must wait."""


_CAUSES: Final = CAUSES.names
LOCKS: Final = {Lock.SPINLOCK: SpinLock, Lock.RWLOCK: RwLock}
LAST_NS: Final = 1 << 62
"""When the simulated clock ends: after 146 years."""
_AFTER_EVERYTHING_ELSE: Final = 2  # SimPy's own priorities are 0 and 1
_WAITS_AT_ONCE: Final = 1 << 14  # times that wait to be counted together


class Vm:
    """State shared by all processes of a run."""

    def __init__(self, plan: Plan, run_limit: int, probe: Probe | None) -> None:
        """Build an empty VM; `run_limit` bounds how many accesses are one event."""
        self.plan = plan
        self.run_limit = run_limit
        self.by_rates = plan.has_rates
        self._stalled_ns = 0
        self.probe = probe
        self.env = self.make_env()
        self.table = PageTable.empty(plan.pages, plan.backing)
        self.table.disallow_lpage[list(plan.executable)] += 1
        self.table.disallow_1g[list({region >> 9 for region in plan.executable})] += 1
        self.resident = bytearray(0 if plan.prefaulted else plan.pages)  # by the host; empty: all
        self.nx_small = set(plan.executable)  # of these, no fault has met the mitigation yet
        self.view = self.table.views()
        self.policy, choices = plan.chosen.tables(), plan.choices
        self.remote = plan.machine is not None and plan.machine.is_remote(plan.vcpus)
        self.load = None if plan.machine is None else self.make_load(plan, plan.machine)
        self.first_touch = first_touch(plan)
        self.pml = choices.tracking is Tracking.PML
        self.tdp = choices.mmu is Mmu.TDP
        self.shares = self.tdp and choices.lock is Lock.RWLOCK  # faults hold mmu_lock for read
        self.fast_faults = plan.kernel.fast_page_fault(choices.mmu)
        handoff, count = (plan.costs[name].mean() for name in ("c_lock_handoff", "c_lock_count"))
        self.in_flight_ns = round(plan.costs["c_in_flight"].mean())
        self.lock = self.make_lock(plan, handoff, count)
        self.slots_lock = SpinLock(self.env, "slots_lock")
        walks_up = plan.policy.protects_root or plan.policy.protects_tables
        shadow = choices.mmu is Mmu.SHADOW
        self.guest = GuestPdes(len(self.table.region), plan.backing) if shadow else None
        self.upper = UpperLevels.empty(plan.pages) if walks_up else None
        plan.draws.restart()
        self.vcpus = [self.make_vcpu(plan, number) for number in range(plan.vcpus)]
        for v in self.vcpus if self.load is not None else ():
            v.pay_at(self.load)
        self.processor = shared_processor(plan, self.env, self.vcpus)
        asked = plan.preemptible or plan.need_resched_ns > 0 or self.processor is not None
        self.breaks_locks = asked and plan.kernel.breaks_locks()
        self.scheduled_ns = 0  # when the host thread last got its processor
        self.interferers = 0  # processes that interrupt vCPUs
        self.tracked = False  # a slot logs dirty pages
        self.slot_first = plan.slot.base_gfn  # while it does; pages from here to before
        self.slot_end = plan.slot.base_gfn + plan.slot.npages
        self.taken_back: list[tuple[Any, slice]] = []  # what TLBs may still hold; empty: nothing
        self.revoked = np.zeros(0 if plan.tlb is None else len(self.table.region), np.int64)
        self.epoch = 0  # how often something was taken back, up to now and from each region
        self.frozen: set[tuple[int, int]] = set()  # (level, index) of entries being replaced
        self.vmm: Vmm | None = None  # while QEMU migrates the VM
        self.unsent: NDArray[np.bool_] | None = None  # of a RamBlock, in a migration
        self.user_faults: UserFaults | None = None
        self.held = np.zeros(0, np.uint8)  # (pages,) write-protected by the host; empty: none
        self.fingerprint = Fingerprint()
        self.waits = Histogram(), Histogram()  # for mmu_lock, exclusive and shared, by everybody
        self._waited: tuple[list[int], list[int]] = ([], [])  # not yet in them
        refills = plan.costs["c_refill_4K"].mean(), plan.costs["c_refill_2M"].mean()
        self.refills = refills if any(refills) else ()
        self.slow = FaultShares(plan, "c_fault_slow", "c_lock_section")
        self.fast = FaultShares(plan, "c_fault_fast", None)

    def make_env(self) -> simpy.Environment:
        """Return an event list."""
        return simpy.Environment()

    def make_vcpu(self, plan: Plan, number: int) -> Vcpu:
        """Return a vCPU."""
        return Vcpu(plan, number)

    def make_load(self, plan: Plan, machine: Machine) -> MachineLoad:
        """Return the load of a machine and its prices."""
        return MachineLoad(machine, plan, self.env)

    def work(self, ns: int) -> int:
        """Return the time of a vCPU's own work of `ns` at present prices, in ns."""
        return ns if self.load is None else int(self.load.work(ns))

    def runs(self, v: Vcpu, runs: bool = True) -> None:
        """Note that a vCPU runs from now on, or waits; a repeated call changes nothing."""
        if self.load is not None and v.runs != runs:
            v.runs = runs
            self.load.count(self.now, 1 if runs else -1)

    def rests(self, v: Vcpu) -> None:
        """Note that a vCPU waits from now on, or that its program is over."""
        self.runs(v, False)

    def make_lock(self, plan: Plan, handoff_ns: float, count_ns: float) -> SpinLock:
        """Return mmu_lock, with the two times in ns of its law of contention."""
        kind = LOCKS[plan.choices.lock]
        return kind(self.env, "mmu_lock", self.probe, handoff_ns=handoff_ns, count_ns=count_ns)

    @property
    def now(self) -> int:
        """Simulated time in nanoseconds."""
        now: int = self.env._now  # type: ignore[assignment] # env.now costs as much as a step
        return now

    def check_clock(self) -> None:
        """Refuse to continue after the end of the clock.

        Raises
        ------
        ClockError
            If the clock has come to its end.
        """
        if self.env._now > LAST_NS:
            raise ClockError(
                "the run takes longer than 146 years of simulated time, more than the clock holds; "
                "give the costs and times of its host shorter tails"
            )

    def spend(self, ns: int) -> simpy.Event:
        """Let `ns` pass in the host; return the event of their end."""
        return self.env.timeout(ns)

    def spend_on(self, v: Vcpu, cause: int, ns: int) -> simpy.Event:
        """Let `ns` pass in the host and charge them to a cause of a vCPU."""
        v.charge(cause, ns)
        if self.probe is not None and ns:
            self.probe.spent(v.number, self.now, self.now + ns, {_CAUSES[cause]: ns}, v.faulting)
        return self.env.timeout(ns)

    def charge(self, v: Vcpu, cause: int, start_ns: int, end_ns: int) -> None:
        """Charge an interval of a vCPU's time that has passed already, in ns."""
        v.charge(cause, end_ns - start_ns)
        if self.probe is not None and end_ns > start_ns:
            causes = {_CAUSES[cause]: end_ns - start_ns}
            self.probe.spent(v.number, start_ns, end_ns, causes, v.faulting)

    def left_guest(self, v: Vcpu) -> None:
        """Begin a stall of a vCPU."""
        v.in_guest = False
        v.left_ns = self.env._now  # type: ignore[assignment]

    def in_guest_again(self, v: Vcpu) -> None:
        """End a stall of a vCPU."""
        v.in_guest = True
        self._stall_ends(v)

    def halts(self, v: Vcpu) -> None:
        """Let a vCPU rest outside the guest, because the guest has nothing to do: no stall."""
        v.halted = True
        self._stall_ends(v)

    def wakes(self, v: Vcpu) -> None:
        """Begin a stall of a vCPU that rested."""
        v.halted = False
        v.left_ns = self.env._now  # type: ignore[assignment]
        v.stolen_ns += max(0, v.taken_until_ns - v.left_ns)

    def _stall_ends(self, v: Vcpu) -> None:
        self._stalled_ns += self.env._now - v.left_ns  # type: ignore[assignment]
        v.stalls.add(v.left_ns, self.env._now)  # type: ignore[arg-type]

    def spend_in_guest(self, ns: int, v: Vcpu) -> simpy.Event:
        """Let time pass in the guest; of all events of one instant its end is among the last.

        These come in the order of vCPUs: so how many accesses are one event changes nothing.
        """
        self.check_clock()
        event = simpy.Event(self.env)
        event._ok, event._value = True, None
        self.env.schedule(event, _AFTER_EVERYTHING_ELSE + v.number, ns)  # type: ignore[arg-type]
        return event

    def waited(self, shared: bool, ns: int) -> None:
        """Record that somebody has waited `ns` for mmu_lock, exclusively or `shared`."""
        self._waited[shared].append(ns)
        if len(self._waited[shared]) >= _WAITS_AT_ONCE:
            self.waits_for_lock()

    def waits_for_lock(self) -> tuple[Histogram, Histogram]:
        """Return the times in ns spent waiting for mmu_lock held exclusively and shared."""
        for waits, new in zip(self.waits, self._waited, strict=True):
            waits.add(new)
            new.clear()
        return self.waits

    def tracks(self, gfn: int) -> bool:
        """Tell whether `gfn` lies in a slot that logs dirty pages."""
        return self.tracked and self.slot_first <= gfn < self.slot_end

    def revoke(self, pages: Any, regions: slice) -> None:
        """Note that TLBs may hold more of these entries than the tables allow, until a flush."""
        self.taken_back.append((pages, regions))
        if self.plan.tlb is None:
            return
        self.epoch += 1
        if not isinstance(pages, slice):
            self.revoked[pages >> 9] = self.epoch
            if self.plan.backing == LEVEL_1G and regions != slice(0, 0):  # maybe of all below it
                for giant in np.unique(pages >> 18).tolist():
                    self.revoked[giant << 9 : (giant + 1) << 9] = self.epoch
        elif pages == slice(None):
            self.revoked[:] = self.epoch
        else:
            self.revoked[regions] = self.epoch
            self.revoked[pages.start >> 9 : -(-pages.stop >> 9)] = self.epoch
        for v in self.vcpus:
            v.look_again()

    def freeze(self, level: int, index: int, *, on: bool) -> None:
        """Note that the host replaces an entry of `level` 2 or 3 (REMOVED_SPTE), or has done so."""
        (self.frozen.add if on else self.frozen.discard)((level, index))

    def awaits_any(self) -> bool:
        """Tell whether a flush would wait for a vCPU."""
        now = self.now
        return any(v.in_guest or v.entering_ns <= now or v.leaving_ns > now for v in self.vcpus)

    def mark_dirty(self, v: Vcpu, gfn: int) -> None:
        """Push a page to the vCPU's ring (mark_page_dirty_in_slot; the bit is set already)."""
        if v.ring is not None:
            v.ring.push(gfn)

    @property
    def stalled_ns(self) -> int:
        """Time of all stalls that have ended, of all vCPUs in ns."""
        return self._stalled_ns

    def look_at(self, ranges: NDArray[np.int64]) -> None:
        """Tell guests that are given by rates where accesses may matter now: ranges of gfns."""
        for v in self.vcpus:
            look_at = getattr(v.run, "look_at", None)  # of a way through a program of rates
            if look_at is not None:
                look_at(ranges)

    def settle(self) -> None:
        """Mark the pages that the runs of hits under way have touched by now.

        Other actors that read these marks must not see how many accesses are one event.
        """
        for v in self.vcpus:
            if v.run is not None:
                v.run.settle()

    def fold(self) -> None:
        """Complete the recorders of the phases before they are read."""

    def changed(self, who: int) -> None:
        """Tell a probe that `who` has changed the page tables or the log."""
        if self.probe is not None:
            self.probe.changed(who, self.now, self.gauges)

    def gauges(self) -> dict[str, int]:
        """Count the present sptes by size, and the pages in the dirty log."""
        return gauges(self.table, self.plan.slot, self.vcpus)

    def counters(self) -> dict[str, int]:
        """Return the kernel counters as they stand."""
        return dict(zip(COUNTERS, self.table.stat.tolist(), strict=True))
