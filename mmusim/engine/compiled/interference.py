"""Sources of interference: their rows, and the changes that their process makes.

The process is :mod:`mmusim.engine.processes.interference`, woven.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mmusim.engine.compiled.cost_draws import cost
from mmusim.engine.compiled.events import (
    CPU_BITS,
    INTERFERENCE,
    KIND_BITS,
    NORMAL,
    URGENT,
    WAITS,
    push,
)
from mmusim.engine.compiled.jit import jit
from mmusim.engine.compiled.memory import Memory
from mmusim.engine.compiled.weaving import BEGINS_INTERFERENCE, INTERFERING

_CPU = (1 << CPU_BITS) - 1


def make_room(memory: Memory, rows: int) -> None:
    """Add as many free rows as there are rows, or `rows` at first, if no row is free."""
    if memory.get("free_interferers_n"):
        return
    before = len(memory["interferer_at"])
    more = before or rows
    for name in ("interferer_at", "free_interferers", *INTERFERING.fields):
        memory.put(name, np.concatenate([memory[name], np.zeros(more, np.int64)]))
    memory["free_interferers"][:more] = range(before + more - 1, before - 1, -1)
    memory.set("free_interferers_n", more)


@jit
def begin_interference(s: Any, v: int, source: int) -> None:
    """Let a source, by number, interfere with the program that a vCPU runs now. A row must be
    free.
    """
    s.free_interferers_n -= 1
    row = s.free_interferers[s.free_interferers_n]
    s.interferers += 1
    s.interfere_v[row], s.interfere_number[row] = v, source
    s.interferer_at[row] = BEGINS_INTERFERENCE
    push(s, s.now, URGENT, row << KIND_BITS | INTERFERENCE)


@jit
def end_interference(s: Any, row: int) -> None:
    """Free the row of a source that interferes no more."""
    s.free_interferers[s.free_interferers_n] = row
    s.free_interferers_n += 1


@jit
def sleep(s: Any, row: int, ns: int) -> int:
    """Let `ns` pass for a source; it goes on at the place in its row."""
    push(s, s.now + ns, NORMAL, row << KIND_BITS | INTERFERENCE)
    return WAITS


@jit
def stream_of(v: int, number: int) -> int:
    """Return the number by which a stream of a vCPU is known here."""
    return number << CPU_BITS | v


@jit
def drawn_from(s: Any, stream: int, index: int) -> int:
    """Return cost `index`, in ns, of a stream by its number (:func:`stream_of`)."""
    return cost(s, stream & _CPU, stream >> CPU_BITS, index)


@jit
def program_of(s: Any, v: int) -> int:
    """Return the number of the program that a vCPU runs, or has run last."""
    name: int = s.program_no[v] << CPU_BITS | v
    return name


@jit
def is_alive(s: Any, program: int) -> bool:
    """Tell whether a program, by its number (:func:`program_of`), has not come to its end."""
    v = program & _CPU
    goes_on: bool = s.program_no[v] == program >> CPU_BITS and s.alive[v] != 0
    return goes_on
