"""One VM while it is simulated: what its vCPUs and the host thread share."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final, cast

import simpy
from numpy.typing import NDArray

from mmusim.engine.mmu_lock import SpinLock
from mmusim.histogram import Histogram
from mmusim.mmu.counters import NAMES
from mmusim.mmu.page_table import PageTable
from mmusim.plan import Plan
from mmusim.policies import tabulate
from mmusim.trace import CAUSES, HOST, Fingerprint, Probe

Steps = Generator[simpy.Event, Any, None]
"""A SimPy process, or a part of one."""
Outcome = Generator[simpy.Event, Any, int]
"""A part of a process that returns a number."""

(
    HITS, WALK_4K, THINK, PASS, FAULT_SLOW, FAULT_FAST, TABLE_ALLOC, DROP_LARGE,
    MMU_LOCK_WAIT, FLUSH_WAIT, FLUSH_EXIT, TLB_FLUSH,
) = range(len(CAUSES))  # fmt: skip

_AFTER_EVERYTHING_ELSE: Final = 2  # SimPy's own priorities are 0 and 1


class Books:
    """What the vCPUs of one guest phase write down."""

    def __init__(self, npages: int) -> None:
        """Start empty, for a slot of `npages` pages."""
        self.ledger = [0] * len(CAUSES)
        self.vcpu_ns = 0
        self.reads, self.writes = Histogram(), Histogram()
        self.latencies: tuple[list[int], list[int]] = ([], [])  # reads, writes not yet added
        self.touched: NDArray[Any] | None = None  # (npages,) of the slot, where it is asked for
        self.read_before_drop: list[int] = []
        self.npages = npages

    def close(self) -> None:
        """Add what is still in lists to the histograms."""
        for histogram, waiting in zip((self.reads, self.writes), self.latencies, strict=True):
            histogram.add(waiting)
            waiting.clear()

    def facts(self) -> dict[str, Any]:
        """Return the fields of a :class:`~mmusim.trace.PhaseTrace` that these books fill."""
        return {
            "vcpu_ns": self.vcpu_ns,
            "ledger": dict(zip(CAUSES, self.ledger, strict=True)),
            "reads": self.reads,
            "writes": self.writes,
            "read_before_drop": tuple(self.read_before_drop),
        }


class Vcpu:
    """A virtual CPU and where it is."""

    __slots__ = (
        "ack", "books", "c_alloc_table", "c_entry", "c_exit", "c_fault_fast", "c_fault_slow",
        "c_flush_init", "c_flush_target", "c_tlb_flush", "c_zap_large", "flush_requested",
        "flushes", "in_guest", "number", "process", "t_hit", "t_pass", "t_walk", "waits_for",
    )  # fmt: skip

    def __init__(self, plan: Plan, number: int) -> None:
        """Start in user space, with nothing in the TLB."""

        def stream(name: str) -> Any:
            return plan.draws.stream(name, number, plan.costs[name])

        self.number = number
        self.books = Books(0)
        self.process: simpy.Process | None = None
        self.in_guest = False
        self.flush_requested = False
        self.ack: simpy.Event | None = None  # of the kick that is being answered
        self.flushes = 0
        self.waits_for = ""
        self.t_hit, self.t_walk = stream("t_hit_2M"), stream("t_walk_4K")
        self.t_pass, self.c_exit, self.c_entry = (
            stream("t_pass"),
            stream("c_exit"),
            stream("c_entry"),
        )
        self.c_fault_slow, self.c_fault_fast = stream("c_fault_slow"), stream("c_fault_fast")
        self.c_alloc_table, self.c_zap_large = stream("c_alloc_table"), stream("c_zap_large")
        self.c_flush_init, self.c_flush_target = stream("c_flush_init"), stream("c_flush_target")
        self.c_tlb_flush = stream("c_tlb_flush")


class Vm:
    """State shared by all processes of a run."""

    def __init__(self, plan: Plan, run_limit: int, probe: Probe | None) -> None:
        """Build an empty VM; `run_limit` bounds how many accesses are one event."""
        self.plan = plan
        self.run_limit = run_limit
        self.probe = probe
        self.env = simpy.Environment()
        self.table = PageTable.empty(plan.pages)
        self.view = self.table.views()
        self.policy = tabulate(plan.policy)
        self.lock = SpinLock(self.env, probe)
        self.vcpus = [Vcpu(plan, number) for number in range(plan.vcpus)]
        self.tracked = False  # the slot logs dirty pages
        self.unflushed = False  # entries were taken back and TLBs may still hold them
        self.fingerprint = Fingerprint()
        self.waited_ns = 0  # for mmu_lock, by everybody
        self.slow = _Split(plan, "c_fault_slow", "c_lock_section")
        self.fast = _Split(plan, "c_fault_fast", None)

    @property
    def now(self) -> int:
        """Simulated time in nanoseconds."""
        return cast("int", self.env._now)  # the property costs as much as a step of the model

    def spend(self, ns: int) -> simpy.Event:
        """Let time pass in the host."""
        return self.env.timeout(ns)

    def spend_in_guest(self, ns: int, v: Vcpu) -> simpy.Event:
        """Let time pass in the guest.

        Of all that happens at one instant the ends of guest runs come last, in the order of the
        vCPUs' numbers. So the result does not depend on how many accesses a run bundles.
        """
        event = simpy.Event(self.env)
        event._ok, event._value = True, None
        self.env.schedule(event, _AFTER_EVERYTHING_ELSE + v.number, ns)  # type: ignore[arg-type]
        return event

    def take_mmu_lock(self, v: Vcpu | None) -> simpy.Event | None:
        """Take mmu_lock if it is free; else return what to wait for with :meth:`in_queue`.

        `v` is None for the host thread.
        """
        return self.lock.acquire(HOST if v is None else v.number)

    def in_queue(self, v: Vcpu | None, granted: simpy.Event) -> Steps:
        """Wait for the grant of mmu_lock and book the time."""
        asked = self.now
        if v is not None:
            v.waits_for = "mmu_lock"
        yield granted
        waited = self.lock.granted(asked)
        self.waited_ns += waited
        if v is not None:
            v.waits_for = ""
            v.books.ledger[MMU_LOCK_WAIT] += waited

    def tracks(self, gfn: int) -> bool:
        """Tell whether `gfn` lies in a slot that logs dirty pages."""
        slot = self.plan.slot
        return self.tracked and slot.base_gfn <= gfn < slot.base_gfn + slot.npages

    def counters(self) -> dict[str, int]:
        """Return the kernel counters as they stand."""
        return dict(zip(NAMES, self.table.stat.tolist(), strict=True))


class _Split:
    """How one draw of a whole fault parts into handler, locked section and entry.

    The exit is drawn by itself, because it is paid before the path is known. The other parts share
    what is left in proportion to the means of the profile.
    """

    __slots__ = ("after_exit", "entry", "locked")

    def __init__(self, plan: Plan, whole: str, locked: str | None) -> None:
        def share(name: str) -> float:
            total = plan.costs[whole].mean()
            return plan.costs[name].mean() / total if total else 0.0

        self.after_exit = 1 - share("c_exit")
        self.entry = share("c_entry")
        self.locked = share(locked) if locked else 0.0
