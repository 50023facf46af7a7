"""kvm->mmu_lock as a spinlock or a fair rwlock, and slots_lock: first come, first served.

One law of contention with two constants. Passing a lock on takes `handoff` x log2(1 + waiters): the
next holder must fetch the lock word and the data it protects from the last one's cache, through an
interconnect on which the other waiters poll. And every reader entering or leaving a rwlock owns the
cache line of its reader count for `count`; those who want it meanwhile queue.
"""

from __future__ import annotations

import math
from collections import deque

import simpy

from mmusim.trace import LockStats, Probe


class SpinLock:
    """A FIFO lock that refuses misuse and keeps its own books.

    A free lock is taken at once, without an event; simultaneous requests are served in the order
    in which they are made. A released lock passes straight to the first waiter, and where readers
    may share it (:class:`RwLock`) to all readers up to the next writer in the queue.
    """

    shareable = False

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
        self._count_ns = round(count_ns)
        self._line_free_ns = 0  # when the cache line of the reader count is next free
        self._probe = probe
        self._queue: deque[tuple[int, int, bool, simpy.Event]] = deque()
        self._changed_ns = 0  # when the queue's length last changed
        self._held: dict[int, tuple[int, int]] = {}  # holder -> when it asked, when it got it
        self._read = False  # the holders share
        self.name = name
        self.acquisitions = self.contended = self.shared = self.breaks = 0
        self.queue_ns = self.hold_ns = self.longest_hold_ns = self.handoff_ns = 0

    @property
    def waiters(self) -> int:
        """How many wait for the lock."""
        return len(self._queue)

    @property
    def holders(self) -> tuple[int, ...]:
        """Who holds the lock."""
        return tuple(self._held)

    def acquire(self, who: int, shared: bool = False) -> simpy.Event | None:
        """Take the lock if that is possible and return None; else return the event of its grant.

        Raises
        ------
        RuntimeError
            If `who` holds the lock already.
        """
        if who in self._held:
            raise RuntimeError(f"actor {who} takes {self.name}, which it holds already")
        now = int(self._env.now)
        shared = shared and self.shareable
        self.acquisitions += 1
        self.shared += shared
        if not self._held or (shared and self._read and not self._queue):
            self._hold(who, now, now, shared)
            return None
        self._account(now)
        granted = self._env.event()
        self._queue.append((who, now, shared, granted))
        self.contended += 1
        return granted

    def _hold(self, who: int, asked_ns: int, now: int, shared: bool) -> None:
        self._held[who] = (asked_ns, now)
        self._read = shared

    def release(self, who: int) -> None:
        """Leave the lock; the last holder gives it to the first waiters, or frees it.

        Raises
        ------
        RuntimeError
            If `who` does not hold the lock.
        """
        if who not in self._held:
            held_by = ", ".join(map(str, self._held)) or "nobody"
            raise RuntimeError(f"actor {who} releases {self.name}, which {held_by} holds")
        now = int(self._env.now)
        asked, got = self._held.pop(who)
        held = now - got
        self.hold_ns += held
        if held > self.longest_hold_ns:
            self.longest_hold_ns = held
        if self._probe is not None:
            self._probe.locked(who, asked, got, now)
        if not self._held and self._queue:
            self._account(now)
            delay = round(self._handoff_ns * math.log2(1 + len(self._queue)))
            self.handoff_ns += delay
            self._grant(now, delay)
            while self._read and self._queue and self._queue[0][2]:
                self._grant(now, delay)

    def _grant(self, now: int, delay: int) -> None:
        """Make the first waiter a holder; it goes on when the lock has reached it."""
        who, asked, shared, granted = self._queue.popleft()
        self._hold(who, asked, now + delay, shared)
        self.queue_ns += delay
        granted._ok, granted._value = True, None
        self._env.schedule(granted, delay=delay)

    def count_readers(self) -> int:
        """Change the reader count; return for how long its cache line makes the caller wait."""
        if not self._count_ns:
            return 0
        now = int(self._env.now)
        waits = max(0, self._line_free_ns - now)
        self._line_free_ns = now + waits + self._count_ns
        return waits

    def _account(self, now: int) -> None:
        self.queue_ns += len(self._queue) * (now - self._changed_ns)
        self._changed_ns = now

    def stats(self, wait_ns: int) -> LockStats:
        """Return the books; `wait_ns` is what those who waited have measured."""
        return LockStats(
            acquisitions=self.acquisitions,
            contended=self.contended,
            shared=self.shared,
            wait_ns=wait_ns,
            queue_ns=self.queue_ns,
            hold_ns=self.hold_ns,
            handoff_ns=self.handoff_ns,
            longest_hold_ns=self.longest_hold_ns,
            breaks=self.breaks,
        )


class RwLock(SpinLock):
    """A queued, fair rwlock (qrwlock): readers share, and none overtakes a waiting writer."""

    shareable = True
