"""The weaver, construct by construct: what is woven does what SimPy does."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mmusim.base.errors import WeaveError
from mmusim.engine.weave import ENDS, FIRST_ASK, Vocabulary, Woven, in_python, parsed, weave
from mmusim.tests.support import refused_processes as refused
from mmusim.tests.support import woven_processes as texts
from mmusim.tests.support.woven_processes import Actor, Steps, World

ACTORS = 3
WAITS = -1


def vocabulary() -> Vocabulary:
    words = Vocabulary(
        objects={"w": "World", "a": "Actor", "interrupt": "interrupt", "t": "str"},
        kinds={"World": "World", "Actor": "Actor", "int": "", "bool": ""},
        static=frozenset({"World"}),
        attributes={"World": "s.NAME", "Actor": "s.NAME[X]"},
        known={"World": frozenset({"now", "total", "limit"}), "Actor": frozenset({"count"})},
    )
    words.extended(
        """
        a.number -> a
        a.waits_for -> s.waits_for[a]
        w.note(A, B) -> note(s, A, B)
        interrupt.cause -> interrupt
        poke(w, a, C) -> kick(s, a, C)
        """
    )
    words.yields += parsed(
        """
        w.spend(N) -> wait(s, me, N)
        w.nap(N) -> wait(s, me, N) => N + 1
        """
    )
    words.iterations += parsed("w.actors -> s.actors => I : Actor")
    words.python += [
        in_python("slow_thing(w, a, N)", texts.slow_thing),
        in_python("quick_thing(w, a, N)", texts.quick_thing),
        in_python("refusal(w, a, N)", texts.refusal, returns=False),
        in_python("goes(w, a, N)", texts.goes),
        in_python("count_up(w, a, N)", texts.count_up, "counts_up(s, a, N)", returns=False),
    ]
    return words


class Machine:
    """The tiny simulator, on woven code: rows of numbers, and a heap of events."""

    def __init__(self, woven: Woven, root: str) -> None:
        rows = {
            name: [0] * ACTORS for name in ("at", "count", "waits_for", "answer", *woven.fields)
        }
        self.s = s = SimpleNamespace(now=0, total=0, limit=3, actors=ACTORS, log=[], **rows)
        for name in woven.lists:
            setattr(s, name, Grid())
        self.heap: list[tuple[int, int, int]] = []
        self.waits = [0] * ACTORS
        self.sequence = 0
        self.kicks: list[tuple[int, int]] = []
        names = {
            "jit": lambda function: function, "whole": whole, "rounded": round, "truncated": int,
            "wait": self.wait,
            "note": lambda s, who, what: s.log.append((s.now, who, what)), "kick": self.kick,
            "counts_up": self.counts_up,
        }  # fmt: skip
        self.code: dict[str, Any] = names | woven.constants
        exec(compile(woven.source, "woven", "exec"), self.code)
        self.driven: dict[int, Any] = {}  # generators that Python goes through for an actor
        self.woven, self.world = woven, World()
        self.world.log = s.log
        s.at = [woven.begins[root]] * ACTORS

    def wait(self, s: Any, me: int, ns: int) -> int:
        self.sequence += 1
        self.waits[me] = self.sequence
        heapq.heappush(self.heap, (s.now + ns, self.sequence, me))
        return WAITS

    def kick(self, s: Any, who: int, cause: int) -> None:
        at = self.code["go_on_interrupted"](s, who, cause)
        self.kicks.append((who, at))

    def counts_up(self, s: Any, me: int, x: int) -> bool:
        if x == 3 and me == 2:
            return False
        s.count[me] += x
        return True

    def go_on(self, me: int, at: int) -> None:
        """Let an actor go on until it waits, serving what it asks of Python."""
        while True:
            if at == WAITS:
                return
            why = self.code["go_on"](self.s, me, at)
            while self.kicks:
                who, place = self.kicks.pop(0)
                self.sequence += 1
                self.waits[who] = self.sequence
                self.s.at[who] = place
                heapq.heappush(self.heap, (self.s.now, self.sequence, who))
            if why in (WAITS, ENDS):
                return
            at = self.ask(me, FIRST_ASK - why)

    def ask(self, me: int, number: int) -> int:
        """Do what an actor asks of Python; return where it goes on, or WAITS."""
        asked = self.woven.asked[number]
        arguments = [self.s.asked_0[me]]
        self.world.env._now = self.s.now
        done = asked.function(self.world, Actor(me), *arguments)
        if hasattr(done, "send"):
            return self.drive(me, done)
        if isinstance(done, Exception):
            raise done
        self.s.answer[me] = done
        return int(self.s.at[me])

    def drive(self, me: int, steps: Any) -> int:
        self.driven.pop(me, None)
        self.world.env._now = self.s.now
        try:
            event = steps.send(None)
        except StopIteration:
            return int(self.s.at[me])
        except tuple(self.woven.escapes) as error:
            return self.woven.escapes[type(error)]
        self.driven[me] = steps
        return self.wait(self.s, me, event._delay)

    def run(self) -> list[tuple[int, ...]]:
        for me in range(ACTORS):
            self.wait(self.s, me, 0)
        while self.heap:
            self.s.now, sequence, me = heapq.heappop(self.heap)
            if self.waits[me] == sequence:
                at = self.s.at[me]
                self.go_on(me, self.drive(me, self.driven[me]) if me in self.driven else at)
        return list(self.s.log)


class Grid(dict[tuple[int, int], int]):
    """Rows of numbers as long as they need to be."""


def whole(number: Any) -> int:
    assert isinstance(number, int), number
    return int(number)


def on_simpy(process: Callable[[World, Actor], Steps]) -> tuple[list[tuple[int, ...]], str]:
    w = World()
    w.actors = [Actor(number) for number in range(ACTORS)]
    for a in w.actors:
        a.process = w.env.process(process(w, a))
    try:
        w.env.run()
    except Exception as error:
        return w.log, str(error)
    return w.log, ""


def on_woven(process: Callable[[World, Actor], Steps]) -> tuple[list[tuple[int, ...]], str]:
    machine = Machine(weave(vocabulary(), process), process.__name__)
    try:
        return machine.run(), ""
    except Exception as error:
        return machine.s.log, str(error)


@pytest.mark.parametrize("process", texts.PROCESSES, ids=lambda process: process.__name__)
def test_what_is_woven_does_what_simpy_does(process: Any) -> None:
    assert on_woven(process) == on_simpy(process)


def test_one_text_may_hold_several_processes() -> None:
    """Places, names of locals and questions to Python are told apart."""
    woven = weave(vocabulary(), texts.calls, texts.asks_python, texts.about_others)
    for process in (texts.calls, texts.about_others):
        machine = Machine(woven, process.__name__)
        assert (machine.run(), "") == on_simpy(process)
    assert len(woven.places) == len(set(woven.places)), "numbers of places"
    assert "calls_twice_x" in woven.fields


def test_places_name_procedure_file_and_line() -> None:
    woven = weave(vocabulary(), texts.leaves)
    lines = Path(texts.__file__).read_text().splitlines()
    number = 1 + lines.index("    yield from goes(w, a, a.number)")
    assert f"may_leave (mmusim/tests/support/woven_processes.py:{number})" in woven.places.values()
    assert all(f"# {where}" in woven.source for where in woven.places.values())


def test_only_what_outlives_a_wait_is_kept() -> None:
    woven = weave(vocabulary(), texts.straight)
    assert woven.fields == ("straight_x",) or set(woven.fields) == {"straight_x", "straight_y"}
    assert "total_ns" not in weave(vocabulary(), texts.helpers).fields


def test_a_process_that_does_something_else_is_noticed() -> None:
    """Negative control: one process woven, another one run by SimPy."""
    assert on_woven(texts.loops) != on_simpy(texts.for_loops)


def test_an_argument_that_the_caller_keeps_is_not_copied() -> None:
    """And one that the procedure assigns to is."""
    fields = weave(vocabulary(), texts.hands_over).fields
    assert "hands_over_x" in fields
    assert "reads_and_changes_x" not in fields
    assert {"hands_over_y", "reads_and_changes_y"} <= set(fields)


def test_what_is_gone_through_from_two_places_is_gone_on_with_by_number() -> None:
    """Else LLVM would put a copy of it into each."""
    source = weave(vocabulary(), texts.by_name).source
    first = source.split("def by_name")[1]
    assert "return loud_" not in first


# --- what is refused ----------------------------------------------------------------------------


REFUSED = {
    "a_try_of_two": (r"'try:.*' is a try that is not supported; put one yield into it", 3),
    "a_nested_function": ("is a statement that is not supported .FunctionDef.", 4),
    "a_comprehension": ("ListComp", 3),
    "an_unknown_name": ("'nobody' is not known here", 3),
    "an_unknown_attribute": ("'a.colour' is an attribute of a Actor that", 3),
    "an_unknown_call": ("calls what compiled code does not have", 3),
    "an_unknown_wait": ("is nothing that compiled code can wait for", 3),
    "recursion": ("calls a procedure that it is part of; write a loop", 3),
    "a_while_with_else": ("is the else of a loop", 6),
    "python_in_an_expression": ("is asked of Python inside an expression", 3),
    "an_object_as_a_number": ("is a World, not a number", 3),
    "an_untyped_parameter": ("calls what compiled code does not have|without a type", None),
    "code_that_is_never_reached": ("is never reached; remove it", 4),
    "a_suppress_inside": ("is not the only one of the process", None),
    "a_second_meaning": ("gives a name a second meaning", 4),
    "another_by_name": ("gives another twice than other calls; weave it by itself", 2),
    "a_list_of_two_kinds": ("'3' is of another kind than what the list has", 4),
    "a_list_of_the_only_one": ("'w' is a World, of which there is one; leave it out", 3),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_supported_is_refused_with_file_and_line(name: str) -> None:
    process = getattr(refused, name)
    rule, line = REFUSED[name]
    with pytest.raises(WeaveError, match=rule) as raised:
        weave(vocabulary(), process)
    file, number, _ = str(raised.value).split(":", 2)
    assert file == "mmusim/tests/support/refused_processes.py"
    if line is not None:
        assert int(number) == process.__code__.co_firstlineno + line - 1


@pytest.mark.parametrize("process", texts.PROCESSES, ids=lambda process: process.__name__)
def test_what_is_supported_is_not_refused(process: Any) -> None:
    """Negative control of the last."""
    assert weave(vocabulary(), process).source
