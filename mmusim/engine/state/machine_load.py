"""The load of the machine, and the present prices of time and of new memory.

Time is cut into epochs, from the start of each guest phase on. The number of vCPUs that run in an
epoch, on average and rounded, decides the prices of the next one; the first one counts all vCPUs of
the phase. So a fluctuating load counts as its mean, and no event is needed: a request for a price
first closes the epochs that are over. A run of hits is planned up to the last access that begins in
its epoch, so each access has the price of the epoch in which it begins, however many accesses are
one event.

A vCPU runs from the start of its program to its end, except while it waits for a lock, a flush, a
page or the VMM. A vCPU that polls for a request runs. Prices and times are whole numbers, so that
both engines agree. Numba compiles the functions on them without a change
(:mod:`mmusim.engine.compiled.machine_load`); there `s` is the memory of the run.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import simpy

from mmusim.costs.machine import BITS, ONE, OWN_WORK, Machine, clear_ns
from mmusim.costs.random_streams import Ints, Stream
from mmusim.plan.make import Plan

EPOCH_NS: Final = 100_000
HALF: Final = ONE // 2
NEVER_NS: Final = 1 << 62


def price_tables(machine: Machine, plan: Plan) -> tuple[Ints, Ints]:
    """Return, by running vCPUs, the time of 1 ns of work and the extra time of a line from memory.

    Both have shape (vCPUs + 1,) and are in ns / 4096.
    """
    running = range(plan.vcpus + 1)
    slowdown = np.array([machine.slowdown(n) for n in running], np.int64)
    line = np.array([machine.line_extra(n, plan.costs["t_line"].mean()) for n in running], np.int64)
    return slowdown, line


def close_epochs(s: Any) -> None:
    """Set the prices of the epoch that the clock has come to; the end of the last one is past."""
    over = s.now - s.epoch_ends
    s.running_sum += s.running * (s.epoch_ends - s.summed_ns)
    mean = (2 * s.running_sum + EPOCH_NS) // (2 * EPOCH_NS)
    if over >= EPOCH_NS:
        mean = s.running  # of the last whole epoch
    s.slowdown, s.line = s.slowdowns[mean], s.lines[mean]
    s.summed_ns = s.now - over % EPOCH_NS
    s.running_sum, s.epoch_ends = 0, s.summed_ns + EPOCH_NS


def count_running(s: Any, change: int) -> None:
    """Add `change`, 1 or -1, to the number of running vCPUs, from now on."""
    s.running_sum += s.running * (s.now - s.summed_ns)
    s.summed_ns = s.now
    s.running += change


def work(s: Any, ns: Any) -> Any:
    """Return the time in ns of work at the prices of the epoch, of one amount or of an array of
    `ns`.
    """
    if s.slowdown == ONE:
        return ns
    return (ns * s.slowdown + HALF) >> BITS


def access_ns(s: Any, ns: Any, lines: Any) -> Any:
    """Return the time in ns of an access that fetches so many lines from memory, or of an array.

    `ns` is what it takes on an idle machine.
    """
    return (ns * s.slowdown + lines * s.line + HALF) >> BITS


def memory_waits(s: Any, now: int) -> tuple[int, int]:
    """Return how long a fault that arrives at `now` waits for mmap_lock's count, and then for
    memory.

    Both are in ns. Memory serves one fault at a time.
    """
    count = max(0, s.mmap_free_ns - now)
    s.mmap_free_ns = now + count + s.mmap_ns
    clear = max(0, s.clear_free_ns - now - count)
    s.clear_free_ns = now + count + clear + s.clear_ns
    return count, clear + s.clear_own_ns


class MachineLoad:
    """Running vCPUs, epochs and prices of a run on a described machine."""

    def __init__(self, machine: Machine, plan: Plan, env: simpy.Environment) -> None:
        """Start without running vCPUs; `env` has the clock."""
        self._machine, self._env = machine, env
        slowdown, line = price_tables(machine, plan)
        self.slowdowns, self.lines = slowdown.tolist(), line.tolist()
        self.slowdown, self.line = ONE, 0  # prices of this epoch
        self.now = self.running = 0
        self.running_sum = 0  # running vCPUs x ns of this epoch, up to:
        self.summed_ns = 0
        self.epoch_ends = EPOCH_NS  # this epoch

    def begin(self, now: int, vcpus: int) -> None:
        """Begin a phase at `now`, in ns, in which so many vCPUs have a program."""
        self.summed_ns, self.running_sum, self.epoch_ends = now, 0, now + EPOCH_NS
        self.slowdown, self.line = self.slowdowns[vcpus], self.lines[vcpus]

    def count(self, now: int, change: int) -> None:
        """Add `change`, 1 or -1, to the number of running vCPUs from `now` on."""
        self.left(now)
        count_running(self, change)

    def left(self, now: int) -> int:
        """Close the epochs that are over at `now`; return the rest of this one in ns."""
        self.now = now
        if now >= self.epoch_ends:
            close_epochs(self)
        return self.epoch_ends - now

    def work(self, ns: Any) -> Any:
        """Return the time in ns of work at present prices, of one amount or of an array of `ns`."""
        self.left(int(self._env.now))
        return work(self, ns)

    def hit(self, ns: Any, lines: Any) -> Any:
        """Return the time in ns of an access that fetches `lines` lines from memory, or of an
        array.
        """
        self.left(int(self._env.now))
        return access_ns(self, ns, lines)

    def misses(self, pages: int) -> bool:
        """Tell whether accesses to so many pages of 4 KiB miss the cache of a processor."""
        return self._machine.misses(pages)


class Work:
    """A vCPU's own work: the costs of a stream at present prices."""

    __slots__ = ("_load", "_of")

    def __init__(self, of: Stream, load: MachineLoad) -> None:
        """Stretch a stream."""
        self._of, self._load = of, load

    def at(self, index: int) -> int:
        """Return the cost with this index in ns, at present prices."""
        return int(self._load.work(self._of.at(index)))

    def slice(self, first: int, count: int) -> Ints:
        """Return the costs with indices `first` to before ``first + count`` in ns, shape
        (count,).
        """
        return np.asarray(self._load.work(self._of.slice(first, count)))


def at_price(load: MachineLoad | None, cost: str, stream: Any) -> Any:
    """Return a stream of a vCPU at the prices of a host with this load.

    It is the same stream without a described machine (`load` is None) and for costs that load does
    not change.
    """
    return Work(stream, load) if load is not None and cost in OWN_WORK else stream


def first_touch(plan: Plan) -> FirstTouch | None:
    """Return the servers of first touches; None if the host has none."""
    follows = plan.machine is not None and plan.machine.follows("first-touch")
    return FirstTouch(plan) if follows and not plan.prefaulted else None


class FirstTouch:
    """Host memory for a page: the count of mmap_lock's readers, then clearing.

    Each is a server for one request at a time. A request waits for those before it, and for its own
    page to be cleared as far as that takes longer than a whole fault: the cost of a fault contains
    the rest.
    """

    def __init__(self, plan: Plan) -> None:
        """Start with both servers free."""
        self.mmap_ns = round(2 * plan.costs["c_mmap_count"].mean())  # in and out
        self.clear_ns = clear_ns(plan.backing, plan.costs["c_clear_memory"].mean())
        self.clear_own_ns = max(0, self.clear_ns - round(plan.costs["c_fault_slow"].mean()))
        self.mmap_free_ns = self.clear_free_ns = 0  # when each is free

    def waits(self, now: int) -> tuple[int, int]:
        """Return how long a fault that arrives at `now` waits for the count, and then for memory,
        in ns.
        """
        return memory_waits(self, now)
