"""Processes in every form that the weaver supports, for a tiny simulator of its own."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from typing import Any

import simpy

Steps = Generator[simpy.Event, Any, Any]
FOUR = 4
STOP = 7


class GoneError(Exception):
    """Raised by what Python does."""


class World:
    """What all actors share, on SimPy."""

    def __init__(self) -> None:
        self.env = simpy.Environment()
        self.log: list[tuple[int, ...]] = []
        self.total = 0
        self.actors: list[Actor] = []
        self.limit = 3

    @property
    def now(self) -> int:
        return int(self.env.now)

    def note(self, who: int, what: int) -> None:
        self.log.append((self.now, who, what))

    def spend(self, ns: int) -> simpy.Event:
        return self.env.timeout(ns)

    def nap(self, ns: int) -> simpy.Event:
        return self.env.timeout(ns, value=ns + 1)


class Actor:
    """Who goes through a process."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.count = 0
        self.waits_for = ""
        self.process: simpy.Process | None = None


# --- constructs ---------------------------------------------------------------------------------


def straight(w: World, a: Actor) -> Steps:
    x = 3
    yield w.spend(x)
    y = x + a.number
    yield w.spend(y * 2)
    w.note(a.number, x + y)


def branches(w: World, a: Actor) -> Steps:
    x = 0
    if a.number > 0:
        x = 5
        yield w.spend(1)
        if a.number > 1:
            x += 1
        else:
            yield w.spend(9)
    elif w.limit > 1:
        x = 2
    w.note(a.number, x)
    yield w.spend(x)
    w.note(a.number, 10 if x > 4 else 20)


def loops(w: World, a: Actor) -> Steps:
    k = total = 0
    while k < 10:
        k += 1
        if k == 2:
            continue
        if k > 6:
            break
        yield w.spend(k)
        total += k
        for j in range(k):
            if j == 3:
                break
            total += j
    w.note(a.number, total)
    while True:
        k -= 1
        yield w.spend(1)
        if k < 2:
            break
    w.note(a.number, k)


def for_loops(w: World, a: Actor) -> Steps:
    total = 0
    for i in range(2, FOUR):
        for j in range(3):
            if j == 1:
                continue
            yield w.spend(i + j)
            total += i * j
            if total > 90:
                break
    w.note(a.number, total)
    for b in w.actors:
        if b.number == a.number:
            continue
        yield w.spend(1)
        b.count += 1
        w.note(a.number, b.number)


def lists(w: World, a: Actor) -> Steps:
    seen = []
    for b in w.actors:
        if b.number != a.number:
            seen.append(b.number * 3)
    w.note(a.number, len(seen))
    for x in seen:
        yield w.spend(x)
        w.note(a.number, x)


def doubled(w: World, a: Actor, x: int, often: bool = True) -> Steps:
    y = x * 2
    if often:
        yield w.spend(y)
    if x > 100:
        return 0
    a.count += 1
    return y + 1


def twice(w: World, a: Actor, x: int) -> Steps:
    first = yield from doubled(w, a, x)
    second = yield from doubled(w, a, first, often=False)
    return first + second


def calls(w: World, a: Actor) -> Steps:
    x = yield from twice(w, a, 2)
    w.note(a.number, x)
    yield from twice(w, a, x=x)
    y = yield from doubled(w, a, 101)
    w.note(a.number, y)
    w.note(a.number, a.count)


def other(w: World, by: Actor, whom: Actor) -> Steps:
    for b in w.actors:
        yield w.spend(1)
        if b.number == whom.number:
            w.note(by.number, b.number)


def about_others(w: World, a: Actor) -> Steps:
    for b in w.actors:
        yield from other(w, a, b)


def bigger(w: World, x: int) -> int:
    """A helper: no yield."""
    if x > w.limit:
        return x
    for i in range(3):
        x += i
    return x


def helpers(w: World, a: Actor) -> Steps:
    x = bigger(w, a.number)
    yield w.spend(x)
    w.note(a.number, bigger(w, x) + bigger(w, 9))


def values(w: World, a: Actor) -> Steps:
    got = yield w.nap(4)
    w.note(a.number, got)
    x, y = got, a.number
    x, y = y, x
    yield w.spend(y)
    w.note(a.number, x * 100 + y)
    while left := bigger(w, x) - 8:
        x += 1
        yield w.spend(abs(left))
        if x > 20:
            break
    w.note(a.number, x)


