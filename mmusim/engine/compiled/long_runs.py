"""Long runs of hits, planned in parts: each step is a loop of its own, of which LLVM makes vectors.

The first accesses of a run are planned one by one (:mod:`mmusim.engine.compiled.runs`), because
most runs between faults are short. Both ways give the same run.
"""

from __future__ import annotations

from typing import Any, Final

from mmusim.costs.hits import BLOCK_BITS
from mmusim.engine.compiled.cost_draws import draw_many, of_shape
from mmusim.engine.compiled.jit import jit
from mmusim.engine.compiled.machine_load import hit as on_machine
from mmusim.engine.compiled.machine_load import work
from mmusim.engine.compiled.mechanism import hit_level, permits
from mmusim.engine.compiled.raw_reads import read_word
from mmusim.engine.compiled.recent_exits import look_up
from mmusim.vocabulary.guest_costs import T_HIT_2M, T_WALK_4K, T_WRITE
from mmusim.vocabulary.host_costs import C_PML_LOG

WRITE_BIT: Final = 31
GFN: Final = (1 << WRITE_BIT) - 1
PART: Final = 1 << BLOCK_BITS  # accesses that are planned together: they have the same tables
REGION: Final = 1 << 9  # pages


@jit
def plan_long(s: Any, v: int, i: int, last: int, now: int, until: int, room: int) -> None:
    """Go on with a planned run from access i, `now` ns after its beginning, up to `last`.

    A run ends where an access begins `until` ns or later. `room` is what is left of the PML buffer.
    """
    k, goes_on = s.k[v], True
    while goes_on and i < last and now < until:
        look_up(s, v, i - k)
        end = min(last, i + PART - ((s.accesses[v] + i - k) & (PART - 1)))
        found, walks, room = _look(s, v, i, end, room)
        goes_on = found == end
        _price(s, v, i, found, walks)
        ends, hits, walked, logs = s.ends[v], s.hits[v], s.walks[v], s.logs[v]
        run = i - k
        while run < found - k and now < until:
            now += hits[run] + walked[run] + max(logs[run], 0)
            ends[run] = now
            run += 1
        i = k + run
        goes_on = goes_on and i == found
    s.count[v], s.total_ns[v] = i - k, now


@jit
def _look(s: Any, v: int, first: int, end: int, room: int) -> tuple[int, int, int]:
    """Write into `walks` which accesses walk to a 4 KiB spte, and into `logs` which are logged.

    Returns the first access behind them that exits, how many walk, and the room that is left.
    """
    k, code_at, unflushed = s.k[v], s.code[v], s.taken_n + s.taken_python > 0
    walks, logs = s.walks[v], s.logs[v]
    bundles, logged = s.bundles and s.private[v], s.pml and s.tracked
    sequential, write = s.sequential[v], s.writes[v]
    walked, i = 0, first
    while i < end:
        gfn = sequential + i
        if code_at:
            code = read_word(code_at, i)
            gfn, write = code & GFN, code >> WRITE_BIT
        level = hit_level(s, gfn, write, unflushed)
        at = i - k
        if level > 1 and code_at == 0 and not unflushed:  # so do all accesses through this entry
            same = min(end - i, REGION - (gfn & (REGION - 1)))
            for n in range(at, at + same):
                walks[n], logs[n] = 0, -1
            i += same
            continue
        log = -1
        if level == 0:
            if not (bundles and write and permits(s, gfn, True)) or (logged and room == 0):
                break
            log = 0
            if logged:
                room -= 1
                index = s.first[v] + i
                log = work(s, of_shape(s, s.shape[v, C_PML_LOG], s.keys[v, C_PML_LOG], index))
        walks[at], logs[at] = level <= 1, log
        walked += level <= 1
        i += 1
    return i, walked, room


@jit
def _price(s: Any, v: int, first: int, end: int, walked: int) -> None:
    """Write what accesses take into `hits` and `walks`; uses `ends`."""
    n, at, index = end - first, first - s.k[v], s.first[v] + first
    hits, walks, more = s.hits[v], s.walks[v], s.ends[v]
    draw_many(s, hits, at, n, s.hit_shape[v], s.keys[v, T_HIT_2M], index)
    for i in range(at, at + n):
        hits[i] = max(hits[i], 1)
    code_at, writes = s.code[v], s.writes[v]
    if s.writes_cost and (code_at or writes):
        draw_many(s, more, at, n, s.shape[v, T_WRITE], s.keys[v, T_WRITE], index)
        if code_at:
            for i in range(at, at + n):
                more[i] *= read_word(code_at, s.k[v] + i) >> WRITE_BIT
        for i in range(at, at + n):
            hits[i] += more[i]
    if s.loads:
        for i in range(at, at + n):
            write = read_word(code_at, s.k[v] + i) >> WRITE_BIT if code_at else writes
            hits[i] = on_machine(s, v, hits[i], write)
    if walked:
        draw_many(s, more, at, n, s.walk_shape[v], s.keys[v, T_WALK_4K], index)
        for i in range(at, at + n):
            walks[i] *= more[i]
        if s.loads:
            for i in range(at, at + n):
                walks[i] = work(s, walks[i])
