"""State of a vCPU, of mmu_lock and of the trajectory that Python and compiled code share."""

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
from mmusim.engine.compiled.memory import Memory, scalar, shared_array
from mmusim.engine.state.mmu_lock import SpinLock
from mmusim.mmu.dirty_ring import reserve
from mmusim.trace.records import HOST, Fingerprint


def histogram(memory: Memory, number: int) -> Histogram:
    """Return one of the run's histograms."""
    made = Histogram()
    if memory["exact"][number, 0] == 0:
        return made
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
            self._hash.update(self._memory["prints"][:n].astype("<i8", copy=False).data)
            self._memory.set("print_n", 0)

    def add(self, *numbers: int) -> None:
        """Append whole numbers to the trajectory."""
        self.take()
        super().add(*numbers)

    def digest(self) -> str:
        """Return the hash so far in hexadecimal."""
        self.take()
        return super().digest()


class CompiledLock(SpinLock):
    """mmu_lock in the run's memory, for Python."""

    shareable = scalar("shareable")
    held_n, read, read_ns = scalar("held_n"), scalar("read"), scalar("read_ns")
    queue_n, changed_ns, passed_ns = scalar("queue_n"), scalar("changed_ns"), scalar("passed_ns")
    waiting_exclusive, waiting_shared = scalar("waiting_exclusive"), scalar("waiting_shared")
    queue_exclusive_ns, queue_shared_ns = scalar("queue_exclusive_ns"), scalar("queue_shared_ns")
    breaks = scalar("breaks")
    holder_rows = shared_array("holder_rows")

    def __init__(self, env: CompiledEnvironment, memory: Memory, count_ns: float) -> None:
        """Start free; the other numbers of its law are in memory."""
        self._slots = env
        self.memory = memory
        self._address = memory.address
        super().__init__(env, "mmu_lock", count_ns=count_ns)

    def begins(self, count_ns: float) -> None:
        """Nobody holds it, and nobody waits: memory is empty."""
        self.memory.set("count_ns", round(count_ns))

    @property
    def holders(self) -> tuple[int, ...]:
        """Who holds the lock."""
        held = np.flatnonzero(self.holder_rows[:, 0])
        rows, cpus = len(self.holder_rows), self.memory.get("cpus")
        return tuple(int(who) if who < cpus else int(who) - rows for who in held)

    def acquire(self, who: int, shared: bool = False) -> simpy.Event | None:
        """Take the lock if that is possible and return None; else return the event of its grant.

        Raises
        ------
        RuntimeError
            If `who` holds the lock already.
        """
        if self.holder_rows[who, 0]:
            raise self._misused(who, "takes")
        granted = self._env.event()
        granted._ok, granted._value = True, bool(shared and self.shareable)
        slot = self._slots.slot(granted)
        if call(self._address, ACQUIRE, who, int(shared), slot):
            self._slots.give_up(slot)
            return None
        return granted

    def release(self, who: int) -> None:
        """Leave the lock; the last holder gives it to the first waiters, or frees it.

        Raises
        ------
        RuntimeError
            If `who` does not hold the lock.
        """
        if not self.holder_rows[who, 0]:
            raise self._misused(who, "releases")
        if who == HOST:
            self.host_leaves()
        call(self._address, RELEASE, who, 0, 0)

    def was_held(self, times_ns: list[int]) -> None:
        """Count exclusive holds for which nobody waited, each of its own length."""
        for ns, times in Counter(times_ns).items():
            call(self._address, WAS_HELD, ns, times, 0)

    def count_readers(self) -> int:
        """Change the reader count; return for how long its cache line makes the caller wait."""
        return int(call(self._address, COUNT_READERS, 0, 0, 0))

    def holds(self) -> tuple[Histogram, Histogram]:
        """Return the lengths of the holds that have ended, exclusive and shared."""
        return histogram(self.memory, HOLDS_EXCLUSIVE), histogram(self.memory, HOLDS_SHARED)
