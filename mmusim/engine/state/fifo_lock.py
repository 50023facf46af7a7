"""Who holds a lock, who waits for it, and for how long: first come, first served, on both engines.

The functions change `s`: the lock of the SimPy engine (:mod:`mmusim.engine.state.mmu_lock`), or the
memory of a compiled run (:mod:`mmusim.engine.compiled.lock`), which compiles them as they are. Both
have the same numbers by the same names. `holder_rows` has a row per actor: whether it holds the
lock, when it asked, when it got it. `queue` is a ring of rows: who waits, since when, whether
shared, and what to wake. `handoff` is what passing the lock on takes, by the number of waiters.

The engines differ in three things, which the first three functions do.
"""

from __future__ import annotations

from typing import Any


def row_of(s: Any, who: int) -> Any:
    """Return the row of an actor in `holder_rows`: holds it (0 or 1), asked at, got it at, in
    ns.
    """
    return s.holder_rows[who]


def hold_ends(s: Any, who: int, row: Any) -> None:
    """Record a hold of an actor that ends now; `row` is the actor's."""
    s.hold_ends(who, row)


def goes_on(s: Any, who: int, wakes: Any, delay: int) -> None:
    """Let the waiter `who` go on in `delay` ns; `wakes` is what it gave to :func:`acquire`."""
    del who
    s.goes_on(wakes, delay)


def account(s: Any) -> None:
    """Add the waiting, waiters x ns, since the queue changed last."""
    passed = s.now - s.changed_ns
    s.queue_exclusive_ns += s.waiting_exclusive * passed
    s.queue_shared_ns += s.waiting_shared * passed
    s.changed_ns = s.now


def hold(s: Any, who: int, asked_ns: int, got_ns: int, shared: int) -> None:
    """Make an actor a holder, who asked at `asked_ns` and has the lock from `got_ns` on.

    `shared` says whether it holds the lock for read.
    """
    if shared and (s.held_n == 0 or got_ns < s.read_since_ns):
        s.read_since_ns = got_ns  # before others, if it joined during their hand-off
    row = row_of(s, who)
    row[0], row[1], row[2] = 1, asked_ns, got_ns
    s.held_n += 1
    s.read = shared


def acquire(s: Any, who: int, shared: int, wakes: Any) -> bool:
    """Take the lock if that is possible and return True; else queue and return False.

    `shared` asks for it for read; a spinlock is exclusive all the same. There must be room in the
    queue. `wakes` is what :func:`goes_on` gets when the lock is granted.
    """
    shared = shared and s.shareable
    if s.held_n == 0 or (shared and s.read and s.queue_n == 0):
        hold(s, who, s.now, s.now, shared)
        return True
    account(s)
    place = s.queue_first + s.queue_n
    if place >= len(s.queue):
        place -= len(s.queue)
    waiter = s.queue[place]
    waiter[0], waiter[1], waiter[2], waiter[3] = who, s.now, shared, wakes
    s.queue_n += 1
    if shared:
        s.waiting_shared += 1
    else:
        s.waiting_exclusive += 1
    return False


def grant(s: Any, delay: int) -> None:
    """Make the first waiter a holder; it goes on in `delay` ns, when the lock has reached it."""
    first = s.queue_first
    waiter = s.queue[first]
    who, asked, shared, wakes = waiter[0], waiter[1], waiter[2], waiter[3]
    s.queue_first = first + 1 if first + 1 < len(s.queue) else 0
    s.queue_n -= 1
    hold(s, who, asked, s.now + delay, shared)
    if shared:
        s.waiting_shared -= 1
        s.queue_shared_ns += delay
    else:
        s.waiting_exclusive -= 1
        s.queue_exclusive_ns += delay
    goes_on(s, who, wakes, delay)


def release(s: Any, who: int) -> None:
    """Leave the lock; the last holder gives it to the first waiters, or frees it."""
    row = row_of(s, who)
    row[0] = 0
    s.held_n -= 1
    hold_ends(s, who, row)
    if s.held_n:
        return
    if s.read:
        s.read_ns += s.now - s.read_since_ns
    if s.queue_n:
        account(s)
        delay = s.handoff[s.queue_n]
        s.passed_ns += delay
        grant(s, delay)
        while s.read and s.queue_n and s.queue[s.queue_first][2]:
            grant(s, delay)


def count_readers(s: Any) -> int:
    """Change the reader count; return for how many ns its cache line makes the caller wait."""
    if s.count_ns == 0:
        return 0
    waits: int = max(0, s.line_free_ns - s.now)
    s.line_free_ns = s.now + waits + s.count_ns
    return waits
