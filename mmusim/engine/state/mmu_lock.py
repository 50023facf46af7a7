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

from mmusim.base.histogram import Histogram
from mmusim.trace.records import HOST, LockStats, ModeStats, Probe

_HOLDS_AT_ONCE = 1 << 14  # holds that wait to be counted together


class SpinLock:
    """A FIFO lock that refuses misuse and records its waits and holds.

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
        self.handoff_ns = self.breaks = 0
        self.for_host_ns = 0  # sum of the waits while the host thread held it
        self._area_at_got = -1  # the host has not reported that it got it
        # Each by mode: exclusive, shared.
        self.queue_ns = [0, 0]
        self._waiting = [0, 0]  # how many of the queue
        self._read_since_ns = 0  # when the first of the readers took the lock
        self._read_ns = 0  # held by at least one reader
        self._held_ns: tuple[list[int], list[int]] = ([], [])  # not yet in _holds
        self._holds = Histogram(), Histogram()

    @property
    def waiters(self) -> int:
        """Number of waiters."""
        return len(self._queue)

    @property
    def holders(self) -> tuple[int, ...]:
        """Numbers of the holders."""
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
        if not self._held or (shared and self._read and not self._queue):
            self._hold(who, now, now, shared)
            return None
        self._account(now)
        granted = self._env.event()
        self._queue.append((who, now, shared, granted))
        self._waiting[shared] += 1
        return granted

    def _hold(self, who: int, asked_ns: int, now: int, shared: bool) -> None:
        if shared and (not self._held or now < self._read_since_ns):
            self._read_since_ns = now  # before others, if it joined during their hand-off
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
        if who == HOST and self._area_at_got >= 0:
            self.for_host_ns += self.area_ns() - self._area_at_got
        asked, got = self._held.pop(who)
        shared = self._read
        held = self._held_ns[shared]
        held.append(now - got)
        if len(held) >= _HOLDS_AT_ONCE:
            self._tally(shared)
        if self._probe is not None:
            self._probe.locked(who, asked, got, now, shared)
        if self._held:
            return
        if shared:
            self._read_ns += now - self._read_since_ns
        if self._queue:
            self._account(now)
            delay = round(self._handoff_ns * math.log2(1 + len(self._queue)))
            self.handoff_ns += delay
            self._grant(now, delay)
            while self._read and self._queue and self._queue[0][2]:
                self._grant(now, delay)

    def was_held(self, times_ns: list[int]) -> None:
        """Count exclusive holds for which nobody waited, with nothing of their own to account."""
        self._held_ns[False].extend(times_ns)
        if len(self._held_ns[False]) >= _HOLDS_AT_ONCE:
            self._tally(False)

    def _grant(self, now: int, delay: int) -> None:
        """Make the first waiter a holder; it goes on when the lock has reached it."""
        who, asked, shared, granted = self._queue.popleft()
        self._hold(who, asked, now + delay, shared)
        self._waiting[shared] -= 1
        self.queue_ns[shared] += delay
        granted._ok, granted._value = True, shared
        self._env.schedule(granted, delay=delay)

    def area_ns(self) -> int:
        """Return the area under the number of waiters by now: the sum of all waits so far."""
        return sum(self.queue_ns) + sum(self._waiting) * (int(self._env.now) - self._changed_ns)

    def host_got(self) -> None:
        """Note that the host thread has the lock: from now on others wait for the host."""
        self._area_at_got = self.area_ns()

    def count_readers(self) -> int:
        """Change the reader count; return for how long its cache line makes the caller wait."""
        if not self._count_ns:
            return 0
        now = int(self._env.now)
        waits = max(0, self._line_free_ns - now)
        self._line_free_ns = now + waits + self._count_ns
        return waits

    def busy_ns(self) -> int:
        """Return how long, up to now, the lock was held exclusively or handed over."""
        now = int(self._env.now)
        held = self._holds[0].total_ns + sum(self._held_ns[0]) + self.handoff_ns
        if self._held and not self._read:
            ((_, got),) = self._held.values()
            held += now - got  # less than nothing while it is handed on, which is charged above
        return held

    def _account(self, now: int) -> None:
        passed = now - self._changed_ns
        for mode, waiting in enumerate(self._waiting):
            self.queue_ns[mode] += waiting * passed
        self._changed_ns = now

    def _tally(self, mode: int) -> None:
        self._holds[mode].add(self._held_ns[mode])
        self._held_ns[mode].clear()

    def stats(self, waits: tuple[Histogram, Histogram]) -> LockStats:
        """Return the statistics of the lock; `waits` has those of waiters, exclusive, shared."""
        for mode in (False, True):
            self._tally(mode)
        exclusive, shared = (
            ModeStats(
                waits=waits[mode],
                holds=self._holds[mode],
                queue_ns=self.queue_ns[mode],
                busy_ns=self._read_ns if mode else self._holds[mode].total_ns,
            )
            for mode in (False, True)
        )
        return LockStats(
            shared=shared, exclusive=exclusive, handoff_ns=self.handoff_ns, breaks=self.breaks
        )


class RwLock(SpinLock):
    """A queued, fair rwlock (qrwlock): readers share, and none overtakes a waiting writer."""

    shareable = True
