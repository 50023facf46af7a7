"""Time of a vCPU that lies across edges of windows, on both engines.

A new recorder takes over at each edge. What a vCPU owes to earlier ones stands in rows of two: the
recorder, and the time before its edge that is not charged yet. The functions work on lists, and on
the rows of a compiled run, which compiles them as they are (`mmusim.engine.compiled.recording`).
"""

from __future__ import annotations

from typing import Any

from mmusim.vocabulary.causes import HITS, PML_LOG, WALK_4K


def ledger_of(s: Any, recorder: Any) -> Any:
    """Return a recorder's ledger, ns by cause; the one thing in which the engines differ."""
    del s
    return recorder.ledger


def pay_owed(s: Any, owed: Any, n: int, own: Any, cause: int, ns: int) -> int:
    """Give earlier recorders their part of `ns` that was charged to `own` under one cause.

    `owed` has `n` rows, the earliest first. Return how many are left, at the beginning of `owed`.
    """
    paid = 0
    while paid < n and ns:
        due = owed[paid]
        part = min(due[1], ns)
        ledger_of(s, own)[cause] -= part
        ledger_of(s, due[0])[cause] += part
        due[1] -= part
        ns -= part
        if due[1]:
            break
        paid += 1
    for i in range(paid, n):
        owed[i - paid][0], owed[i - paid][1] = owed[i][0], owed[i][1]
    return n - paid


def part_with(
    s: Any, owed: Any, n: int, own: Any, rest: Any, spent_ns: int, log: int, walk: int, hit: int
) -> None:
    """Pass on the parts of a run, charged to `own` as a whole, that lie behind edges of windows.

    It took `spent_ns`. Of that `n` rows of `owed` lie before the edges, first what is `own`'s, and
    what remains is that of `rest`. All edges lie in its last access, which took `log`, `walk` and
    `hit`, from its end to its beginning.
    """
    due = spent_ns
    for i in range(n):
        due -= owed[i][1]
    to = rest
    for i in range(n, 0, -1):
        in_log = min(due, log)
        in_walk = min(due - in_log, walk)
        in_hit = min(due - in_log - in_walk, hit)
        log, walk, hit = log - in_log, walk - in_walk, hit - in_hit
        for cause, ns in ((PML_LOG, in_log), (WALK_4K, in_walk), (HITS, in_hit)):
            ledger_of(s, own)[cause] -= ns
            ledger_of(s, to)[cause] += ns
        to, due = owed[i - 1][0], owed[i - 1][1]
