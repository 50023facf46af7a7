"""What compiled code wants of Python: things that are rare, or that the host's processes do."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import simpy

from mmusim.base.errors import EngineError
from mmusim.engine.compiled import places
from mmusim.engine.compiled.events import WAITS
from mmusim.engine.compiled.fields import VCPU
from mmusim.engine.compiled.loop import GO_ON, NUMBERS, call
from mmusim.engine.compiled.telling import SPARE
from mmusim.engine.compiled.vcpus import CompiledVcpu, known_windows
from mmusim.engine.compiled.weaving import WOVEN, name_of
from mmusim.engine.processes.vcpu import no_progress
from mmusim.engine.state.vm import Steps
from mmusim.engine.state.vmm import GuestGoneError
from mmusim.engine.weave import FIRST_ASK, Asked

_ASKED: Final = VCPU.index("asked_0")


class PythonCalls:
    """Serves a run."""

    def __init__(self, vm: Any) -> None:
        """Serve `vm`, which is being built."""
        self._vm = vm
        self._memory = vm.memory
        self._serves = {
            places.NEXT_PROGRAM: self._next_program,
            places.PROGRAM_ENDS: self._program_ends,
            places.NO_PROGRESS: self._no_progress,
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
            why = self._serve(why, v)

    def _serve(self, why: int, v: CompiledVcpu) -> int:
        if why <= FIRST_ASK:
            return self._woven(WOVEN.asked[FIRST_ASK - why], v)
        if why not in self._serves:
            raise EngineError(f"vCPU {v.number} went astray at {self._place()}")
        return self._serves[why](v)

    def _woven(self, asked: Asked, v: CompiledVcpu) -> int:
        """Do what a woven process asks for."""
        row = v.row[_ASKED : _ASKED + asked.takes].tolist()
        done = asked.function(self._vm, v, *row)
        return self.go_on(v) if done is None else self._drive(v, done)

    def _place(self) -> str:
        return f"{name_of(self._memory.get('place'))!r}, {self._memory.get('now')} ns"

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
                why = self._serve(why, v)

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

    def _no_progress(self, v: CompiledVcpu) -> int:
        raise no_progress(self._vm, v, *v.access())

    def _changed(self, v: CompiledVcpu) -> int:
        self._vm.changed(v.number)
        return self.go_on(v)
