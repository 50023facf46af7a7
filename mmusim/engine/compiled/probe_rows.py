"""Reports of compiled vCPUs and of mmu_lock to a probe: rows that Python passes on later.

A run without a probe writes no rows. A probe gets no rows outside of the time that it asks for.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from mmusim.engine.compiled.jit import jit
from mmusim.vocabulary.causes import CAUSES, IDLE, USEFUL_CAUSES

SPENT, RAN, HELD, REQUESTED = range(4)
"""Kinds of rows: a vCPU spent a period on one cause; it ran in the guest; a hold of mmu_lock; a
request from its arrival to its completion."""
COLUMNS: Final = 7
"""Kind, actor, from, to; then cause, gfn | hits, walks, logging | when it was got, if for read."""
ROOM: Final = 1 << 15
SPARE: Final = 1 << 13
"""Rows that there must be room for before an event: three for each access of the longest run."""

_CAUSES: Final = CAUSES.names


_GUEST: Final = -1
_OVER: Final = -2  # what began before the end of the interval is complete
_STATES: Final = np.array([_GUEST if c in USEFUL_CAUSES else n for n, c in enumerate(CAUSES.names)])


@jit
def _tell_period(s: Any, kind: int, v: int, start: int, end: int, a: int, b: int, c: int) -> None:
    """Tell of a period; behind the interval, only what goes on with a state that began in it."""
    state = _STATES[a] if kind == SPENT else _GUEST
    if start >= s.probe_until and s.probe_state[v] != state:
        s.probe_state[v] = _OVER
    elif end > s.probe_from:
        s.probe_state[v] = state
        _tell(s, kind, v, start, end, a, b, c)


@jit
def _tell(s: Any, kind: int, who: int, start: int, end: int, a: int, b: int, c: int) -> None:
    rows, n = s.probe_rows, s.probe_rows_n
    rows[n, 0], rows[n, 1], rows[n, 2], rows[n, 3] = kind, who, start, end
    rows[n, 4], rows[n, 5], rows[n, 6] = a, b, c
    s.probe_rows_n = n + 1


@jit
def tell_charged(s: Any, v: int, cause: int, ns: int) -> None:
    """Write a row: a vCPU spends `ns` on a cause, behind what is charged."""
    if ns:
        start = s.charged_ns[v]
        gfn = s.tried[v] if s.handling[v] else -1
        _tell_period(s, SPENT, v, start, start + ns, cause, gfn, 0)


@jit
def tell_request(s: Any, v: int, due: int, end: int) -> None:
    """Write a row: a vCPU has completed a request that was due at `due`, at `end`."""
    if end > s.probe_from and due < s.probe_until:
        _tell(s, REQUESTED, v, due, end, 0, 0, 0)


@jit
def tell_hold(s: Any, who: int, holder: Any) -> None:
    """Write a row: an acquisition of mmu_lock ends; `holder` is the row of the actor."""
    if s.now > s.probe_from and holder[1] < s.probe_until:
        _tell(s, HELD, who, holder[1], s.now, holder[2], s.read, 0)


@jit
def tell_run(s: Any, v: int, done: int, spent_ns: int, start_ns: int, waits: int) -> None:
    """A run of hits is committed; its periods are those of state/run_slices.py.

    `waits` tells whether requests may be waited for. A write that the processor logs is a period
    of its own, as it is a run of its own in the SimPy engine.
    """
    ends, logs = s.ends[v], s.logs[v]
    first = begun = 0
    for i in range(done + 1):
        before = ends[i - 1] if i else 0
        if waits and s.idles[v, i]:
            waited = min(s.idles[v, i], spent_ns - before)
            if waited > 0:
                _tell_work(s, v, first, i, start_ns, begun, before)
                begun, first = before + waited, i
                _tell_period(s, SPENT, v, start_ns + before, start_ns + begun, IDLE, -1, 0)
        if i < done and logs[i] >= 0:
            begins = ends[i] - s.hits[v, i] - s.walks[v, i] - logs[i]
            _tell_work(s, v, first, i, start_ns, begun, begins)
            _tell_work(s, v, i, i + 1, start_ns, begins, ends[i])
            begun, first = ends[i], i + 1
    _tell_work(s, v, first, done, start_ns, begun, spent_ns)


@jit
def _tell_work(s: Any, v: int, first: int, last: int, start_ns: int, begun: int, to: int) -> None:
    if to <= begun:
        return
    hit = walk = log = 0
    for i in range(first, last):
        hit += s.hits[v, i]
        walk += s.walks[v, i]
        log += max(s.logs[v, i], 0)
    _tell_period(s, RAN, v, start_ns + begun, start_ns + to, hit, walk, log)


def pass_on(memory: Any, probe: Any) -> None:
    """Tell a probe what the rows say, in order, and delete them."""
    rows = memory["probe_rows"][: memory.get("probe_rows_n")].tolist()
    memory.set("probe_rows_n", 0)
    for kind, who, start, end, a, b, c in rows:
        if kind == SPENT:
            probe.spent(who, start, end, {_CAUSES[a]: end - start}, b)
        elif kind == RAN:
            parts = {"hits": a, "walk_4k": b, "pml_log": c, "think": end - start - a - b - c}
            probe.spent(who, start, end, {cause: ns for cause, ns in parts.items() if ns})
        elif kind == REQUESTED:
            probe.requested(who, start, end)
        else:
            probe.locked(who, start, a, end, bool(b))
    memory.set("probe_from", probe.from_ns)
    memory.set("probe_until", probe.until_ns)
    memory.set("next_change", probe.next_change_ns)
