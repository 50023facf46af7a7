"""Changes of a vCPU's state that the process of :mod:`mmusim.engine.processes.vcpu` makes."""

from __future__ import annotations

from typing import Any

from mmusim.engine.compiled.commits import commit
from mmusim.engine.compiled.jit import jit
from mmusim.engine.compiled.recording import last_window, note, stalled
from mmusim.engine.compiled.runs import GFN, code_of, cut, plan, plan_logged
from mmusim.engine.compiled.tlb import happened, plan_through, use_logged


@jit
def begin(s: Any, v: int) -> None:
    """Begin a program; the vCPU is in the host."""
    s.started_ns[v] = s.stall_begin[v] = s.stall_seen[v] = s.charged_ns[v] = s.now
    s.owed_n[v] = 0
    s.stall_n[v] = s.stall_kept[v] = 0
    for w in range(s.worst.shape[1]):
        s.worst[v, w] = -1


@jit
def _through(s: Any, v: int) -> bool:
    """Tell whether what comes next depends on what the TLB holds."""
    return s.has_tlb != 0 and s.leaves[v] == 0 and s.taken_n + s.taken_python > 0


@jit
def plan_run(s: Any, v: int) -> bool:
    """Plan a run from access k on; return False if access k exits at once."""
    return plan_through(s, v) if _through(s, v) else plan(s, v)


@jit
def plan_logged_write(s: Any, v: int) -> None:
    """Plan access k alone: a write to an armed page, which the processor logs on the way."""
    plan_logged(s, v)
    if _through(s, v):
        use_logged(s, v, code_of(s, v, s.k[v]) & GFN)


@jit
def begin_run(s: Any, v: int) -> int:
    """Begin the planned run; return its start in ns."""
    s.run_start[v], s.marked[v], s.under_way[v] = s.now, 0, 1
    now: int = s.now
    return now


@jit
def shorten(s: Any, v: int, offset: int) -> None:
    """End the plan after the access that is in flight `offset` ns after the run began."""
    s.count[v], s.total_ns[v] = cut(s, v, offset)


@jit
def commit_run(s: Any, v: int, done: int, spent_ns: int) -> None:
    """Commit the first `done` accesses of the run, `spent_ns` after it began."""
    if s.tlb_planned[v]:
        happened(s, v, done)
    commit(s, v, done, spent_ns, s.run_start[v])
    s.under_way[v] = 0


@jit
def faulted(s: Any, v: int) -> None:
    """Note that access k faulted; its latency counts from its first attempt."""
    if s.began[v] < 0:
        s.began[v] = s.now
    if s.has_probe:
        s.tried[v] = code_of(s, v, s.k[v]) & GFN


@jit
def close_stalls(s: Any, v: int) -> None:
    """End the last stall of a vCPU that has come to the end of its program."""
    stalled(s, v, s.left_ns[v], s.now)
    last_window(s, v, s.now)


@jit
def knows(s: Any) -> bool:
    """Tell whether a probe need not be told yet that page tables may have changed."""
    return s.now < s.next_change


@jit
def note_three(s: Any, a: int, b: int, c: int) -> None:
    """Append three whole numbers to the trajectory, for the fingerprint."""
    note(s, a)
    note(s, b)
    note(s, c)


@jit
def note_four(s: Any, a: int, b: int, c: int, d: int) -> None:
    """Append four whole numbers to the trajectory, for the fingerprint."""
    note_three(s, a, b, c)
    note(s, d)
