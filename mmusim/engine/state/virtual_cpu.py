"""A simulated virtual CPU: its state, and the streams of its costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import simpy

from mmusim.costs.distributions import Constant
from mmusim.costs.machine import OWN_WORK
from mmusim.costs.random_streams import Stream
from mmusim.engine.state import charges
from mmusim.engine.state.machine_load import NEVER_NS, MachineLoad, at_price
from mmusim.engine.state.phase_recorder import PhaseRecorder
from mmusim.engine.state.recent_exits import RecentExits
from mmusim.engine.state.steps import WorkItem
from mmusim.engine.state.tlb import WorkingSet
from mmusim.engine.state.tlb_contents import TlbContents
from mmusim.mmu.dirty_ring import DirtyRing
from mmusim.plan.make import Plan, Program
from mmusim.policies import Tracking
from mmusim.trace.stall_windows import Stalls

ATTRIBUTES: Final = {"t_walk_4K": "t_walk"}
"""Attributes for streams whose name differs from that of the cost."""
REPLAN: Final = "replan"
"""Cause of an interrupt without an exit: the planned run is out of date."""


class Vcpu:
    """A virtual CPU and its state."""

    __slots__ = (
        "accesses", "ack", "c_ack", "c_alloc_table", "c_entry", "c_exit", "c_fault_fast",
        "c_fault_slow", "c_flush_init", "c_flush_target", "c_halt_wake", "c_pml_drain",
        "c_pml_log", "c_postcopy_fault", "c_ring_exit", "c_split_1G", "c_tdp_split_2M",
        "c_tlb_flush", "c_uffd_fault", "c_user_exit", "c_walk_guest", "c_zap_large",
        "cause_before", "charged_ns", "entering_ns", "first", "flush_requested", "flushes",
        "grace", "halted", "handling", "in_guest", "interrupted", "kicks", "last_cause", "last_ns",
        "leaving_ns", "left_ns", "misses", "need_resched", "number", "owed", "past", "pml",
        "prices", "process", "queued_work", "recent", "recorder", "ring", "ring_exits", "run",
        "runs", "shares_processor", "sleep_per_full_ring", "stalls", "started_ns", "stolen_ns",
        "t_hit", "t_pass", "t_walk", "t_write", "taken_until_ns", "tlb", "turned_back",
        "user_exits", "waits_for", "working_set",
    )  # fmt: skip

    t_hit: Stream
    t_walk: Stream
    t_pass: Stream
    c_ack: Stream
    c_alloc_table: Stream
    c_entry: Stream
    c_exit: Stream
    c_fault_fast: Stream
    c_fault_slow: Stream
    c_flush_init: Stream
    c_flush_target: Stream
    c_halt_wake: Stream
    c_pml_drain: Stream
    c_pml_log: Stream
    c_postcopy_fault: Stream
    c_ring_exit: Stream
    c_split_1G: Stream  # noqa: N815 - units as people write them
    c_tdp_split_2M: Stream  # noqa: N815
    c_tlb_flush: Stream
    c_uffd_fault: Stream
    c_walk_guest: Stream
    c_user_exit: Stream
    c_zap_large: Stream

    def __init__(self, plan: Plan, number: int) -> None:
        """Start in user space, with nothing in the TLB."""
        costs = plan.costs_of(number)

        def stream(name: str) -> Stream:
            return plan.draws.stream(name, number, costs[name])

        self.number = number
        self.recorder = PhaseRecorder(0)
        self.stalls = Stalls(0, self.recorder.stalls)  # of this phase
        self.process: simpy.Process | None = None
        self.started_ns = 0  # when its program began, or its part behind an edge of a window
        self.charged_ns = 0  # up to when its time is charged
        self.cause_before = self.last_cause = self.last_ns = 0  # of the last two charges
        self.owed: Any = []  # rows: a recorder, the time before its edge that is not charged yet
        self.in_guest = False
        self.halted = False  # it waits outside the guest for a request
        self.left_ns = 0  # when it left the guest last, or was woken
        self.accesses = 0  # that it has completed
        self.flush_requested = False
        self.entering_ns = NEVER_NS  # from when a flush finds it in guest mode as it enters
        self.leaving_ns = 0  # until when a flush finds it in guest mode as it leaves
        self.turned_back = False  # a flush has found it so
        self.ack: simpy.Event | None = None  # of the kick that is being answered
        self.handling = False  # inside a page fault: an SRCU read section
        self.grace: list[simpy.Event] = []  # of those that wait for its end
        self.pml: list[int] = []  # the PML buffer, as gfns
        pml = plan.choices.tracking is Tracking.PML
        self.ring = DirtyRing(plan.ring_entries, pml) if plan.ring_entries else None
        self.queued_work: list[WorkItem] = []  # what the VMM wants done on the vCPU's thread
        self.sleep_per_full_ring = 0  # ns, by dirty-limit

        self.flushes = self.ring_exits = self.kicks = self.user_exits = 0
        self.interrupted: Counter[int] = Counter()  # how often, by what of the plan
        self.taken_until_ns = 0  # while it is halted another task has its processor
        self.shares_processor = False  # with the host thread
        self.need_resched = False  # it is to give its processor to the host thread
        self.stolen_ns = 0  # by the host, while the vCPU was not in the guest or was thrown out
        self.run: Any = None  # UnderWay while it goes through a program
        self.past: Any = None  # the GuestRun that it is in, or was in last
        self.tlb = None if plan.tlb is None else TlbContents(plan.tlb)  # None: it has no limit
        self.working_set: WorkingSet | None = None  # of the program, whose first access is:
        self.first = 0
        self.waits_for = ""
        self.prices: MachineLoad | None = None
        self.runs = False  # on a processor of a described machine
        self.misses = False  # its program touches more than the cache of a processor holds
        self.t_hit, self.t_walk = stream("t_hit_2M"), stream("t_walk_4K")
        self.recent: RecentExits | None = None  # hits depend on nothing
        if plan.curve is not None:
            self.recent = RecentExits(self.t_hit.key, self.t_walk.key)
        writes_cost = plan.costs["t_write"] != Constant(0.0)
        self.t_write = stream("t_write") if writes_cost else None
        for name in Vcpu.__slots__:
            if name.startswith("c_") or name == "t_pass":
                setattr(self, name, stream(name))

    def pay_at(self, load: MachineLoad | None) -> None:
        """Stretch the costs of the vCPU's own work by the load of a described machine; None: by
        nothing.
        """
        self.prices = load
        for cost in OWN_WORK:
            name = ATTRIBUTES.get(cost, cost)
            setattr(self, name, at_price(load, cost, getattr(self, name)))

    def take(self, program: Program) -> None:
        """Set what hits take for the program that begins."""
        self.misses = self.prices is not None and self.prices.misses(program.pages)
        if self.recent is not None and program.tables is not None:
            self.recent.take(program.tables, self.prices)

    def count_exit(self) -> None:
        """Note that the vCPU leaves the guest: hits take longer after exits."""
        if self.recent is not None:
            self.recent.left(self.accesses)

    def expects_answer(self, answer: simpy.Event) -> simpy.Event:
        """Note that the vCPU is kicked; `answer` happens when it has acknowledged that.
        Return it.
        """
        self.ack = answer
        return answer

    def begin(self, now: int) -> None:
        """Begin a program at `now`, in ns; the vCPU is in the host."""
        self.stalls = Stalls(now, self.recorder.stalls)
        self.left_ns = self.started_ns = self.charged_ns = now
        self.owed.clear()

    @property
    def faulting(self) -> int:
        """The page whose fault it is in, or -1."""
        return self.run.access[0] if self.handling else -1

    def charge(self, cause: int, ns: int) -> None:
        """Charge `ns` to a cause. They follow the time charged before, and may lie ahead of now."""
        self.recorder.ledger[cause] += ns
        self.charged_ns += ns
        self.cause_before, self.last_cause, self.last_ns = self.last_cause, cause, ns
        if self.owed:
            owed = self.owed
            del owed[charges.pay_owed(None, owed, len(owed), self.recorder, cause, ns) :]

    def parts_with(
        self, recorder: PhaseRecorder, spent_ns: int, log: int, walk: int, hit: int
    ) -> None:
        """Divide a run, charged to `recorder`, at the edges of windows; see `charges.part_with`."""
        n = len(self.owed)
        charges.part_with(None, self.owed, n, recorder, self.recorder, spent_ns, log, walk, hit)
        self.owed.clear()

    def change_recorder(self, recorder: PhaseRecorder, now: int) -> None:
        """Write into another recorder from `now` on: an edge of a window. The guest goes on.

        Time is divided here: time charged ahead of now is moved to the new recorder, and time not
        charged yet is owed to the old one. A run of hits continues to the end of the access in
        flight and is planned again there, which does not change the result.
        """
        before, self.recorder = self.recorder, recorder
        if not self.has_begun:
            return
        before.close_vcpu(self.cut_stalls(before, now), self.started_ns, now)
        self.started_ns = now
        over = self.charged_ns - now
        if over > 0:
            last = min(over, self.last_ns)
            for cause, ns in ((self.last_cause, last), (self.cause_before, over - last)):
                self.ledger_of(before)[cause] -= ns
                self.ledger_of(recorder)[cause] += ns
        else:
            self.owe(before, -over)
        self.look_again()

    @property
    def has_begun(self) -> bool:
        """Whether its first program has begun."""
        return self.run is not None

    def ledger_of(self, recorder: PhaseRecorder) -> Any:
        """Return the ledger into which time of a recorder is charged, ns by cause."""
        return recorder.ledger

    def owe(self, recorder: PhaseRecorder, ns: int) -> None:
        """Note that `ns` of the time that is charged next lie before an edge, less what is owed
        already.
        """
        self.owed.append([recorder, ns - sum(due for _, due in self.owed)])

    def cut_stalls(self, before: PhaseRecorder, now: int) -> Mapping[int, int]:
        """Return the worst windows up to an edge at `now`, and begin new ones; `before` is
        replaced.

        Worst windows: length in ns -> the most time lost in one, in ns.
        """
        worst = self.stalls.cut(now, None if self.in_guest or self.halted else self.left_ns)
        self.stalls = Stalls(now, self.recorder.stalls, before.at(self.left_ns).stalls)
        return worst

    def stop(self, now: int) -> None:
        """End the program at `now`: with what is under way, and the requests that have arrived."""
        if self.run is not None:
            self.run.stop(now)
            self.look_again()
            self.wake()

    def completed(self, now: int) -> int:
        """Return how many accesses it has completed by `now`, in ns, since the start of the run."""
        return self.accesses + (0 if self.run is None else self.run.completed(now))

    def flushes_tlb(self) -> None:
        """Forget all translations of its TLB."""
        if self.tlb is not None:
            self.tlb.forget(self.accesses)

    def wake(self) -> None:
        """If the vCPU has halted, let it look whether it has work."""
        if self.halted:
            self.halted = False
            assert self.process is not None
            self.process.interrupt(REPLAN)

    def look_again(self) -> None:
        """If the vCPU is in the guest, plan again from the end of the access in flight."""
        if self.in_guest:
            assert self.process is not None
            self.process.interrupt(REPLAN)
