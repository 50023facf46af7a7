"""A SimPy environment on the compiled event list: Python processes run in it unchanged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import simpy
from simpy.events import NORMAL

from mmusim.engine.compiled import return_codes
from mmusim.engine.compiled.events import KIND_BITS, PYTHON
from mmusim.engine.compiled.loop import ADVANCE, PUSH, SETTLE, call
from mmusim.engine.compiled.memory import Memory
from mmusim.engine.state.vm import LAST_NS

EVENTS_BETWEEN_CHECKS: Final = 1 << 17
"""Events after which Python looks at signals: well under a second."""
FIRST_ROOM: Final = 1 << 12  # of the heap


class Queue:
    """The event list as SimPy's own code sees it."""

    def __init__(self, memory: Memory) -> None:
        """Look at the heap of a run."""
        self._memory = memory

    def __len__(self) -> int:
        """Return how many events there are."""
        return self._memory.get("heap_n")


class CompiledEnvironment(simpy.Environment):
    """Time and events of one run, shared with compiled code."""

    def __init__(self, memory: Memory, wanted: Callable[[int], None]) -> None:
        """Start at 0; `wanted` serves what compiled code wants of Python."""
        super().__init__()
        self.memory = memory
        self._wanted = wanted
        self._queue = Queue(memory)  # type: ignore[assignment]
        self._slots: list[simpy.Event | None] = []
        self._free: list[int] = []
        memory.put("heap", np.zeros(FIRST_ROOM, np.int64))
        memory.put("heap_events", np.zeros((FIRST_ROOM, 2), np.int64))
        self._address = memory.address

    def slot(self, event: simpy.Event) -> int:
        """Keep an event until it fires; return its number."""
        if self._free:
            number = self._free.pop()
            self._slots[number] = event
        else:
            number = len(self._slots)
            self._slots.append(event)
        return number

    def give_up(self, number: int) -> None:
        """Forget an event that will not fire."""
        self._slots[number] = None
        self._free.append(number)

    def schedule(self, event: simpy.Event, priority: Any = NORMAL, delay: Any = 0) -> None:
        """Put an event on the event list."""
        if self.memory.get("heap_n") + 1 == len(self.memory["heap"]):
            self.more_room()
        what = self.slot(event) << KIND_BITS | PYTHON
        at = min(int(self._now + delay), LAST_NS + 1)
        call(self._address, PUSH, at, int(priority), what)

    def more_room(self) -> None:
        """Double the heap."""
        for name in ("heap", "heap_events"):
            held = self.memory[name]
            self.memory.put(name, np.concatenate([held, np.zeros_like(held)]))

    def peek(self) -> Any:
        """Return when the next event is due; infinity if there is none."""
        return int(self.memory["heap"][0]) if len(self._queue) else simpy.core.Infinity

    def run(self, until: Any = None) -> Any:
        """Go on until an event has happened.

        Raises
        ------
        RuntimeError
            If nothing can happen any more before that, as SimPy does.
        """
        assert isinstance(until, simpy.Event)
        memory = self.memory
        while True:
            memory.set("until_events", memory.get("events") + EVENTS_BETWEEN_CHECKS)
            why = call(self._address, ADVANCE, 0, 0, 0)
            self._now = memory.get("now")
            if why == return_codes.PYTHON_EVENT:
                if self._fire(memory.get("why_number"), until):
                    return until.value
            elif why == return_codes.ENDED:
                raise RuntimeError(f"No scheduled events left but {until} was not triggered")
            elif why != return_codes.CHECKS_SIGNALS:
                self._wanted(why)

    def _fire(self, number: int, until: simpy.Event) -> bool:
        """Let an event happen; tell whether it was the one waited for."""
        event = self._slots[number]
        assert event is not None
        if self.memory.get("bundles"):
            call(self._address, SETTLE, 0, 0, 0)
        self.give_up(number)
        if event._value is simpy.events.PENDING:  # the answer to a kick, given by compiled code
            event._ok, event._value = True, None
        callbacks, event.callbacks = event.callbacks, None  # type: ignore[assignment]
        for callback in callbacks:
            callback(event)
        if event is until:
            if not event._ok:
                raise event._value
            return True
        if not event._ok and not event.defused:
            raise event._value
        return False
