"""The times of hits of a program, as tables for compiled code."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from mmusim.costs.hits import KEPT, MOST_TABLES, NEVER, NO_BLOCK
from mmusim.engine.compiled.fields import FIELD
from mmusim.engine.compiled.memory import Memory
from mmusim.plan.make import Plan, Program
from mmusim.vocabulary.guest_costs import T_HIT_2M, T_WALK_4K


def remember_exits(memory: Memory, plan: Plan) -> None:
    """Make room for the exits and tables of the vCPUs, if hits depend on exits."""
    if plan.curve is not None and not memory.get("has_curve"):
        memory.put("exits", np.zeros((plan.vcpus, KEPT), np.int64))
        for name in ("exits_least", "hit_shapes", "walk_shapes"):
            memory.put(name, np.zeros((plan.vcpus, MOST_TABLES), np.int64))
        memory.set("has_curve", 1)


def let_hit(v: Any, program: Program) -> None:
    """Set what the hits of a compiled vCPU take in a program."""
    memory, numbers = v.of.memory, v.of.shapes

    def put(name: str, value: int) -> None:
        v.row[FIELD[name]] = value

    put("misses", v.prices is not None and v.prices.misses(program.pages))
    put("table_block", NO_BLOCK)
    if program.tables is None:
        put("hit_shape", memory["shape"][v.number, T_HIT_2M])
        put("walk_shape", memory["shape"][v.number, T_WALK_4K])
        return
    if program.tables.forgets:
        memory["exits"][v.number] = 0
    found: tuple[tuple[str, Iterable[int], int], ...] = (
        ("exits_least", program.tables.least, NEVER),
        ("hit_shapes", map(numbers.number, program.tables.large), 0),
        ("walk_shapes", map(numbers.number, program.tables.walk), 0),
    )
    for name, values, rest in found:
        row = list(values)
        memory[name][v.number] = row + [rest] * (MOST_TABLES - len(row))
