"""kvm->mmu_lock as a spinlock or a fair rwlock, and slots_lock: first come, first served."""

from __future__ import annotations

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

    def __init__(self, env: simpy.Environment, name: str, probe: Probe | None = None) -> None:
        """Start free; `name` is for messages."""
        self._env = env
        self._probe = probe
        self._queue: deque[tuple[int, int, bool, simpy.Event]] = deque()
        self._changed_ns = 0  # when the queue's length last changed
        self._held: dict[int, tuple[int, int]] = {}  # holder -> when it asked, when it got it
        self._read = False  # the holders share
        self.name = name
        self.acquisitions = self.contended = self.shared = 0
        self.queue_ns = self.hold_ns = self.longest_hold_ns = 0

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
            self._grant(now)
            while self._read and self._queue and self._queue[0][2]:
                self._grant(now)

    def _grant(self, now: int) -> None:
        who, asked, shared, granted = self._queue.popleft()
        self._hold(who, asked, now, shared)
        granted.succeed()

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
            longest_hold_ns=self.longest_hold_ns,
        )


class RwLock(SpinLock):
    """A queued, fair rwlock (qrwlock): readers share, and none overtakes a waiting writer."""

    shareable = True
