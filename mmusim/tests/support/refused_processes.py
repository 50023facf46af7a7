"""Processes that the weaver refuses; the line that is wrong has a number in the test."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import simpy

from mmusim.tests.support.woven_processes import (
    Actor,
    GoneError,
    Steps,
    World,
    doubled,
    loud,
    quick_thing,
)


def a_try_of_two(w: World, a: Actor) -> Steps:
    yield w.spend(1)
    try:
        yield w.spend(1)
        yield w.spend(2)
    except simpy.Interrupt:
        pass


def a_nested_function(w: World, a: Actor) -> Steps:
    yield w.spend(1)

    def inside() -> int:
        return 1

    yield w.spend(inside())


def a_comprehension(w: World, a: Actor) -> Steps:
    yield w.spend(1)
    x = [y + 1 for y in range(3)]
    yield w.spend(len(x))


def an_unknown_name(w: World, a: Actor) -> Steps:
    yield w.spend(1)
    yield w.spend(nobody)  # type: ignore[name-defined]  # noqa: F821


def an_unknown_attribute(w: World, a: Actor) -> Steps:
    yield w.spend(1)
    yield w.spend(a.colour)  # type: ignore[attr-defined]


def an_unknown_call(w: World, a: Actor) -> Steps:
    yield w.spend(1)
    w.env.step()
    yield w.spend(2)


def an_unknown_wait(w: World, a: Actor) -> Steps:
    yield w.spend(1)
    yield w.env.event()


def recursion(w: World, a: Actor) -> Steps:
    yield w.spend(1)
    yield from recursion(w, a)


def a_while_with_else(w: World, a: Actor) -> Steps:
    k = 0
    while k < 3:
        yield w.spend(1)
    else:
        k = 1


def python_in_an_expression(w: World, a: Actor) -> Steps:
    yield w.spend(1)
    yield w.spend(1 + quick_thing(w, a, 2))


def an_object_as_a_number(w: World, a: Actor) -> Steps:
    yield w.spend(1)
    yield w.spend(w)  # type: ignore[arg-type]


def an_untyped_parameter(w: World, a: Actor) -> Steps:
    yield w.spend(1)
    yield from untyped(w, a, 3)


def untyped(w: World, a: Actor, x) -> Steps:  # type: ignore[no-untyped-def]
    yield w.spend(x)


def code_that_is_never_reached(w: World, a: Actor) -> Steps:
    yield w.spend(1)
    return
    yield w.spend(1)  # type: ignore[unreachable]


def a_suppress_inside(w: World, a: Actor) -> Steps:
    yield w.spend(1)
    yield from suppresses(w, a)


def suppresses(w: World, a: Actor) -> Steps:
    with suppress(GoneError):
        yield w.spend(1)


def a_second_meaning(w: World, a: Actor) -> Steps:
    x = 3
    yield w.spend(x)
    x = w  # type: ignore[assignment]
    yield x  # type: ignore[misc]


def another_by_name(w: World, a: Actor) -> Steps:
    yield from loud(w, a, 3, twice=False)


def a_list_of_two_kinds(w: World, a: Actor) -> Steps:
    seen = []
    seen.append(a)
    seen.append(3)  # type: ignore[arg-type]
    yield w.spend(1)


def a_list_of_the_only_one(w: World, a: Actor) -> Steps:
    seen = []
    seen.append(w)
    yield w.spend(1)


__all__ = ["Any", "doubled"]