def real_numbers(w: World, a: Actor) -> Steps:
    share = 0.5 * (a.number + 1)
    ns = round(share * 5) + int(7 * share)
    yield w.spend(max(1, ns))
    w.note(a.number, ns)


def shared_state(w: World, a: Actor) -> Steps:
    w.total += 1
    yield w.spend(a.number)
    w.total -= 3 if a.number else 0
    w.note(a.number, w.total)
    a.waits_for = "nothing"
    yield w.spend(1)
    a.waits_for = ""


def interruptible(w: World, a: Actor) -> Steps:
    left = 50
    while left > 0:
        began = w.now
        try:
            yield w.spend(left)
        except simpy.Interrupt as interrupt:
            left -= w.now - began
            w.note(a.number, left)
            if interrupt.cause == STOP:
                yield w.spend(2)
                return
            continue
        else:
            w.note(a.number, -1)
        left = 0
    w.note(a.number, -2)


def interrupter(w: World, a: Actor) -> Steps:
    yield w.spend(5)
    for b in w.actors:
        if b.number != a.number:
            poke(w, b, STOP if b.number == 1 else 1)
    yield w.spend(1)


def poke(w: World, b: Actor, cause: int) -> None:
    assert b.process is not None
    b.process.interrupt(cause)


def interrupts(w: World, a: Actor) -> Steps:
    if a.number == 0:
        yield from interrupter(w, a)
    else:
        yield from interruptible(w, a)


def slow_thing(w: World, a: Actor, ns: int) -> Steps:
    """Done in Python, and takes its time."""
    yield w.spend(ns)
    w.log.append((w.now, a.number, 1000 + ns))


def quick_thing(w: World, a: Actor, x: int) -> int:
    w.log.append((w.now, a.number, 2000 + x))
    return x + 1 if x else 0


def asks_python(w: World, a: Actor) -> Steps:
    yield from slow_thing(w, a, 6)
    x = quick_thing(w, a, a.number)
    w.note(a.number, x)
    while quick_thing(w, a, x - 5):
        x += 1
        yield w.spend(1)
    if a.number == 1:
        raise refusal(w, a, x)
    yield w.spend(1)


def refusal(w: World, a: Actor, x: int) -> Exception:
    return ValueError(f"actor {a.number} refuses {x}")


def leaves(w: World, a: Actor) -> Steps:
    with suppress(GoneError):
        yield w.spend(3)
        yield from may_leave(w, a)
        w.note(a.number, 1)
    w.note(a.number, 2)
    yield w.spend(1)


def may_leave(w: World, a: Actor) -> Steps:
    yield w.spend(1)
    yield from goes(w, a, a.number)
    w.note(a.number, 0)


def goes(w: World, a: Actor, x: int) -> Steps:
    yield w.spend(2)
    if x > 0:
        raise GoneError


def checked_in_a_loop(w: World, a: Actor) -> Steps:
    for i in range(4):
        w.total += i
        count_up(w, a, i)
    yield w.spend(1)
    w.note(a.number, a.count)


def count_up(w: World, a: Actor, x: int) -> None:
    if x == 3 and a.number == 2:
        raise OverflowError(f"actor {a.number} overflows at {x}")
    a.count += x


def reads_and_changes(w: World, a: Actor, x: int, y: int) -> Steps:
    """Reads one argument, and assigns to the other."""
    yield w.spend(x)
    y += x
    w.note(a.number, y)
    yield w.spend(y)
    w.note(a.number, x)


def hands_over(w: World, a: Actor) -> Steps:
    x, y = 4, a.number
    yield from reads_and_changes(w, a, x, y)
    w.note(a.number, 10 * x + y)


def loud(w: World, a: Actor, x: int, *, twice: bool = True) -> Steps:
    yield w.spend(x)
    w.note(a.number, x)
    if twice:
        w.note(a.number, 2 * x)


def by_name(w: World, a: Actor) -> Steps:
    yield from loud(w, a, 3)
    yield from loud(w, a, 4, twice=True)


def lists_of_actors(w: World, a: Actor) -> Steps:
    seen = []
    for b in w.actors:
        if b.number != a.number:
            seen.append(b)
    for one in seen:
        one.count += 1
        yield w.spend(one.count)
        w.note(a.number, one.number)


PROCESSES = (
    straight, branches, loops, for_loops, lists, lists_of_actors, calls, hands_over, by_name,
    about_others, helpers, values, real_numbers, shared_state, interrupts, asks_python, leaves,
    checked_in_a_loop,
)  # fmt: skip
