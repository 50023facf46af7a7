"""kvm->mmu_lock as a spinlock: first come, first served."""

from __future__ import annotations

from collections import deque

import simpy

from mmusim.trace import LockStats, Probe


class SpinLock:
    """A FIFO lock that refuses misuse and keeps its own books.

    A free lock is taken at once, without an event; simultaneous requests are served in the order
    in which they are made. A released lock passes straight to the first waiter.
    """

    def __init__(self, env: simpy.Environment, probe: Probe | None) -> None:
        """Start free."""
        self._env = env
        self._probe = probe
        self._queue: deque[tuple[int, simpy.Event]] = deque()
        self._changed_ns = 0  # when the queue's length last changed
        self._asked_ns = self._got_ns = 0  # of the holder
        self.holder: int | None = None
        self.acquisitions = self.contended = 0
        self.queue_ns = self.hold_ns = self.longest_hold_ns = 0

    def acquire(self, who: int) -> simpy.Event | None:
        """Take the lock if it is free and return None; else return the event of its grant.

        Raises
        ------
        RuntimeError
            If `who` holds the lock already.
        """
        now = int(self._env.now)
        self.acquisitions += 1
        if self.holder is None:
            self.holder = who
            self._asked_ns = self._got_ns = now
            return None
        if self.holder == who:
            raise RuntimeError(f"actor {who} takes mmu_lock, which it holds already")
        self._account(now)
        granted = self._env.event()
        self._queue.append((who, granted))
        self.contended += 1
        return granted

    def release(self, who: int) -> None:
        """Give the lock to the first waiter, or free it.

        Raises
        ------
        RuntimeError
            If `who` does not hold the lock.
        """
        if self.holder != who:
            raise RuntimeError(f"actor {who} releases mmu_lock, which {self.holder} holds")
        now = int(self._env.now)
        held = now - self._got_ns
        self.hold_ns += held
        if held > self.longest_hold_ns:
            self.longest_hold_ns = held
        if self._probe is not None:
            self._probe.locked(who, self._asked_ns, self._got_ns, now)
        self.holder = None
        if self._queue:
            self._account(now)
            self.holder, granted = self._queue.popleft()
            self._got_ns = now
            granted.succeed()

    def granted(self, asked_ns: int) -> int:
        """Note when the new holder had asked; return how long it waited in nanoseconds."""
        self._asked_ns = asked_ns
        return self._got_ns - asked_ns

    def _account(self, now: int) -> None:
        self.queue_ns += len(self._queue) * (now - self._changed_ns)
        self._changed_ns = now

    def stats(self, wait_ns: int) -> LockStats:
        """Return the books; `wait_ns` is what those who waited have measured."""
        return LockStats(
            acquisitions=self.acquisitions,
            contended=self.contended,
            wait_ns=wait_ns,
            queue_ns=self.queue_ns,
            hold_ns=self.hold_ns,
            longest_hold_ns=self.longest_hold_ns,
        )
