"""A vCPU in the run's memory, as an object for the host's Python processes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import numpy as np
import simpy

from mmusim.engine.compiled.completed import completed_by
from mmusim.engine.compiled.events import KICK, KIND_BITS, REPLAN, URGENT
from mmusim.engine.compiled.fields import FIELD, T_THINK
from mmusim.engine.compiled.hit_tables import let_hit, remember_exits
from mmusim.engine.compiled.loop import CHARGE, CLOSE_STALLS, CUT_STALLS, PUSH, call
from mmusim.engine.compiled.memory import Memory, field
from mmusim.engine.compiled.programs import load_accesses, load_points
from mmusim.engine.compiled.runs import GFN, WRITE_BIT
from mmusim.engine.compiled.shapes import Laws, Shapes
from mmusim.engine.compiled.shared import CompiledRing, SyncedList
from mmusim.engine.compiled.weaving import BEGINS, WOVEN
from mmusim.engine.state.phase_recorder import PhaseRecorder
from mmusim.engine.state.tlb import WorkingSet
from mmusim.engine.state.vm import Vcpu
from mmusim.plan.make import Plan, Program
from mmusim.trace.stall_windows import WINDOWS


class VmOfVcpus(Protocol):
    """What a vCPU needs of its VM."""

    memory: Memory
    shapes: Shapes
    laws: Laws
    plan: Plan
    env: simpy.Environment
    keeps_working_sets: bool
    refills: Any
    pml: bool

    @property
    def now(self) -> int:
        """Simulated time in nanoseconds."""

    def number_of(self, recorder: PhaseRecorder) -> int:
        """Return the number of a phase's recorder in memory; 0 is that of no phase."""

    def needs_idles(self) -> None:
        """Make room for waits before accesses."""


