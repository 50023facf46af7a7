"""Kicks and remote TLB flushes by vCPUs, as in :mod:`mmusim.engine.processes.flush`."""

from __future__ import annotations

from typing import Any

from mmusim.engine.compiled.chance import cost
from mmusim.engine.compiled.events import (
    ACK,
    KICK,
    KIND_BITS,
    NORMAL,
    PYTHON,
    REPLAN,
    URGENT,
    push,
    wait,
    wait_for_somebody,
)
from mmusim.engine.compiled.jit import jit
from mmusim.engine.compiled.machine_load import runs
from mmusim.engine.compiled.places import FLUSH_ACKNOWLEDGED, FLUSH_SENT, TAKEN_BACK
from mmusim.engine.compiled.rates import flush_ends
from mmusim.engine.compiled.recording import book
from mmusim.mmu.spte import TLB_READ, TLB_WRITE
from mmusim.vocabulary.causes import FLUSH_WAIT
from mmusim.vocabulary.counters import REMOTE_TLB_FLUSH, REMOTE_TLB_FLUSH_REQUESTS
from mmusim.vocabulary.guest_costs import C_FLUSH_INIT, C_FLUSH_TARGET

KEEP = 0xFF ^ (TLB_READ | TLB_WRITE)


@jit
def kick(s: Any, v: int) -> None:
    """Force a vCPU out of guest mode."""
    s.in_guest[v] = 0
    s.kick_sent[v] += 1
    s.ack_slot[v] = s.ack_for[v] = -1
    push(s, s.now, URGENT, v << KIND_BITS | KICK)


@jit
def acknowledge(s: Any, v: int) -> None:
    """Answer a kick; who waits for it notices in an event of its own."""
    if s.ack_slot[v] >= 0:
        push(s, s.now, NORMAL, s.ack_slot[v] << KIND_BITS | PYTHON)
        s.kick_answered[v] += 1
    else:
        push(s, s.now, NORMAL, v << KIND_BITS | ACK)


@jit
def replan(s: Any, by: int) -> None:
    """Let other vCPUs in the guest look again at what they will meet; costs them nothing."""
    for v in range(s.cpus):
        if v != by and s.in_guest[v]:
            push(s, s.now, URGENT, v << KIND_BITS | REPLAN)


@jit
def revoke(s: Any, page: int, page_end: int, region: int, region_end: int) -> None:
    """Note that TLBs may hold more of these entries than the tables allow, until a flush."""
    taken, n = s.taken, s.taken_n
    taken[n, 0], taken[n, 1], taken[n, 2], taken[n, 3] = page, page_end, region, region_end
    s.taken_n = n + 1


@jit
def forget_taken(s: Any) -> None:
    """No TLB holds any more of what compiled code took back than the tables allow."""
    if s.by_rates:
        flush_ends(s)
    for i in range(s.taken_n):
        for page in range(s.taken[i, 0], s.taken[i, 1]):
            s.page[page] &= KEEP
        for region in range(s.taken[i, 2], s.taken[i, 3]):
            s.region[region] &= KEEP
    if s.taken_n:
        for giant in range(len(s.giant)):
            s.giant[giant] &= KEEP
    s.taken_n = 0


@jit
def flush_remote(s: Any, v: int, then: int) -> int:
    """Ask every vCPU to flush and wait until those in guest mode have left it; go on at `then`."""
    s.after_flush[v] = then
    s.flush_ns[v] = s.now
    s.stat[REMOTE_TLB_FLUSH_REQUESTS] += 1
    n = 0
    for other in range(s.cpus):
        s.flush_requested[other] = 1
        if s.in_guest[other]:
            kick(s, other)
            s.ack_for[other] = v
            s.acks[v, 2 * n], s.acks[v, 2 * n + 1] = other, s.kick_sent[other]
            n += 1
    if n:
        s.stat[REMOTE_TLB_FLUSH] += 1
    s.acks_n[v] = n
    s.acks_i[v] = 0
    forget_taken(s)
    if s.taken_python:
        s.at[v] = FLUSH_SENT
        s.why_number = -1
        return TAKEN_BACK
    return pay_flush(s, v)


@jit
def pay_flush(s: Any, v: int) -> int:
    """Let the time pass that sending the flush takes."""
    n = s.flushes[v]
    s.flushes[v] = n + 1
    ns = cost(s, v, C_FLUSH_INIT, n) + s.acks_n[v] * cost(s, v, C_FLUSH_TARGET, n)
    return wait(s, v, ns, FLUSH_ACKNOWLEDGED)


@jit
def acknowledged(s: Any, v: int) -> int:
    """Wait for the next vCPU that has not answered yet; when all have, go on."""
    while s.acks_i[v] < s.acks_n[v]:
        i = s.acks_i[v]
        if s.kick_answered[s.acks[v, 2 * i]] < s.acks[v, 2 * i + 1]:
            runs(s, v, 0)
            return wait_for_somebody(s, v, FLUSH_ACKNOWLEDGED)
        s.acks_i[v] = i + 1
    runs(s, v, 1)
    book(s, v, FLUSH_WAIT, s.now - s.flush_ns[v])
    return s.after_flush[v]
