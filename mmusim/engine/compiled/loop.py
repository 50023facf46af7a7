"""The event loop, which Python calls."""

from __future__ import annotations

from typing import Any, Final

from mmusim.engine.compiled import return_codes
from mmusim.engine.compiled.events import (
    ACK,
    INTERFERENCE,
    KICK,
    KIND,
    KIND_BITS,
    PRIORITY_BIT,
    REPLAN,
    VCPU,
    WAITS,
    close_hole,
    push,
    take_first,
)
from mmusim.engine.compiled.interference import begin_interference, end_interference
from mmusim.engine.compiled.jit import entry, jit
from mmusim.engine.compiled.kicks import answer_noticed, awaits_any
from mmusim.engine.compiled.lock import acquire, count_readers, release, was_held
from mmusim.engine.compiled.machine_load import close_epochs, left, runs
from mmusim.engine.compiled.memory import as_state
from mmusim.engine.compiled.points import look_at_all
from mmusim.engine.compiled.probe_rows import SPARE
from mmusim.engine.compiled.rates import look_at_ranges
from mmusim.engine.compiled.recording import charge, cut_stalls
from mmusim.engine.compiled.runs import settle
from mmusim.engine.compiled.vcpu import close_stalls
from mmusim.engine.compiled.woven import go_on, go_on_interrupted, interferer_goes_on
from mmusim.engine.state.vm import LAST_NS
from mmusim.engine.weave import ENDS

(
    ADVANCE, GO_ON, PUSH, ACQUIRE, RELEASE, COUNT_READERS, BEGIN_INTERFERENCE, SETTLE, CHARGE,
    CUT_STALLS, LOOK_AT_ALL, LOOK_AT, RUNS, LEFT, CLOSE_STALLS,
    WAS_HELD, AWAITS_ANY,
) = range(17)  # fmt: skip
"""What :func:`call` can do."""
NUMBERS: Final = 64
"""Numbers of the trajectory that there must be room for before an event."""
_SEQUENCE: Final = (1 << PRIORITY_BIT) - 1


@jit
def advance(s: Any) -> int:
    """Carry out events until Python is wanted; return for what."""
    why: int = _carry_out(s)
    close_hole(s)
    return why


@jit
def _carry_out(s: Any) -> int:
    while True:
        close_hole(s)
        if s.stalls_full or s.print_n + NUMBERS > len(s.prints):
            return return_codes.NEEDS_ROOM
        if s.has_probe and s.probe_rows_n + SPARE > len(s.probe_rows):
            return return_codes.NEEDS_ROOM
        if s.heap_n + 4 * s.cpus + NUMBERS > len(s.heap):
            return return_codes.NEEDS_ROOM
        if s.heap_n == 0:
            return return_codes.ENDED
        if s.events >= s.until_events:
            return return_codes.CHECKS_SIGNALS
        key, what = take_first(s)
        s.events += 1
        if s.now > LAST_NS:
            return return_codes.CLOCK_ENDS
        if s.now >= s.epoch_ends:
            close_epochs(s)
        kind = what & KIND
        v = what >> KIND_BITS
        at = WAITS
        if kind == VCPU:
            if s.waits[v] == key & _SEQUENCE:
                at = s.at[v]
        elif kind in (KICK, REPLAN):
            s.waits[v] = 0  # what it waited for is nothing to it any more
            at = go_on_interrupted(s, v, kind)
        elif kind == ACK:
            v = answer_noticed(s, v)
            if v >= 0:
                at = s.at[v]
        elif kind == INTERFERENCE:
            if interferer_goes_on(s, v, s.interferer_at[v]) == ENDS:
                end_interference(s, v)
        else:
            s.why_number = v
            return return_codes.PYTHON_EVENT
        if at != WAITS:
            s.actor, s.place = v, s.at[v]
            why = go_on(s, v, at)
            if why != WAITS:
                s.why_vcpu = v
                return why


@entry("int64(int64, int64, int64, int64, int64)")
def call(address: int, do: int, a: int, b: int, c: int) -> int:
    """Do one thing with the memory at `address`; the numbers are what it takes."""
    s = as_state(address)
    if do == ADVANCE:
        return advance(s)
    if do == GO_ON:
        s.actor, s.place, s.why_vcpu = a, s.at[a], a
        return go_on(s, a, s.at[a])
    if do == PUSH:
        return push(s, a, b, c)
    if do == ACQUIRE:
        return acquire(s, a, b, c)
    if do == RELEASE:
        release(s, a)
        return 0
    if do == COUNT_READERS:
        return count_readers(s)
    if do == SETTLE:
        settle(s)
        return 0
    if do == WAS_HELD:
        was_held(s, a, b)
        return 0
    if do == AWAITS_ANY:
        return awaits_any(s)
    if do == CHARGE:
        charge(s, a, b, c)
        return 0
    if do == CUT_STALLS:
        cut_stalls(s, a)
        return 0
    if do == CLOSE_STALLS:
        close_stalls(s, a)
        return 0
    if do == RUNS:
        runs(s, a, b)
        return 0
    if do == LEFT:
        return left(s)
    if do == LOOK_AT_ALL:
        look_at_all(s, a, -1)
        return 0
    if do == LOOK_AT:
        look_at_ranges(s, a)
        return 0
    begin_interference(s, a, b)
    return 0