class CompiledVcpu(Vcpu):
    """A virtual CPU whose state lies in the run's memory."""

    __slots__ = ("__dict__", "laps", "of", "row")

    in_guest = field("in_guest", bool)
    halted = field("halted", bool)
    taken_until_ns = field("taken_until_ns")
    left_ns = field("left_ns")
    accesses = field("accesses")
    flush_requested = field("flush_requested", bool)
    entering_ns = field("entering_ns")
    leaving_ns = field("leaving_ns")
    turned_back = field("turned_back", bool)
    handling = field("handling", bool)
    stolen_ns = field("stolen_ns")
    need_resched = field("need_resched", bool)
    shares_processor = field("shares_processor", bool)
    first = field("first")
    kicks, flushes = field("kicks"), field("flushes")
    ring_exits = field("ring_exits")
    user_exits = field("user_exits")
    ring_n, ring_pushed = field("ring_n"), field("ring_pushed")
    at = field("at")
    waits = field("waits")
    started_ns = field("started_ns")
    length = field("length")
    alive = field("alive", bool)
    program_no = field("program_no")
    completed = completed_by
    charged_ns = field("charged_ns")
    cause_before, last_cause = field("cause_before"), field("last_cause")
    last_ns = field("last_ns")

    def __init__(self, vm: VmOfVcpus, plan: Plan, number: int) -> None:
        """Start in user space, with nothing in the TLB."""
        self.of, self.row = vm, vm.memory.vcpus[number]
        self.laps: Iterator[Program] = iter(())
        self.arrays: tuple[Any, ...] = ()
        super().__init__(plan, number)
        remember_exits(vm.memory, plan)
        self.grace = SyncedList(self.row, FIELD["graces"])
        self.queued_work = SyncedList(self.row, FIELD["queued_work"])
        if plan.ring_entries:
            self.ring = CompiledRing(self, vm.memory["ring"][number], vm.pml)  # type: ignore[assignment]

    @property
    def recorder(self) -> PhaseRecorder:
        """The recorder of the phase it is in."""
        return self._recorder

    @recorder.setter
    def recorder(self, recorder: PhaseRecorder) -> None:
        self._recorder = recorder
        self.row[FIELD["recorder"]] = self.of.number_of(recorder)

    @property
    def pml(self) -> list[int]:
        """The PML buffer, as gfns."""
        count = self.row[FIELD["pml_n"]]
        gfns: list[int] = self.of.memory["buffered"][self.number, :count].tolist() if count else []
        return gfns

    @pml.setter
    def pml(self, gfns: list[int]) -> None:
        self.row[FIELD["pml_n"]] = len(gfns)
        if gfns:
            self.of.memory["buffered"][self.number, : len(gfns)] = gfns

    @property
    def interrupted(self) -> Any:
        """How often it was interrupted, by what of the plan."""
        return self.of.memory["stolen_times"][self.number]

    @interrupted.setter
    def interrupted(self, counter: Any) -> None:
        """Counts are in the run's memory."""

    @property
    def waits_for(self) -> str:
        """What it waits for, for messages."""
        return self._waits_for or WOVEN.texts[self.row[FIELD["waits_for"]]]

    @waits_for.setter
    def waits_for(self, what: str) -> None:
        self._waits_for = what

    def load(self, program: Program, began_ns: int) -> None:
        """Write a program into memory; requests count from `began_ns`, in ns."""
        if program.points is not None:
            load_points(self, program, program.points)
            return
        accesses = program.accesses
        gfn = accesses.gfn
        self.keep_last_program()
        self.length = len(gfn)
        self._set("leaves", 0)
        code = load_accesses(self, accesses)
        extra = due = last = None
        if accesses.think is not None:
            extra = np.ascontiguousarray(accesses.think, np.int64)
        self._set("halts", 0)
        if accesses.requests is not None:
            due = accesses.requests.due + began_ns
            last = np.ascontiguousarray(accesses.requests.last, np.bool_)
            self._set("halts", int(accesses.requests.halts))
        self.arrays = code, extra, due, last
        for name, array in (("extra", extra), ("due", due), ("last", last)):
            self._set(name, 0 if array is None else array.ctypes.data)
        self.last_due = None if due is None else int(due[-1])
        self._set("think", -1)
        if program.think is not None:
            self._set("think", self.of.shapes.number(program.think.distribution))
            self.of.memory["keys"][self.number, T_THINK] = program.think.key
        if program.think is not None or extra is not None or due is not None:
            self.of.needs_idles()
        self.first = program.first
        self._set("k", 0)
        self._set("began", -1)
        let_hit(self, program)
        self._set("think_left", self._first_think(program))
        if self.of.keeps_working_sets:
            self.working_set = WorkingSet(gfn)

    def keep_last_program(self) -> None:
        """Keep the program that ends: its accesses tell what the TLB holds next."""
        if self.row[FIELD["leaves"]]:  # it had rates; the one before counts
            return
        self.arrays_before = self.arrays
        for last, now in (("code", "code"), ("sequential", "sequential"), ("n", "k")):
            self._set(f"before_{last}", int(self.row[FIELD[now]]))

    def flushes_tlb(self) -> None:
        """Forget all translations of its TLB."""
        self._set("tlb_live", 0)
        self._set("flushed_at", self.accesses)

    def expects_answer(self, answer: simpy.Event) -> simpy.Event:
        """Note that a Python process kicks the vCPU; `answer` is its answer."""
        self.ack = answer
        self._set("ack_for", -1)
        self._set("ack_slot", self.of.env.slot(answer))  # type: ignore[attr-defined]
        return answer

    def charge(self, cause: int, ns: int) -> None:
        """Charge `ns` to a cause; they follow the time charged before."""
        call(self.of.memory.address, CHARGE, self.number, cause, ns)

    def end_program(self, now: int) -> None:
        """Record how the vCPU has ended at `now`, in ns."""
        call(self.of.memory.address, CLOSE_STALLS, self.number, 0, 0)
        worst = known_windows(self.of.memory["worst"][self.number])
        self.recorder.close_vcpu(worst, self.started_ns, now)

    @property
    def has_begun(self) -> bool:
        """Whether its first program has begun."""
        return bool(self.at != BEGINS)

    def ledger_of(self, recorder: PhaseRecorder) -> Any:
        """Return the ledger into which time of a recorder is charged, ns by cause."""
        return self.of.memory["ledger"][self.of.number_of(recorder)]

    def owe(self, recorder: PhaseRecorder, ns: int) -> None:
        """Note that `ns` of what is charged next lie before an edge, less what is owed."""
        owed, n = self.of.memory["owed"][self.number], int(self.row[FIELD["owed_n"]])
        owed[n] = self.of.number_of(recorder), ns - owed[:n, 1].sum()
        self._set("owed_n", n + 1)

    def cut_stalls(self, before: PhaseRecorder, now: int) -> dict[int, int]:
        """Return the worst windows up to an edge at `now` (length -> ns lost); begin new ones."""
        del before
        call(self.of.memory.address, CUT_STALLS, self.number, 0, 0)
        worst = self.of.memory["worst"][self.number]
        found = known_windows(worst)
        worst[:] = -1
        for name in ("stall_n", "stall_kept"):
            self._set(name, 0)
        self._set("stall_seen", now)
        self._set("stall_begin", now)
        return found

    def stop(self, now: int) -> None:
        """End the program at `now`, with what is under way and the requests that came."""
        if self.at == BEGINS:
            return
        row, memory = self.row, self.of.memory
        done = int(row[FIELD["began"]] >= 0)
        if row[FIELD["under_way"]]:
            offset, count = now - int(row[FIELD["run_start"]]), int(row[FIELD["count"]])
            ends = memory["ends"][self.number, :count]
            done = int(np.searchsorted(ends, offset))
            if done < count:
                parts = (memory[name][self.number, done] for name in ("hits", "walks", "logs"))
                done += offset > ends[done] - sum(max(int(part), 0) for part in parts)
        due = self.arrays[2]
        arrived = 0 if due is None else int(np.searchsorted(due, now, side="right"))
        self.length = min(self.length, max(int(row[FIELD["k"]]) + done, arrived))
        self.look_again()
        self.wake()

    def access(self) -> tuple[int, bool]:
        """Return gfn and kind (True: write) of the access that it is at."""
        k = int(self.row[FIELD["k"]])
        if self.arrays[0] is None:
            gfn = int(self.row[FIELD["sequential"]]) + k
            return gfn, bool(self.row[FIELD["writes"]])
        code = int(self.arrays[0][k])
        return code & GFN, bool(code >> WRITE_BIT)

    def _first_think(self, program: Program) -> int:
        ns = 0 if program.think is None else int(program.think.slice(program.first, 1)[0])
        if program.accesses.think is not None:
            ns += int(program.accesses.think[0])
        return ns if self.prices is None else int(self.prices.work(ns))

    def _set(self, name: str, value: int) -> None:
        self.row[FIELD[name]] = value


def known_windows(worst: Any) -> dict[int, int]:
    """Return what was lost at most in each window that the vCPU ran for, in ns."""
    return {w: lost for w, lost in zip(WINDOWS, worst.tolist(), strict=True) if lost >= 0}


class CompiledProgram(simpy.Event):
    """A vCPU going through its programs: an event that happens when it has come to the end."""

    def __init__(self, vm: VmOfVcpus, v: CompiledVcpu, laps: Iterable[Program]) -> None:
        """Begin, urgently as SimPy begins processes."""
        super().__init__(vm.env)
        self._address = vm.memory.address
        self._v = v
        v.laps = iter(laps)
        v.program_no += 1
        v.alive = True
        v.at = BEGINS
        v.waits = call(self._address, PUSH, vm.now, URGENT, v.number << KIND_BITS)

    @property
    def is_alive(self) -> bool:
        """Whether it has not come to its end."""
        return self._value is simpy.events.PENDING

    def interrupt(self, cause: str | None = None) -> None:
        """Kick the vCPU; with the cause REPLAN let it plan its run again."""
        kind = KICK if cause is None else REPLAN
        call(self._address, PUSH, int(self.env.now), URGENT, self._v.number << KIND_BITS | kind)
