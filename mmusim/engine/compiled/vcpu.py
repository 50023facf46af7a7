"""A vCPU goes on from the place it is at, as processes/vcpu.py does from a ``yield``."""

from __future__ import annotations

from typing import Any

from mmusim.engine.compiled import guest_mode, kicks, mapping, page_fault, places
from mmusim.engine.compiled.chance import cost
from mmusim.engine.compiled.commits import commit
from mmusim.engine.compiled.events import wait, wait_in_guest
from mmusim.engine.compiled.guest_mode import answer_kick, drain_pml, enter_guest, left_guest
from mmusim.engine.compiled.jit import jit
from mmusim.engine.compiled.machine_load import runs
from mmusim.engine.compiled.mechanism import permits
from mmusim.engine.compiled.recording import book, last_window, note, stalled
from mmusim.engine.compiled.runs import GFN, WRITE_BIT, code_of, cut, plan, plan_logged
from mmusim.engine.compiled.tlb import happened, plan_through, use_logged
from mmusim.engine.processes.page_fault import LOST_RACE
from mmusim.engine.processes.vcpu import PATIENCE
from mmusim.mmu.dirty_ring import PML_ENTRIES
from mmusim.vocabulary.causes import PASS
from mmusim.vocabulary.guest_costs import T_PASS


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
            return guest_mode.pml_full(s, v)
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
    return page_fault.fault(s, v)


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
    return answer_kick(s, v)


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
    if s.outcome[v] != LOST_RACE:
        s.faults[v] += 1
    note(s, s.now)
    note(s, v)
    note(s, s.index[v])
    note(s, s.outcome[v])
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
        if at == places.LOOKS:
            at = looks(s, v)
        elif at == places.TOUCHING:
            at = touching(s, v)
        elif at == places.ENTERS:
            at = guest_mode.enters(s, v)
        elif at == places.ENTERED:
            at = guest_mode.entered(s, v)
        elif at == places.PREPARED:
            at = page_fault.prepared(s, v)
        elif at == places.GRANTED:
            at = page_fault.granted(s, v)
        elif at == places.MAPPED:
            at = mapping.mapped(s, v)
        elif at == places.UNLOCKS:
            at = page_fault.unlock(s, v)
        elif at == places.FAULT_OVER:
            at = fault_over(s, v)
        elif at == places.FAULT_EXITED:
            at = page_fault.fault_exited(s, v)
        elif at == places.FAST_FIXED:
            at = page_fault.fast_fixed(s, v)
        elif at == places.COUNTED:
            at = page_fault.counted(s, v)
        elif at == places.LEFT_LOCK:
            at = page_fault.left_lock(s, v)
        elif at == places.FOUND_STALE:
            at = page_fault.found_stale(s, v)
        else:
            at = _go_on_rarely(s, v, at)
    return at


@jit
def _go_on_rarely(s: Any, v: int, at: int) -> int:
    if at == places.FINISHING:
        at = finishing(s, v)
    elif at == places.KICK_EXITED:
        at = guest_mode.kick_exited(s, v)
    elif at == places.KICK_DRAINED:
        at = guest_mode.kick_drained(s, v)
    elif at == places.KICK_ANSWERED:
        at = places.LOOKS
    elif at == places.CALLED:
        at = guest_mode.called(s, v)
    elif at == places.STOLEN_GIVEN:
        at = guest_mode.stolen_given(s, v)
    elif at == places.FLUSHED:
        at = guest_mode.flushed(s, v)
    elif at == places.DRAINED:
        at = s.after_drain[v]
    elif at == places.FAULT_DRAINED:
        at = page_fault.fault_drained(s, v)
    elif at == places.HAS_PAGE:
        at = page_fault.has_page(s, v)
    elif at == places.HAS_MEMORY:
        at = page_fault.has_memory(s, v)
    elif at == places.GRACE_ENDED:
        at = page_fault.grace_ended(s, v)
    elif at == places.MET_FROZEN:
        at = mapping.met_frozen(s, v)
    elif at in (places.GUEST_TABLE_FLUSHED, places.MAKES_ROOM):
        at = mapping.makes_room(s, v)
    elif at == places.SPLIT:
        at = mapping.split(s, v)
    elif at == places.DROPPING:
        at = mapping.dropping(s, v)
    elif at == places.DROPPED:
        at = mapping.dropped(s, v)
    elif at == places.ROOM_MADE:
        at = mapping.room_made(s, v)
    elif at == places.FLUSH_SENT:
        at = kicks.pay_flush(s, v)
    elif at == places.FLUSH_ACKNOWLEDGED:
        at = kicks.acknowledged(s, v)
    elif at == places.PML_FULL_EXITED:
        at = guest_mode.pml_full_exited(s, v)
    elif at == places.PML_FULL_DRAINED:
        at = guest_mode.pml_full_drained(s, v)
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
