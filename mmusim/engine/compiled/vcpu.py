"""A vCPU goes on from the place it is at, as processes/vcpu.py does from a ``yield``."""

from __future__ import annotations

from typing import Any

from mmusim.engine.compiled import places
from mmusim.engine.compiled.chance import cost
from mmusim.engine.compiled.commits import commit
from mmusim.engine.compiled.events import wait, wait_in_guest
from mmusim.engine.compiled.fields import T_PASS
from mmusim.engine.compiled.guest_mode import left_guest
from mmusim.engine.compiled.jit import jit
from mmusim.engine.compiled.machine_load import runs
from mmusim.engine.compiled.mechanism import permits
from mmusim.engine.compiled.recording import book, last_window, note, stalled
from mmusim.engine.compiled.runs import GFN, WRITE_BIT, code_of, cut, plan, plan_logged
from mmusim.engine.compiled.tlb import happened, plan_through, use_logged
from mmusim.engine.compiled.weaving import FIRST
from mmusim.engine.compiled.woven import (
    answer_kick,
    drain_pml,
    enter_guest,
    go_on_woven,
    page_fault,
    pml_full,
)
from mmusim.engine.processes.page_fault import LOST_RACE
from mmusim.engine.processes.vcpu import PATIENCE
from mmusim.mmu.dirty_ring import PML_ENTRIES
from mmusim.vocabulary.causes import PASS


@jit
def start(s: Any, v: int) -> int:
    """Begin a program, in the host."""
    s.started_ns[v] = s.stall_begin[v] = s.stall_seen[v] = s.booked_ns[v] = s.now
    s.owed_n[v] = 0
    runs(s, v, 1)
    s.stall_n[v] = s.stall_kept[v] = 0
    for w in range(s.worst.shape[1]):
        s.worst[v, w] = -1
    ns = cost(s, v, T_PASS, s.first[v] + s.k[v])
    s.left_ns[v] = s.now + ns  # it is no stall
    if ns:
        book(s, v, PASS, ns)
        return wait(s, v, ns, places.PASSED)
    return passed(s, v)


@jit
def passed(s: Any, v: int) -> int:
    """Enter for the first time."""
    return enter_guest(s, v, 0, PASS, s.first[v] + s.k[v], places.LOOKS)


@jit
def looks(s: Any, v: int) -> int:
    """Look what comes next: a run of hits, a write that the processor logs, or a fault."""
    k = s.k[v]
    if k >= s.length[v]:
        s.at[v] = places.THROUGH
        return places.NEXT_PROGRAM
    through = s.has_tlb != 0 and s.leaves[v] == 0 and s.taken_n + s.taken_python > 0
    if plan_through(s, v) if through else plan(s, v):
        s.run_start[v], s.marked[v] = s.now, 0
        return wait_in_guest(s, v, s.total_ns[v], places.TOUCHING)
    k = s.k[v]  # accesses by rate that needed nobody are made
    code = code_of(s, v, k)
    if code >> WRITE_BIT and permits(s, code & GFN, True):
        if s.pml_n[v] == PML_ENTRIES:
            _faulted(s, v)
            return pml_full(s, v, s.first[v] + k, places.PML_FULL_ENTERED)
        plan_logged(s, v)
        if through:
            use_logged(s, v, code & GFN)
        s.run_start[v], s.marked[v] = s.now, 0
        return wait_in_guest(s, v, s.total_ns[v], places.TOUCHING)
    if k != s.stuck_at[v]:
        s.stuck_at[v], s.faults[v] = k, 0
    if s.faults[v] == PATIENCE:
        return places.NO_PROGRESS
    _faulted(s, v)
    return page_fault(s, v, places.FAULT_OVER)


@jit
def _faulted(s: Any, v: int) -> None:
    """The latency of access k counts from its first attempt."""
    if s.began[v] < 0:
        s.began[v] = s.now


@jit
def touching(s: Any, v: int) -> int:
    """The planned run is over."""
    _commit(s, v)
    return places.LOOKS


@jit
def _commit(s: Any, v: int) -> None:
    if s.tlb_planned[v]:
        happened(s, v, s.count[v])
    commit(s, v, s.count[v], s.total_ns[v], s.run_start[v])


@jit
def kicked(s: Any, v: int) -> int:
    """A kick cuts the run short; the access in flight completes."""
    if s.at[v] != places.TOUCHING:
        return places.BROKEN
    start = s.run_start[v]
    done, until = cut(s, v, s.now - start)
    s.count[v], s.total_ns[v] = done, until
    if start + until > s.now:
        return wait(s, v, start + until - s.now, places.FINISHING)
    return finishing(s, v)


@jit
def finishing(s: Any, v: int) -> int:
    """What was cut is committed, and the kick answered."""
    _commit(s, v)
    return answer_kick(s, v, s.first[v] + s.k[v], places.LOOKS)


@jit
def looks_again(s: Any, v: int) -> int:
    """Plan no further than what is in flight: what the run will meet has changed."""
    if s.at[v] != places.TOUCHING:
        return places.BROKEN
    start = s.run_start[v]
    s.count[v], s.total_ns[v] = cut(s, v, s.now - start)
    return wait_in_guest(s, v, start + s.total_ns[v] - s.now, places.TOUCHING)


@jit
def fault_over(s: Any, v: int) -> int:
    """The guest retries the access."""
    if s.page_fault_returns[v] != LOST_RACE:
        s.faults[v] += 1
    note(s, s.now)
    note(s, v)
    note(s, s.first[v] + s.k[v])
    note(s, s.page_fault_returns[v])
    if s.tells and s.now >= s.next_change:
        s.at[v] = places.LOOKS
        return places.CHANGED
    return places.LOOKS


@jit
def pml_full_entered(s: Any, v: int) -> int:
    """The write is tried again."""
    note(s, s.now)
    note(s, v)
    note(s, s.first[v] + s.k[v])
    return places.LOOKS


@jit
def over(s: Any, v: int) -> int:
    """The vCPU has come to its end."""
    if s.in_guest[v]:
        left_guest(s, v)
    if s.pml_n[v]:
        return drain_pml(s, v, s.first[v] + s.k[v], places.DRAINED_AT_END)
    return drained_at_end(s, v)


@jit
def drained_at_end(s: Any, v: int) -> int:
    """Close its books."""
    runs(s, v, 0)
    stalled(s, v, s.left_ns[v], s.now)
    last_window(s, v, s.now)
    return places.PROGRAM_ENDS


@jit
def go_on(s: Any, v: int, at: int) -> int:
    """Go on at a place until the vCPU waits (`events.WAITS`), or wants something of Python."""
    while at >= 0:
        if at >= FIRST:
            at = go_on_woven(s, v, at)
        elif at == places.LOOKS:
            at = looks(s, v)
        elif at == places.TOUCHING:
            at = touching(s, v)
        elif at == places.FAULT_OVER:
            at = fault_over(s, v)
        else:
            at = _go_on_rarely(s, v, at)
    return at


@jit
def _go_on_rarely(s: Any, v: int, at: int) -> int:
    if at == places.FINISHING:
        at = finishing(s, v)
    elif at == places.PML_FULL_ENTERED:
        at = pml_full_entered(s, v)
    elif at == places.START:
        at = start(s, v)
    elif at == places.PASSED:
        at = passed(s, v)
    elif at == places.OVER:
        at = over(s, v)
    elif at == places.DRAINED_AT_END:
        at = drained_at_end(s, v)
    else:
        at = places.BROKEN
    return at
