"""What else the host does on a vCPU's processor, as in processes/interference.py."""

from __future__ import annotations

from typing import Any, Final

from mmusim.engine.compiled.chance import cost
from mmusim.engine.compiled.events import INTERFERENCE, KIND_BITS, NORMAL, URGENT, push
from mmusim.engine.compiled.fields import INTERFERENCE_STREAMS
from mmusim.engine.compiled.jit import jit
from mmusim.engine.compiled.kicks import kick

CPU_BITS: Final = 16
SOURCE_BITS: Final = 8


@jit
def begin_interference(s: Any, v: int, source: int) -> None:
    """Let a source interfere with the program that a vCPU runs now."""
    s.interferers += 1
    push(s, s.now, URGENT, _event(s, v, source, 1))


@jit
def _event(s: Any, v: int, source: int, begins: int) -> int:
    number = s.program_no[v] << 1 | begins
    return ((number << SOURCE_BITS | source) << CPU_BITS | v) << KIND_BITS | INTERFERENCE


@jit
def interfere(s: Any, what: int) -> None:
    """Interrupt a vCPU, or take the time at its next entry, and come again."""
    what >>= KIND_BITS
    v = what & ((1 << CPU_BITS) - 1)
    source = what >> CPU_BITS & ((1 << SOURCE_BITS) - 1)
    number = what >> CPU_BITS + SOURCE_BITS
    runs = s.program_no[v] == number >> 1 and s.alive[v]
    gaps = INTERFERENCE_STREAMS + 2 * source
    if number & 1 == 0 and runs:
        n = s.stolen_times[v, source]
        ns = cost(s, v, gaps + 1, n)
        if s.halted[v]:
            s.taken_until_ns[v] = max(s.taken_until_ns[v], s.now) + ns
        else:
            s.stolen_ns[v] += ns
        s.stolen_times[v, source] = n + 1
        if s.in_guest[v]:
            kick(s, v)
    if runs and s.heap_n >= s.interferers:
        gap = max(1, cost(s, v, gaps, s.stolen_times[v, source]))
        push(s, s.now + gap, NORMAL, _event(s, v, source, 0))
    else:
        s.interferers -= 1
