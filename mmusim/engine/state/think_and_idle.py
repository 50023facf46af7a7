"""The time before an access: the wait for its request, then guest work.

An idle guest polls in guest mode (as with ``idle=poll`` or haltpoll), or halts and leaves it. A
kick finds a guest that polls there and cuts the wait like guest work. A request's latency counts
from its intended arrival, also if the guest takes it up late, because clients do not wait for the
guest before they send.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmusim.costs.random_streams import Stream
from mmusim.engine.state.machine_load import MachineLoad
from mmusim.engine.state.phase_recorder import PhaseRecorder
from mmusim.plan.make import Program
from mmusim.workload.base import Requests

Ints = NDArray[np.int64]
Tell = Callable[[int, int], None]


class ThinkAndIdle:
    """The times before the accesses of one program."""

    __slots__ = (
        "_due",
        "_extra",
        "_first",
        "_last",
        "_load",
        "_requests",
        "_stream",
        "_tell",
        "halts",
    )

    def __init__(
        self, program: Program, began_ns: int, load: MachineLoad | None, tell: Tell | None
    ) -> None:
        """Note when each access may begin, if the phase began at `began_ns`."""
        self._load, self._tell = load, tell
        self._first = program.first
        self._stream: Stream | None = program.think
        self._extra = program.accesses.think
        self._requests: Requests | None = None
        self._due: Any = None
        self._last: Any = None
        self.halts = False
        if program.accesses.requests is not None:
            due, last, self.halts = program.accesses.requests
            self._requests = Requests(due + began_ns, last)
            self._due = np.ascontiguousarray(self._requests.due).data
            self._last = np.ascontiguousarray(last).data

    @classmethod
    def of(
        cls,
        program: Program,
        began_ns: int,
        load: MachineLoad | None = None,
        tell: Tell | None = None,
    ) -> ThinkAndIdle | None:
        """Return the times before the accesses of a program, or None if all are zero.

        Parameters
        ----------
        program : Program
            Its think time and its requests.
        began_ns : int
            Simulated time at which the phase began; requests count from there.
        load : MachineLoad, optional
            Stretches think time.
        tell : callable, optional
            Is told when each request that is completed was due, and when it was completed, in ns.
        """
        accesses = program.accesses
        if program.think is None and accesses.think is None and accesses.requests is None:
            return None
        return cls(program, began_ns, load, tell)

    def think(self, k: int) -> int:
        """Return the guest work before access k, in ns."""
        ns = 0 if self._stream is None else self._stream.at(self._first + k)
        ns += 0 if self._extra is None else int(self._extra[k])
        return ns if self._load is None else int(self._load.work(ns))

    def idle(self, k: int, now: int) -> int:
        """Return how long a guest that has completed access k-1 at `now` waits for the next,
        in ns.
        """
        return 0 if self._due is None else max(0, self._due[k] - now)

    def halts_until(self, k: int, now: int) -> int:
        """Return until when, in ns, a guest halts that is to make access k; 0 if it does not
        halt.
        """
        return self._due[k] if self.halts and self._due[k] > now else 0

    def last_arrival(self, now: int) -> int:
        """Return when the last request arrives, or arrived, in ns; `now` if there are none."""
        return now if self._due is None else int(self._due[-1])

    def arrived(self, now: int) -> int:
        """Return how many accesses belong to requests that have arrived by `now`, in ns."""
        if self._requests is None:
            return 0
        return int(np.searchsorted(self._requests.due, now, side="right"))

    def ends(self, k: int, spent: Ints, think_left: int, now: int) -> tuple[Ints, Ints]:
        """Return the ends of accesses from k on that take `spent`, and the waits before each, in
        ns.

        An access ends at e(i) = max(e(i-1), due(i)) + w(i), with w its guest work and its own time.
        With C the running sum of w that is C(i) + max over j <= i of (due(j) - C(j-1)), or C(i) if
        that is more. Ends count from `now` and have the shape of `spent`, (accesses,). The waits
        have one more entry, 0, for the time after the run. `think_left` is the guest work before
        access k that is not done yet.
        """
        think = np.zeros(len(spent), np.int64)
        if self._stream is not None:
            think += self._stream.slice(self._first + k, len(spent))
        if self._extra is not None:
            think += self._extra[k : k + len(spent)]
        work = spent + (think if self._load is None else self._load.work(think))
        work[0] = spent[0] + think_left
        ends = np.cumsum(work)
        waits = np.zeros(len(spent) + 1, np.int64)
        if self._requests is not None:
            late = self._requests.due[k : k + len(spent)] - now - (ends - work)
            pushed = np.maximum.accumulate(np.maximum(late, 0))
            ends += pushed
            waits[:-1] = np.diff(pushed, prepend=0)
        return ends, waits

    def commit(self, recorder: PhaseRecorder, k: int, start_ns: int, ends: Any, waits: Any) -> int:
        """Record the requests that accesses from k on complete; return the time that was waited, in
        ns.

        `ends` has the ends of the completed accesses, in ns from `start_ns`, and `waits` the wait
        before each.
        """
        if self._requests is None:
            return 0
        done = len(ends)
        if self._tell is not None:
            for i in range(done):
                if self._last[k + i]:
                    self._tell(int(self._due[k + i]), start_ns + int(ends[i]))
        if isinstance(ends, list):
            for i, end in enumerate(ends):
                if self._last[k + i]:
                    due = self._due[k + i]
                    recorder.at(due).completed.append(start_ns + end - due)
            return sum(waits[:done])
        last = self._requests.last[k : k + done]
        due = self._requests.due[k : k + done][last]
        late = start_ns + ends[last] - due
        for part in reversed(recorder.parts()):  # each request belongs to the part it arrived in
            own = due >= part.since_ns if part.earlier else np.ones(len(due), np.bool_)
            part.requests.add(late[own])
            late, due = late[~own], due[~own]
        return int(waits[:done].sum())
