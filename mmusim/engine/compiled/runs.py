"""Runs of hits, planned and committed as in :mod:`mmusim.engine.state.guest_run`."""

from __future__ import annotations

from typing import Any

from mmusim.engine.compiled.cost_draws import cost, drawn, hit_ns, of_shape, walk_ns
from mmusim.engine.compiled.fields import T_THINK
from mmusim.engine.compiled.jit import jit
from mmusim.engine.compiled.long_runs import GFN as GFN
from mmusim.engine.compiled.long_runs import WRITE_BIT as WRITE_BIT
from mmusim.engine.compiled.long_runs import plan_long
from mmusim.engine.compiled.machine_load import hit as on_machine
from mmusim.engine.compiled.machine_load import left, work
from mmusim.engine.compiled.mechanism import hit_level, permits, set_dirty
from mmusim.engine.compiled.rates import plan_by_rate
from mmusim.engine.compiled.raw_reads import read_long, read_word
from mmusim.engine.compiled.recent_exits import begins_block, look_up, table_at
from mmusim.engine.state.planned_run import FEW
from mmusim.mmu.dirty_ring import PML_ENTRIES
from mmusim.mmu.spte import STALE
from mmusim.vocabulary.guest_costs import T_HIT_2M, T_WALK_4K, T_WRITE
from mmusim.vocabulary.host_costs import C_PML_LOG


@jit
def code_of(s: Any, v: int, k: int) -> int:
    """Return access k of a vCPU's program: its gfn, and bit 31 if it is a write."""
    if s.code[v]:
        return read_word(s.code[v], k)
    return (s.sequential[v] + k) | s.writes[v] << WRITE_BIT


@jit
def has_lead(s: Any, v: int) -> bool:
    """Tell whether anything comes before the accesses: guest work, or waits for requests."""
    return s.think[v] >= 0 or s.extra[v] != 0 or s.due[v] != 0


@jit
def think_before(s: Any, v: int, k: int) -> int:
    """Return the guest work before access k."""
    if k >= s.length[v]:
        return 0
    ns = 0
    if s.think[v] >= 0:
        ns = of_shape(s, s.think[v], s.keys[v, T_THINK], s.first[v] + k)
    if s.extra[v]:
        ns += read_long(s.extra[v], k)
    return work(s, ns)


@jit
def idle_before(s: Any, v: int, k: int, now: int) -> int:
    """Return how long a guest that is through with access k-1 `now` waits for the next."""
    return max(0, read_long(s.due[v], k) - now) if s.due[v] else 0


@jit
def halts_until(s: Any, v: int) -> int:
    """Return until when a guest halts that is at access k; 0 if it does not."""
    if s.halts[v] == 0 or s.leaves[v]:
        return 0
    due = read_long(s.due[v], s.k[v])
    return due if due > s.now else 0


@jit
def plan(s: Any, v: int) -> bool:
    """Look ahead from access k; False if it exits and nothing is to be spent before that.

    Writes that set D of an armed spte are part of a run where nobody else touches the page
    (`private`): the processor logs them on the way, up to a full buffer.
    """
    if s.leaves[v]:
        return plan_by_rate(s, v)
    if has_lead(s, v):
        return _plan_with_leads(s, v)
    if not (s.bundles and s.private[v]) and _exits(s, v):
        s.count[v] = s.total_ns[v] = 0
        return False
    return _plan_accesses(s, v)


@jit
def _exits(s: Any, v: int) -> bool:
    """Tell whether access k exits: most are looked at twice, before a fault and behind it."""
    code = code_of(s, v, s.k[v])
    unflushed = s.taken_n + s.taken_python > 0
    level: int = hit_level(s, code & GFN, code >> WRITE_BIT, unflushed)
    return level == 0


