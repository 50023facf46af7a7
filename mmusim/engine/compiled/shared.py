"""What Python and compiled code share of a vCPU, of mmu_lock and of the trajectory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import simpy

from mmusim.base.histogram import Histogram
from mmusim.costs.random_streams import ByOccurrence, Stream
from mmusim.engine.compiled.environment import CompiledEnvironment
from mmusim.engine.compiled.fields import HOLDS_EXCLUSIVE, HOLDS_SHARED
from mmusim.engine.compiled.loop import ACQUIRE, COUNT_READERS, RELEASE, WAS_HELD, call
from mmusim.engine.compiled.memory import Memory, scalar
from mmusim.mmu.dirty_ring import reserve
from mmusim.trace.records import HOST, Fingerprint, LockStats, ModeStats


def histogram(memory: Memory, number: int) -> Histogram:
    """Return one of the run's histograms."""
    made = Histogram()
    made.counts = memory["bins"][number].copy()
    _, made.total_ns, made.minimum, made.maximum = memory["exact"][number].tolist()
    return made


class SyncedList(list[Any]):
    """A list whose length compiled code sees."""

    def __init__(self, row: Any, number: int) -> None:
        """Keep the length in element `number` of a vCPU's row."""
        super().__init__()
        self._row, self._number = row, number

    def _synced(self) -> None:
        self._row[self._number] = len(self)

    def append(self, item: Any) -> None:
        """Add an item."""
        super().append(item)
        self._synced()

    def pop(self, index: Any = -1) -> Any:
        """Take an item out."""
        item = super().pop(index)
        self._synced()
        return item

    def clear(self) -> None:
        """Take all items out."""
        super().clear()
        self._synced()


class TakenBack:
    """What TLBs may still hold: noted by Python, or by compiled code as ranges."""

    def __init__(self, memory: Memory) -> None:
        """Nothing is noted."""
        self._memory = memory
        self._noted: list[tuple[Any, slice]] = []

    def append(self, what: tuple[Any, slice]) -> None:
        """Note entries: pages, regions."""
        self._noted.append(what)
        self._memory.set("taken_python", len(self._noted))

    def clear(self) -> None:
        """Forget all."""
        self._noted.clear()
        self._memory.set("taken_python", 0)
        self._memory.set("taken_n", 0)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._noted) + self._memory.get("taken_n")

    def __iter__(self) -> Iterator[tuple[Any, slice]]:
        """Yield pages, regions."""
        yield from self._noted
        for first, end, region, regions_end in self._memory["taken"][
            : self._memory.get("taken_n")
        ].tolist():
            yield slice(first, end), slice(region, regions_end)


class CompiledRing:
    """A vCPU's dirty ring, in the run's memory; see :class:`mmusim.mmu.dirty_ring.DirtyRing`."""

    def __init__(self, vcpu: Any, entries: Any, pml: bool) -> None:
        """Start empty, with room for `entries`."""
        self._vcpu, self._entries = vcpu, entries
        self.size = len(entries)
        self.soft_limit = self.size - reserve(pml)

    @property
    def entries(self) -> list[int]:
        """The entries that user space has not harvested, as gfns in order."""
        gfns: list[int] = self._entries[: self._vcpu.ring_n].tolist()
        return gfns

    @property
    def pushed(self) -> int:
        """How many entries there ever were."""
        return int(self._vcpu.ring_pushed)

    def push(self, gfn: int) -> None:
        """Add an entry (kvm_dirty_ring_push).

        Raises
        ------
        OverflowError
            If the ring is full: its vCPU should have been stopped before.
        """
        v = self._vcpu
        if v.ring_n == self.size:
            raise OverflowError(f"a dirty ring of {self.size} entries overflows at gfn {gfn}")
        self._entries[v.ring_n] = gfn
        v.ring_n += 1
        v.ring_pushed += 1

    def soft_full(self) -> bool:
        """Tell whether the vCPU must not enter the guest (kvm_dirty_ring_soft_full)."""
        return bool(self._vcpu.ring_n >= self.soft_limit)

    def harvest(self) -> list[int]:
        """Take out all entries, as user space does between two exits."""
        taken = self.entries
        self._vcpu.ring_n = 0
        return taken


class Counted(ByOccurrence):
    """A stream by occurrence that counts its payments in the run's memory."""

    __slots__ = ("_number", "_paid")

    def __init__(self, stream: Stream, paid: Any, number: int) -> None:
        """Count in element `number` of `paid`."""
        super().__init__(stream.distribution, stream.key)
        self._paid, self._number = paid, number

    def at(self, index: int) -> int:
        """Return the next cost in nanoseconds."""
        del index
        paid = int(self._paid[self._number])
        self._paid[self._number] = paid + 1
        return Stream.at(self, paid)


