"""What compiled code wants of Python: things that are rare, or that the host's processes do."""

from __future__ import annotations

from typing import Any

import numpy as np
import simpy

from mmusim.base.errors import EngineError
from mmusim.engine.compiled import places
from mmusim.engine.compiled.events import WAITS
from mmusim.engine.compiled.fields import FIELD
from mmusim.engine.compiled.loop import GO_ON, NUMBERS, call
from mmusim.engine.compiled.telling import SPARE
from mmusim.engine.compiled.vcpus import CompiledVcpu, known_windows
from mmusim.engine.processes.guest_mode import ring_full
from mmusim.engine.processes.page_fault import under
from mmusim.engine.processes.user_space import to_user_space
from mmusim.engine.processes.vcpu import no_progress
from mmusim.engine.state.rearmed import flush_ends
from mmusim.engine.state.vm import Steps
from mmusim.engine.state.vmm import GuestGoneError
from mmusim.mmu.slot import flushed


class PythonCalls:
    """Serves a run."""

    def __init__(self, vm: Any) -> None:
        """Serve `vm`, which is being built."""
        self._vm = vm
        self._memory = vm.memory
        self._serves = {
            places.NEXT_PROGRAM: self._next_program,
            places.PROGRAM_ENDS: self._program_ends,
            places.USER_SPACE: self._user_space,
            places.POSTCOPY_FAULT: self._postcopy_fault,
            places.TAKEN_BACK: self._taken_back,
            places.READ_BEFORE_DROP: self._read_before_drop,
            places.END_GRACE: self._end_grace,
            places.NO_PROGRESS: self._no_progress,
            places.RING_OVERFLOWS: self._ring_overflows,
            places.CHANGED: self._changed,
        }

    def serve(self, why: int) -> None:
        """Do what is wanted, and let the vCPU go on until it waits."""
        if why == places.ROOM:
            self.make_room()
            return
        if why == places.CLOCK_ENDS:
            self._vm.check_clock()
        if self._memory.get("bundles"):
            self._vm.settle()
        v: Any = self._vm.vcpus[self._memory.get("why_vcpu")]
        while why != WAITS:
            if why not in self._serves:
                raise EngineError(f"vCPU {v.number} went astray at {self._place()}")
            why = self._serves[why](v)

    def _place(self) -> str:
        return f"{places.NAMES[self._memory.get('place')]!r}, {self._memory.get('now')} ns"

    def go_on(self, v: CompiledVcpu) -> int:
        """Let a vCPU go on from where it is; return what it wants next."""
        self.make_room()
        return call(self._memory.address, GO_ON, v.number, 0, 0)

    def make_room(self) -> None:
        """Enlarge what is nearly full."""
        memory, vm = self._memory, self._vm
        if memory.get("print_n") + NUMBERS > len(memory["prints"]):
            vm.written.take()
        if memory.get("heap_n") + 4 * len(vm.vcpus) + NUMBERS > len(memory["heap"]):
            vm.compiled_env.more_room()
        if memory.get("tells") and memory.get("told_n") + SPARE > len(memory["told"]):
            vm.pass_on()
        if memory.get("stalls_full"):
            memory.set("stalls_full", 0)
            for name in ("stall_from", "stall_to", "stall_before"):
                memory.put(name, np.hstack([memory[name], np.zeros_like(memory[name])]))

    def _drive(self, v: CompiledVcpu, steps: Steps) -> int:
        """Let a vCPU go through steps of a Python process; return what it wants then, or WAITS."""

        def step(event: Any) -> int:
            while True:
                try:
                    if event is None or event._ok:
                        event = steps.send(None if event is None else event._value)
                    else:
                        event._defused = True
                        event = steps.throw(event._value)
                except StopIteration:
                    return self.go_on(v)
                except GuestGoneError:
                    v.at = places.OVER
                    return self.go_on(v)
                if event.callbacks is not None:
                    event.callbacks.append(resume)
                    return WAITS

        def resume(event: simpy.Event) -> None:
            why = step(event)
            while why != WAITS:
                why = self._serves[why](v)

        return step(None)

    def _next_program(self, v: CompiledVcpu) -> int:
        now = self._vm.now
        program = next(v.laps, None)
        if program is None:
            v.at = places.OVER
        else:
            v.load(program, now if v.last_due is None else v.last_due)
            v.at = places.LOOKS
        return self.go_on(v)

    def _program_ends(self, v: CompiledVcpu) -> int:
        vm = self._vm
        worst = known_windows(self._memory["worst"][v.number])
        v.recorder.close_vcpu(worst, v.started_ns, vm.now)
        vm.fingerprint.add(vm.now, v.number, v.length)
        v.alive = False
        assert v.process is not None
        v.process.succeed()
        return WAITS

    def _user_space(self, v: CompiledVcpu) -> int:
        return self._drive(v, _to_user_space(self._vm, v))

    def _postcopy_fault(self, v: CompiledVcpu) -> int:
        gfn, index = (int(v.row[FIELD[name]]) for name in ("gfn", "index"))
        return self._drive(v, self._vm.postcopy.fault(v, gfn, index))

    def _taken_back(self, v: CompiledVcpu) -> int:
        flush_ends(self._vm, self._vm.taken_back)
        for pages, regions in self._vm.taken_back:
            flushed(self._vm.table, pages, regions)
        self._vm.taken_back.clear()
        return self.go_on(v)

    def _read_before_drop(self, v: CompiledVcpu) -> int:
        gfn, level = (int(v.row[FIELD[name]]) for name in ("gfn", "blocking"))
        recorder = v.recorder
        assert recorder.touched is not None
        self._vm.settle()
        recorder.read_before_drop.append(int(recorder.touched[under(self._vm, gfn, level)].sum()))
        return self.go_on(v)

    def _end_grace(self, v: CompiledVcpu) -> int:
        for waiting in v.grace:
            waiting.succeed()
        v.grace.clear()
        return self.go_on(v)

    def _no_progress(self, v: CompiledVcpu) -> int:
        raise no_progress(self._vm, v, *v.access())

    def _changed(self, v: CompiledVcpu) -> int:
        self._vm.changed(v.number)
        return self.go_on(v)

    def _ring_overflows(self, v: CompiledVcpu) -> int:
        size, gfn = self._memory.get("ring_size"), self._memory.get("why_number")
        raise OverflowError(f"a dirty ring of {size} entries overflows at gfn {gfn}")


def _to_user_space(vm: Any, v: CompiledVcpu) -> Steps:
    if v.ring is not None and v.ring.soft_full():
        yield from ring_full(vm, v)
    if v.queued_work:
        yield from to_user_space(vm, v)
