"""kvm->mmu_lock as a spinlock or a fair rwlock, and slots_lock: first come, first served.

The law of contention has two constants. A hand-over takes `handoff` x log2(1 + waiters): the next
holder must fetch the lock word and the protected data from the last holder's cache, through an
interconnect on which the other waiters poll. Every reader that enters or leaves a rwlock owns the
cache line of the reader count for `count`; other readers queue for it meanwhile.
"""

from __future__ import annotations

import math
from typing import Any

import simpy

from mmusim.base.histogram import Histogram
from mmusim.engine.state import fifo_lock
from mmusim.trace.records import HOST, LockStats, ModeStats, Probe

_HOLDS_AT_ONCE = 1 << 14  # holds that wait to be counted together


def handoff_times(handoff_ns: float, waiters: int) -> list[int]:
    """Return what passing a lock on takes, in ns, by the number of waiters: 0 to `waiters`.

    `handoff_ns` is the constant of the law above.
    """
    return [round(handoff_ns * math.log2(1 + n)) for n in range(waiters + 1)]


class SpinLock:
    """A FIFO lock that refuses misuse and records its waits and holds.

    A free lock is taken at once, without an event; simultaneous requests are served in the order
    in which they are made. A released lock passes straight to the first waiter, and where readers
    may share it (:class:`RwLock`) to all readers up to the next writer in the queue. Its numbers
    are those of :mod:`mmusim.engine.state.fifo_lock`.
    """

    shareable: Any = False

    def __init__(
        self,
        env: simpy.Environment,
        name: str,
        probe: Probe | None = None,
        *,
        handoff_ns: float = 0.0,
        count_ns: float = 0.0,
    ) -> None:
        """Start free; `name` is for messages, the times are those of the law above."""
        self._env = env
        self._handoff_ns = handoff_ns
        self._probe = probe
        self.name = name
        self.for_host_ns = 0  # sum of the waits while the host thread held it
        self._area_at_got = -1  # the host has not reported that it got it
        self._held_ns: tuple[list[int], list[int]] = ([], [])  # not yet in _holds
        self._holds = Histogram(), Histogram()  # exclusive, shared
        self.begins(count_ns)

    def begins(self, count_ns: float) -> None:
        """Begin free, with nobody waiting; `count_ns` is the constant of the reader count."""
        self.now = 0
        self.count_ns = round(count_ns)
        self.line_free_ns = 0  # when the cache line of the reader count is next free
        self.holder_rows: Any = {}
        self.held_n = 0  # how many hold it
        self.read: Any = False  # they share it
        self.read_since_ns = 0  # when the first of the readers took it
        self.read_ns = 0  # held by at least one reader
        self.queue: Any = []
        self.queue_first = self.queue_n = 0
        self.handoff: Any = [0]
        self.changed_ns = 0  # when the queue last changed
        self.waiting_exclusive = self.waiting_shared = 0
        self.queue_exclusive_ns = self.queue_shared_ns = 0  # sums of the waits
        self.passed_ns = 0  # while it was handed on
        self.breaks = 0

    @property
    def waiters(self) -> int:
        """Number of waiters."""
        return self.queue_n

    @property
    def holders(self) -> tuple[int, ...]:
        """Numbers of the holders: vCPUs, then other actors, each in ascending order."""
        holding = [who for who, row in self.holder_rows.items() if row[0]]
        return tuple(sorted(holding, key=lambda who: (who < 0, who)))

    def acquire(self, who: int, shared: bool = False) -> simpy.Event | None:
        """Take the lock if that is possible and return None; else return the event of its grant.

        `shared` asks for it for read. The value of the event is whether it is shared.

        Raises
        ------
        RuntimeError
            If `who` holds the lock already.
        """
        row = self.holder_rows.get(who)
        if row is None:
            self.holder_rows[who] = [0, 0, 0]
        elif row[0]:
            raise self._misused(who, "takes")
        self.now = int(self._env.now)
        if self.queue_n == len(self.queue):
            self._more_room()
        granted = self._env.event() if self.held_n else None
        if granted is not None:
            granted._ok, granted._value = True, shared and self.shareable
        return None if fifo_lock.acquire(self, who, shared, granted) else granted

    def _more_room(self) -> None:
        """Double the queue."""
        first, more = self.queue_first, max(8, len(self.queue))
        self.queue = [*self.queue[first:], *self.queue[:first], *([0] * 4 for _ in range(more))]
        self.queue_first = 0
        self.handoff = handoff_times(self._handoff_ns, len(self.queue))

    def goes_on(self, granted: simpy.Event, delay: int) -> None:
        """Let the actor that waits for `granted` go on in `delay` ns."""
        self._env.schedule(granted, delay=delay)

    def release(self, who: int) -> None:
        """Leave the lock; the last holder gives it to the first waiters, or frees it.

        Raises
        ------
        RuntimeError
            If `who` does not hold the lock.
        """
        row = self.holder_rows.get(who)
        if row is None or not row[0]:
            raise self._misused(who, "releases")
        self.now = int(self._env.now)
        if who == HOST:
            self.host_leaves()
        fifo_lock.release(self, who)

    def hold_ends(self, who: int, row: list[int]) -> None:
        """Record the length of a hold that ends now; `row` is the actor's
        (:func:`fifo_lock.row_of`).
        """
        held = self._held_ns[self.read]
        held.append(self.now - row[2])
        if len(held) >= _HOLDS_AT_ONCE:
            self._tally(self.read)
        if self._probe is not None:
            self._probe.locked(who, row[1], row[2], self.now, self.read)

    def was_held(self, times_ns: list[int]) -> None:
        """Record exclusive holds for which nobody waited, each of its own length in ns."""
        self._held_ns[False].extend(times_ns)
        if len(self._held_ns[False]) >= _HOLDS_AT_ONCE:
            self._tally(False)

    def _misused(self, who: int, does: str) -> RuntimeError:
        held_by = ", ".join(map(str, self.holders)) or "nobody"
        by = "it holds already" if does == "takes" else f"{held_by} holds"
        return RuntimeError(f"actor {who} {does} {self.name}, which {by}")

    def area_ns(self) -> int:
        """Return the area under the number of waiters by now, in ns: the sum of all waits so
        far.
        """
        waiting = self.waiting_exclusive + self.waiting_shared
        done = self.queue_exclusive_ns + self.queue_shared_ns
        return done + waiting * (int(self._env.now) - self.changed_ns)

    def host_got(self) -> None:
        """Note that the host thread has the lock: from now on others wait for the host."""
        self._area_at_got = self.area_ns()

    def host_leaves(self) -> None:
        """Add what others waited while the host thread had the lock, if it has told that."""
        if self._area_at_got >= 0:
            self.for_host_ns += self.area_ns() - self._area_at_got

    def count_readers(self) -> int:
        """Change the reader count; return for how many ns its cache line makes the caller wait."""
        self.now = int(self._env.now)
        return fifo_lock.count_readers(self)

    def holds(self) -> tuple[Histogram, Histogram]:
        """Return the lengths in ns of the holds that have ended, exclusive and shared."""
        for mode in (False, True):
            self._tally(mode)
        return self._holds

    def busy_ns(self) -> int:
        """Return for how many ns, up to now, the lock was held exclusively or handed over."""
        held = self.holds()[0].total_ns + self.passed_ns
        if self.held_n and not self.read:
            got = int(fifo_lock.row_of(self, self.holders[0])[2])
            held += int(self._env.now) - got  # below 0 while it is handed on, charged above
        return held

    def _tally(self, mode: int) -> None:
        self._holds[mode].add(self._held_ns[mode])
        self._held_ns[mode].clear()

    def stats(self, waits: tuple[Histogram, Histogram]) -> LockStats:
        """Return the statistics of the lock; `waits` has those of waiters, exclusive, shared."""
        holds = self.holds()
        exclusive = ModeStats(
            waits=waits[0], holds=holds[0], queue_ns=self.queue_exclusive_ns,
            busy_ns=holds[0].total_ns,
        )  # fmt: skip
        shared = ModeStats(
            waits=waits[1], holds=holds[1], queue_ns=self.queue_shared_ns, busy_ns=self.read_ns
        )
        return LockStats(
            shared=shared, exclusive=exclusive, handoff_ns=self.passed_ns, breaks=self.breaks
        )


class RwLock(SpinLock):
    """A queued, fair rwlock (qrwlock): readers share, and none overtakes a waiting writer."""

    shareable = True