class CompiledFingerprint(Fingerprint):
    """The trajectory, as compiled code and Python write it."""

    def __init__(self, memory: Memory) -> None:
        """Start empty."""
        super().__init__()
        self._memory = memory

    def take(self) -> None:
        """Hash what compiled code has written."""
        n = self._memory.get("print_n")
        if n:
            self._drain()
            self._hash.update(self._memory["prints"][:n].astype("<i8", copy=False).tobytes())
            self._memory.set("print_n", 0)

    def add(self, *numbers: int) -> None:
        """Append whole numbers to the trajectory."""
        self.take()
        super().add(*numbers)

    def digest(self) -> str:
        """Return the hash so far in hexadecimal."""
        self.take()
        return super().digest()


class CompiledLock:
    """mmu_lock in the run's memory, for Python; see state/mmu_lock.py."""

    name = "mmu_lock"
    breaks = scalar("breaks")
    handoff_ns = scalar("passed_ns")
    waiters = scalar("queue_n")

    def __init__(self, env: CompiledEnvironment, memory: Memory) -> None:
        """Start free."""
        self._env = env
        self.memory = memory
        self._address = memory.address
        self.for_host_ns = 0  # sum of the waits while the host thread held it
        self._area_at_got = -1  # nobody said that it got it

    def area_ns(self) -> int:
        """Return the area under the number of waiters by now: the sum of all waits so far."""
        get = self.memory.get
        waiting = get("waiting_exclusive") + get("waiting_shared")
        done = get("queue_exclusive_ns") + get("queue_shared_ns")
        return done + waiting * (get("now") - get("changed_ns"))

    def host_got(self) -> None:
        """The host thread has the lock: who waits from now on waits for it."""
        self._area_at_got = self.area_ns()

    @property
    def holders(self) -> tuple[int, ...]:
        """Who holds the lock."""
        held = np.flatnonzero(self.memory["holders"][:, 0])
        rows, cpus = len(self.memory["holders"]), self.memory.get("cpus")
        return tuple(int(who) if who < cpus else int(who) - rows for who in held)

    def acquire(self, who: int, shared: bool = False) -> simpy.Event | None:
        """Take the lock if that is possible and return None; else return the event of its grant.

        Raises
        ------
        RuntimeError
            If `who` holds the lock already.
        """
        if self.memory["holders"][who, 0]:
            raise RuntimeError(f"actor {who} takes {self.name}, which it holds already")
        granted = self._env.event()
        granted._ok, granted._value = True, bool(shared and self.memory.get("shareable"))
        slot = self._env.slot(granted)
        if call(self._address, ACQUIRE, who, int(shared), slot):
            self._env.give_up(slot)
            return None
        return granted

    def release(self, who: int) -> None:
        """Leave the lock; the last holder gives it to the first waiters, or frees it.

        Raises
        ------
        RuntimeError
            If `who` does not hold the lock.
        """
        if not self.memory["holders"][who, 0]:
            held_by = ", ".join(map(str, self.holders)) or "nobody"
            raise RuntimeError(f"actor {who} releases {self.name}, which {held_by} holds")
        if who == HOST and self._area_at_got >= 0:
            self.for_host_ns += self.area_ns() - self._area_at_got
        call(self._address, RELEASE, who, 0, 0)

    def was_held(self, times_ns: list[int]) -> None:
        """Count exclusive holds for which nobody waited."""
        for ns, times in Counter(times_ns).items():
            call(self._address, WAS_HELD, ns, times, 0)

    def busy_ns(self) -> int:
        """Return how long nobody else could have it by now: held exclusively, or handed on."""
        held = int(self.memory["exact"][HOLDS_EXCLUSIVE, 1]) + self.handoff_ns
        if self.holders and not self.memory.get("read"):
            rows = self.memory["holders"]
            got = int(rows[np.flatnonzero(rows[:, 0])[0], 2])
            held += self.memory.get("now") - got
        return int(held)

    def count_readers(self) -> int:
        """Change the reader count; return for how long its cache line makes the caller wait."""
        return int(call(self._address, COUNT_READERS, 0, 0, 0))

    def stats(self, waits: tuple[Histogram, Histogram]) -> LockStats:
        """Return the counts; `waits`, exclusive and shared, is what those who waited measured."""
        memory = self.memory
        exclusive, shared = (histogram(memory, n) for n in (HOLDS_EXCLUSIVE, HOLDS_SHARED))
        return LockStats(
            exclusive=ModeStats(
                waits=waits[0],
                holds=exclusive,
                queue_ns=memory.get("queue_exclusive_ns"),
                busy_ns=exclusive.total_ns,
            ),
            shared=ModeStats(
                waits=waits[1],
                holds=shared,
                queue_ns=memory.get("queue_shared_ns"),
                busy_ns=memory.get("read_ns"),
            ),
            handoff_ns=self.handoff_ns,
            breaks=self.breaks,
        )