@jit
def _plan_accesses(s: Any, v: int) -> bool:
    k, first = s.k[v], s.first[v]
    unflushed = s.taken_n + s.taken_python > 0
    ends, hits, walks, logs = s.ends[v], s.hits[v], s.walks[v], s.logs[v]
    last = min(s.length[v], k + min(s.run_limit, s.buffer))
    code_at, sequential, writes = s.code[v], s.sequential[v], s.writes[v] << WRITE_BIT
    writes_cost = s.writes_cost
    look_up(s, v, 0)
    has_curve = s.has_curve
    hit_shape, walk_shape, write_shape = s.hit_shape[v], s.walk_shape[v], s.shape[v, T_WRITE]
    hit_q, hit_c, hit_key = s.quantiles[hit_shape], s.constants[hit_shape], s.keys[v, T_HIT_2M]
    walk_q, walk_c, walk_key = (
        s.quantiles[walk_shape],
        s.constants[walk_shape],
        s.keys[v, T_WALK_4K],
    )
    write_q, write_c = s.quantiles[write_shape], s.constants[write_shape]
    write_key = s.keys[v, T_WRITE]
    bundles = s.bundles and s.private[v]
    logged = s.pml and s.tracked
    room = PML_ENTRIES - s.pml_n[v]
    until = left(s)  # then accesses have another price
    now, i = 0, k
    few = min(last, k + FEW)
    while i < few and now < until:
        code = read_word(code_at, i) if code_at else (sequential + i) | writes
        write = code >> WRITE_BIT
        level = hit_level(s, code & GFN, write, unflushed)
        log = -1
        if level == 0:
            if not (bundles and write and permits(s, code & GFN, True)):
                break
            log = 0
            if logged:
                if room == 0:
                    break
                room -= 1
                log = work(s, of_shape(s, s.shape[v, C_PML_LOG], s.keys[v, C_PML_LOG], first + i))
        if has_curve and i > k and begins_block(s, v, i - k):
            table_at(s, v, i - k)
            hit_shape, walk_shape = s.hit_shape[v], s.walk_shape[v]
            hit_q, hit_c = s.quantiles[hit_shape], s.constants[hit_shape]
            walk_q, walk_c = s.quantiles[walk_shape], s.constants[walk_shape]
        hit = max(1, drawn(hit_q, hit_c, hit_key, first + i))
        if write and writes_cost:
            hit += drawn(write_q, write_c, write_key, first + i)
        hit = on_machine(s, v, hit, write)
        walk = work(s, drawn(walk_q, walk_c, walk_key, first + i)) if level <= 1 else 0
        now += hit + walk + max(log, 0)
        ends[i - k], hits[i - k], walks[i - k], logs[i - k] = now, hit, walk, log
        i += 1
    s.count[v], s.total_ns[v] = i - k, now
    if few == i < last and now < until:
        plan_long(s, v, i, last, now, until, room)
    return i > k


@jit
def _plan_with_leads(s: Any, v: int) -> bool:
    k, first = s.k[v], s.first[v]
    unflushed = s.taken_n + s.taken_python > 0
    ends, hits, walks, idles = s.ends[v], s.hits[v], s.walks[v], s.idles[v]
    last = min(s.length[v], k + min(s.run_limit, s.buffer))
    until = left(s)
    now, i = 0, k
    while i < last:
        idle = idle_before(s, v, i, s.now + now)
        idles[i - k] = idle
        if idle and i > k and s.halts[v]:
            break
        code = code_of(s, v, i)
        write = code >> WRITE_BIT
        level = hit_level(s, code & GFN, write, unflushed)
        if level == 0:
            break
        lead = idle + (think_before(s, v, i) if i > k else s.think_left[v])
        if now + lead >= until:
            break
        now += lead
        hit = hit_ns(s, v, first + i, write, i - k)
        walk = walk_ns(s, v, first + i) if level == 1 else 0
        now += hit + walk
        ends[i - k], hits[i - k], walks[i - k], s.logs[v, i - k] = now, hit, walk, -1
        i += 1
    if i == k:
        now = idles[0] + s.think_left[v]
    elif i == last:
        idles[i - k] = 0
    s.count[v], s.total_ns[v] = i - k, now
    return i > k or now > 0


@jit
def plan_logged(s: Any, v: int) -> None:
    """Plan access k alone: a write to an armed page, which the processor logs on the way."""
    index = s.first[v] + s.k[v]
    hit = walk = 0
    if s.leaves[v] == 0:
        hit, walk = hit_ns(s, v, index, 1, 0), walk_ns(s, v, index)
    log = cost(s, v, C_PML_LOG, index) if s.pml and s.tracked else 0
    s.count[v], s.total_ns[v] = 1, hit + walk + log
    s.ends[v, 0], s.hits[v, 0], s.walks[v, 0], s.logs[v, 0] = hit + walk + log, hit, walk, log
    if s.idles.shape[1]:
        s.idles[v, 0] = s.idles[v, 1] = 0


@jit
def cut(s: Any, v: int, offset: int) -> tuple[int, int]:
    """Return how many accesses of the run complete, and when the guest can be left."""
    n = s.count[v]
    if n == 0:
        return 0, offset
    ends = s.ends[v]
    done, high = 0, n
    while done < high:
        middle = (done + high) >> 1
        if ends[middle] < offset:
            done = middle + 1
        else:
            high = middle
    if done < n:
        start = ends[done] - s.hits[v, done] - s.walks[v, done] - max(s.logs[v, done], 0)
        if offset > start:
            return done + 1, ends[done]
    return done, offset


@jit
def log_write(s: Any, v: int, gfn: int) -> None:
    """The processor sets D, and logs the page."""
    if set_dirty(s, gfn) and s.pml and s.tracked:
        s.buffered[v, s.pml_n[v]] = gfn
        s.pml_n[v] += 1


@jit
def settle(s: Any) -> None:
    """Mark what the runs under way have touched by now."""
    for v in range(s.cpus):
        if s.under_way[v] == 0:
            continue
        offset = s.now - s.run_start[v]
        touched = len(s.touched) > 0 and s.recorder[v] == s.measured_recorder
        i = s.marked[v]
        while i < s.count[v] and s.ends[v, i] < offset:
            code = code_of(s, v, s.k[v] + i)
            if code >> WRITE_BIT:
                s.page[code & GFN] |= STALE
                if s.logs[v, i] >= 0:
                    log_write(s, v, code & GFN)
            if touched:
                s.touched[code & GFN] = 1
            i += 1
        s.marked[v] = i
