"""The VM of a compiled run: the host's Python processes beside compiled vCPUs."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import simpy
from numpy.typing import NDArray

from mmusim.base.histogram import BINS
from mmusim.config.page_table_write import WritePageTable
from mmusim.config.phase import GuestPhase
from mmusim.costs.machine import Machine
from mmusim.costs.random_streams import ByOccurrence, Pairing
from mmusim.engine.compiled import fields
from mmusim.engine.compiled.environment import CompiledEnvironment
from mmusim.engine.compiled.loop import AWAITS_ANY, LOOK_AT, RUNS, SETTLE, call
from mmusim.engine.compiled.machine_load import describe
from mmusim.engine.compiled.memory import Memory, Presence, scalar, shared_array
from mmusim.engine.compiled.python_calls import PythonCalls
from mmusim.engine.compiled.shapes import Laws, Shapes
from mmusim.engine.compiled.shared import (
    CompiledFingerprint,
    CompiledLock,
    Counted,
    TakenBack,
    histogram,
)
from mmusim.engine.compiled.shared_load import CompiledLoad
from mmusim.engine.compiled.vcpus import CompiledProgram, CompiledVcpu
from mmusim.engine.compiled.weaving import WOVEN
from mmusim.engine.state.machine_load import at_price
from mmusim.engine.state.mmu_lock import handoff_times
from mmusim.engine.state.phase_recorder import PhaseRecorder
from mmusim.engine.state.tlb import REACH, SLOTS
from mmusim.engine.state.tlb_contents import AHEAD
from mmusim.engine.state.virtual_cpu import REPLAN
from mmusim.engine.state.vm import Vcpu, Vm
from mmusim.mmu.dirty_ring import PML_ENTRIES
from mmusim.mmu.spte import LEVEL_1G, Edit
from mmusim.plan.make import Plan
from mmusim.policies import Lock, Mmu
from mmusim.trace.records import FIRST_ACTOR
from mmusim.trace.stall_windows import WINDOWS
from mmusim.vocabulary.causes import CAUSES
from mmusim.vocabulary.costs import VCPU_COSTS

PRINTS: Final = 1 << 16  # numbers of the trajectory that wait to be hashed
HOST_THREADS: Final = 2  # that may wait for mmu_lock, besides actors
STALLS: Final = (1 << 9) + fields.LINE  # stalls that a vCPU holds at first


class CompiledVm(Vm):
    """State shared by compiled vCPUs and the host's processes."""

    interferers, epoch = scalar("interferers"), scalar("epoch")
    slot_first, slot_end = scalar("slot_first"), scalar("slot_end")
    user_faults, held = Presence("user_faults"), shared_array("held")

    def __init__(self, plan: Plan, run_limit: int) -> None:
        """Build an empty VM; `run_limit` bounds how many accesses are one event."""
        self.memory = Memory(plan.vcpus)
        self._recorders: list[PhaseRecorder] = []
        self._number_of: dict[int, int] = {}  # by their identity; none goes before the run ends
        self.shapes = Shapes(self.memory)
        self.laws = Laws(self.memory)
        self._allocate(plan)
        super().__init__(plan, run_limit, None)
        self.taken_back = TakenBack(self.memory)  # type: ignore[assignment]
        self.fingerprint = self.written = CompiledFingerprint(self.memory)
        self.keeps_working_sets = any(isinstance(p, WritePageTable) for p in plan.driver.phases)
        self._describe(plan)
        self._hand_out_chance(plan)

    # --- what the base class is made of -------------------------------------------------------

    def make_env(self) -> simpy.Environment:
        """Return the event list that compiled code shares."""
        self._wanted = PythonCalls(self)
        self.compiled_env = CompiledEnvironment(self.memory, self._wanted.serve)
        return self.compiled_env

    def make_vcpu(self, plan: Plan, number: int) -> CompiledVcpu:
        """Return a vCPU in the run's memory."""
        return CompiledVcpu(self, plan, number)

    def make_lock(self, plan: Plan, handoff_ns: float, count_ns: float) -> Any:
        """Return mmu_lock; what passing it on takes is tabulated by how many wait."""
        threads = HOST_THREADS + len(plan.actors)
        times = handoff_times(handoff_ns, plan.vcpus + threads)
        self.memory.put("handoff", np.array(times, np.int64))
        self.memory.set("shareable", plan.choices.lock is Lock.RWLOCK)
        return CompiledLock(self.compiled_env, self.memory, count_ns)

    def make_load(self, plan: Plan, machine: Machine) -> CompiledLoad:
        """Return the load of a machine, which compiled code counts."""
        return CompiledLoad(machine, plan, self.env, self.memory)

    def runs(self, v: Vcpu, runs: bool = True) -> None:
        """A vCPU runs from now on, or waits."""
        call(self.memory.address, RUNS, v.number, int(runs), 0)

    @property
    def tracked(self) -> bool:
        """Whether the slot logs dirty pages."""
        return bool(self.memory.get("tracked"))

    @tracked.setter
    def tracked(self, tracked: bool) -> None:
        """What is under way was begun under the old value; what comes next is planned anew."""
        if self.memory.get("bundles") and tracked != self.tracked:
            self.settle()
            for v in self.vcpus:
                process: Any = v.process
                if v.in_guest and isinstance(process, CompiledProgram):
                    process.interrupt(REPLAN)
        self.memory.set("tracked", int(tracked))

    @property
    def stalled_ns(self) -> int:
        """Time of all stalls that have ended, of all vCPUs in ns."""
        of_stalls = slice(fields.LOCK_HISTOGRAMS + fields.STALLS, None, 4)
        return int(self.memory["exact"][of_stalls, 1].sum())

    def awaits_any(self) -> bool:
        """Tell whether a flush would wait for a vCPU."""
        return bool(call(self.memory.address, AWAITS_ANY, 0, 0, 0))

    def freeze(self, level: int, index: int, *, on: bool) -> None:
        """The host thread replaces an entry, or has done so."""
        self.memory["frozen_giant" if level == LEVEL_1G else "frozen_region"][index] = on
        self.memory.set("frozen_n", self.memory.get("frozen_n") + (1 if on else -1))

    # --- memory -------------------------------------------------------------------------------

    def _allocate(self, plan: Plan) -> None:
        cpus, put = plan.vcpus, self.memory.put
        edges = 2 * len(plan.driver.windows)
        recorders = 1 + edges + sum(isinstance(p, GuestPhase) for p in plan.driver.phases)
        sources = len(plan.interference)
        histograms = fields.LOCK_HISTOGRAMS + 4 * recorders
        put("ledger", np.zeros((recorders, len(CAUSES)), np.int64))
        put("since", np.zeros(recorders, np.int64))
        put("owed", np.zeros((cpus, edges, 2), np.int64))
        put("bins", np.zeros((histograms, BINS), np.int64))
        put("exact", np.zeros((histograms, 4), np.int64))
        put("prints", np.zeros(PRINTS, np.int64))
        for name in ("stall_from", "stall_to", "stall_before"):
            put(name, np.zeros((cpus, STALLS), np.int64))
        put("worst", np.zeros((cpus, len(WINDOWS)), np.int64))
        for name in ("ends", "hits", "walks", "logs"):
            put(name, np.zeros((cpus, fields.ROOM), np.int64))
        threads = HOST_THREADS + len(plan.actors)
        put("queue", np.zeros((cpus + threads, 4), np.int64))
        put("holder_rows", np.zeros((cpus - FIRST_ACTOR + len(plan.actors), 3), np.int64))
        for name in WOVEN.lists:
            put(name, np.zeros((cpus, cpus), np.int64))
        put("taken", np.zeros((8, 4), np.int64))
        put("buffered", np.zeros((cpus, PML_ENTRIES), np.int64))
        put("ring", np.zeros((cpus, plan.ring_entries), np.int64))
        put("stolen_times", np.zeros((cpus, sources), np.int64))
        streams = fields.INTERFERENCE_STREAMS + 2 * sources
        put("keys", np.zeros((cpus, streams), np.uint64))
        put("paid", np.zeros(streams, np.int64))
        put("shape", np.zeros((cpus, streams), np.int64))

    def _make_tlbs(self, plan: Plan) -> None:
        """Make room for what TLBs hold that let translations go."""
        if plan.tlb is None:
            return
        cpus, entries, put = plan.vcpus, sum(plan.tlb), self.memory.put
        put("tlb_first", np.cumsum([0, *plan.tlb], dtype=np.int64))
        put("tlb_ends", np.zeros((cpus, 1 + len(plan.tlb), 3), np.int64))
        for name in ("tlb_key", "tlb_epoch", "tlb_newer", "tlb_older", "tlb_chain"):
            put(name, np.zeros((cpus, entries), np.int64))
        put("tlb_bucket", np.zeros((cpus, 2 << entries.bit_length()), np.int64))
        put("tlb_uses", np.zeros((cpus, AHEAD, 5), np.int64))
        put("revoked", self.revoked)

    def needs_idles(self) -> None:
        """Make room for what comes before accesses, if there is none yet."""
        if not self.memory["idles"].size:
            self.memory.put("idles", np.zeros((self.plan.vcpus, fields.ROOM), np.int64))

    def _describe(self, plan: Plan) -> None:
        """Write down what does not change."""
        memory, table, choices = self.memory, self.table, plan.choices
        for name in table._fields:
            memory.put(name, getattr(table, name))
        regions, giants = len(table.region), len(table.giant)
        memory.put("frozen_region", np.zeros(regions, np.uint8))
        memory.put("frozen_giant", np.zeros(giants, np.uint8))
        if self.resident:
            memory.put("resident", np.frombuffer(self.resident, np.uint8))
        if self.nx_small:
            small = memory.put("nx_small", np.zeros(regions, np.uint8))
            small[sorted(self.nx_small)] = 1
        if self.guest is not None:
            memory.put("guest_dirty", self.guest.dirty)
            memory.put("guest_orphans", self.guest.orphans)
        if self.upper is not None:
            for name, array in self.upper._asdict().items():
                memory.put(fields.UPPER[name], array)
        memory.put("fast_path", np.array(self.policy.fast_path, np.bool_))
        if self.refills:
            memory.put("working", np.zeros((plan.vcpus, REACH), np.int64))
            memory.put("last_seen", np.zeros(SLOTS, np.int32))
        self._make_tlbs(plan)
        (small_ns, large_ns), slow, fast = self.refills or (0.0, 0.0), self.slow, self.fast
        reals = (
            slow.after_exit, slow.entry, slow.locked, slow.restored, fast.after_exit,
            fast.entry, small_ns, large_ns, plan.costs["c_wclear"].mean(),
        )  # fmt: skip
        memory.put("reals", np.array(reals, np.float64))
        slot, ring = plan.slot, self.vcpus[0].ring
        facts = {
            "cpus": plan.vcpus, "pages": plan.pages, "slot_first": slot.base_gfn,
            "slot_end": slot.base_gfn + slot.npages, "backing": plan.backing,
            "keep_child": plan.keep_child, "is_tdp": choices.mmu is Mmu.TDP, "shares": self.shares,
            "pml": self.pml, "fast_faults": self.fast_faults,
            "fast_at_target_only": plan.kernel.fast_fault_at_target_level_only(),
            "blocked_splits": self.policy.blocked == Edit.SPLIT,
            "guest_shift": self.guest.shift if self.guest is not None else 0,
            "has_upper": self.upper is not None, "protects_root": plan.policy.protects_root,
            "protects_tables": plan.policy.protects_tables, "buffer": fields.BUFFER,
            "by_occurrence": plan.draws.pairing is Pairing.BY_OCCURRENCE,
            "writes_cost": self.vcpus[0].t_write is not None, "refills": bool(self.refills),
            "run_limit": self.run_limit, "halt_poll_ns": plan.halt_poll_ns,
            "bundles": self.pml and plan.draws.pairing is not Pairing.BY_OCCURRENCE
            and not any(plan.overlaps(number) for number in range(len(plan.driver.phases))),
            "in_flight_ns": self.in_flight_ns, "ring_size": 0 if ring is None else ring.size,
            "ring_soft": 0 if ring is None else ring.soft_limit,
            "measured_recorder": -1, "has_tlb": plan.tlb is not None, "by_rates": self.by_rates,
        }  # fmt: skip
        for name, value in facts.items():
            memory.set(name, int(value))
        describe(memory, plan, self.first_touch)

    def _hand_out_chance(self, plan: Plan) -> None:
        """Tabulate the distributions, and note the keys of every stream of a vCPU."""
        others = []
        for source, rare in enumerate(plan.interference):
            gap = fields.INTERFERENCE_STREAMS + 2 * source
            others.append((gap, f"interference_gap_{source}", rare.every))
            others.append((gap + 1, f"interference_{source}", rare.lasts))
        for v in self.vcpus:
            costs = plan.costs_of(v.number)
            own = [(number, name, costs[name]) for name, number in VCPU_COSTS.items()]
            for number, name, distribution in [*own, *others]:
                self.memory["shape"][v.number, number] = self.shapes.number(distribution)
                stream = plan.draws.stream(name, v.number, distribution)
                self.memory["keys"][v.number, number] = stream.key
                if isinstance(stream, ByOccurrence):
                    plan.draws.share(name, counted := Counted(stream, self.memory["paid"], number))
                    if name in Vcpu.__slots__:
                        setattr(v, name, at_price(self.load, name, counted))

    # --- recorders ------------------------------------------------------------------------------

    def number_of(self, recorder: PhaseRecorder) -> int:
        """Return the number of a phase's recorder in memory; 0 is that of no phase."""
        if recorder.npages == 0:
            return 0
        number = self._number_of.setdefault(id(recorder), 1 + len(self._recorders))
        if number > len(self._recorders):
            self._recorders.append(recorder)
            self.memory["since"][len(self._recorders)] = recorder.since_ns
            if recorder.touched is not None:
                self.memory.put("touched", recorder.touched)
                self.memory.set("measured_recorder", len(self._recorders))
        return number

    def look_at(self, ranges: NDArray[np.int64]) -> None:
        """Tell guests that are given by rates where accesses may matter now: ranges of gfns."""
        if self.by_rates and len(ranges):
            self.memory.put("looked", ranges)
            call(self.memory.address, LOOK_AT, len(ranges), 0, 0)

    def settle(self) -> None:
        """Mark what the runs of hits under way have touched by now."""
        call(self.memory.address, SETTLE, 0, 0, 0)

    def fold(self) -> None:
        """Write what compiled code has charged into the phases' recorders."""
        memory = self.memory
        for number, recorder in enumerate(self._recorders, 1):
            for cause, ns in enumerate(memory["ledger"][number].tolist()):
                recorder.ledger[cause] += ns
            first = fields.LOCK_HISTOGRAMS + 4 * number
            own = (recorder.reads, recorder.writes, recorder.requests, recorder.stalls)
            for offset, mine in enumerate(own):
                mine.merge(histogram(memory, first + offset))
        for mode, waits in enumerate(self.waits):
            waits.merge(histogram(memory, fields.WAITS_EXCLUSIVE + mode))
