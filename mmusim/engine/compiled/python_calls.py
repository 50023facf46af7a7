"""Requests of compiled code to Python: rare events, and work of the host's processes."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import simpy
from numpy.typing import NDArray

from mmusim.base.errors import EngineError
from mmusim.engine.compiled import return_codes
from mmusim.engine.compiled.events import WAITS
from mmusim.engine.compiled.fields import FIELD, LINE
from mmusim.engine.compiled.loop import GO_ON, NUMBERS, call
from mmusim.engine.compiled.probe_rows import SPARE
from mmusim.engine.compiled.vcpus import CompiledVcpu
from mmusim.engine.compiled.weaving import GUEST_GONE, WOVEN
from mmusim.engine.state.vm import Steps
from mmusim.engine.state.vmm import GuestGoneError
from mmusim.engine.weave import ENDS, FIRST_ASK

_ASKED: Final = FIELD["asked_0"]
_ANSWER: Final = FIELD["answer"]


def wider(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return rows with room for twice as much; the system gives memory when that is written.

    Rows that are an odd number of cache lines apart do not compete for the same places of a cache.
    """
    room = rows.shape[1]
    made = np.empty((len(rows), 2 * room + LINE), np.int64)
    made[:, :room] = rows
    return made


class PythonCalls:
    """Serves a run."""

    def __init__(self, vm: Any) -> None:
        """Serve `vm`, which is being built."""
        self._vm = vm
        self._memory = vm.memory

    def serve(self, why: int) -> None:
        """Do what is wanted, and let the vCPU go on until it waits.

        Python may keep a stall of the vCPU, which its full row would have no room for.
        """
        self.make_room()
        if why == return_codes.NEEDS_ROOM:
            return
        if why == return_codes.CLOCK_ENDS:
            self._vm.check_clock()
        if self._memory.get("bundles"):
            self._vm.settle()
        v: Any = self._vm.vcpus[self._memory.get("why_vcpu")]
        while why != WAITS:
            why = self._serve(why, v)

    def _serve(self, why: int, v: CompiledVcpu) -> int:
        """Do what the process of a vCPU wants; return what it wants next."""
        if why == ENDS:
            v.alive = False
            assert v.process is not None
            v.process.succeed()
            return WAITS
        if why > FIRST_ASK:
            raise EngineError(f"vCPU {v.number} cannot go on from {self._place()}")
        asked = WOVEN.asked[FIRST_ASK - why]
        done = asked.function(self._vm, v, *v.row[_ASKED : _ASKED + asked.takes].tolist())
        if isinstance(done, Exception):
            raise done
        if hasattr(done, "send"):
            return self._drive(v, done)
        if done is not None:
            v.row[_ANSWER] = done
        return self.go_on(v)

    def _place(self) -> str:
        where = WOVEN.places.get(self._memory.get("place"), "a place that does not exist")
        return f"{where!r}, {self._memory.get('now')} ns"

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
        if memory.get("has_probe") and memory.get("probe_rows_n") + SPARE > len(
            memory["probe_rows"]
        ):
            vm.pass_on()
        if memory.get("stalls_full"):
            memory.set("stalls_full", 0)
            for name in ("stall_from", "stall_to", "stall_before"):
                memory.put(name, wider(memory[name]))

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
                    v.at = GUEST_GONE
                    return self.go_on(v)
                if event.callbacks is not None:
                    event.callbacks.append(resume)
                    return WAITS

        def resume(event: simpy.Event) -> None:
            why = step(event)
            while why != WAITS:
                why = self._serve(why, v)

        return step(None)
