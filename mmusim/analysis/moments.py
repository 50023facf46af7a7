"""One run as frames: its phases and counters, and its timeline moment by moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmusim.analysis.inside import kind
from mmusim.analysis.labels import Row, frame
from mmusim.timeline.record import GUEST, Slice, Timeline, name_of
from mmusim.trace.records import Trace

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]


def phases(trace: Trace) -> pd.DataFrame:
    """Return the phases of a run, one row each.

    Columns: ``phase`` (from 1), ``do``, ``name``, ``start_ns``, ``end_ns``, ``time_ns`` (until the
    last vCPU has finished, where it is one of the guest), ``measured`` and ``dirty_pages`` that a
    get reported.
    """
    rows: list[Row] = [
        {
            "phase": number,
            "do": p.do,
            "name": p.name,
            "start_ns": p.start_ns,
            "end_ns": p.end_ns,
            "time_ns": max(p.end_ns, p.guest_end_ns) - p.start_ns,
            "measured": number - 1 == trace.measured,
            "dirty_pages": p.dirty,
        }
        for number, p in enumerate(trace.phases, 1)
    ]
    return frame(rows, ["phase", "do", "time_ns"])


def counters(trace: Trace) -> pd.DataFrame:
    """Return the changes of the kernel's counters, one row per phase and counter.

    Columns: ``phase``, ``do``, ``counter``, ``change`` (from this phase's start to the next one's).
    """
    rows: list[Row] = [
        {"phase": number, "do": p.do, "counter": name, "change": change}
        for number, p in enumerate(trace.phases, 1)
        for name, change in p.counters.items()
    ]
    return frame(rows, ["phase", "do", "counter", "change"])


def timeline(t: Timeline) -> pd.DataFrame:
    """Return the states of each vCPU over time, one row per period in one state.

    Columns: ``vcpu``, ``start_ns``, ``end_ns``, ``time_ns``, ``state`` (guest, idle or a lost
    cause) and ``kind`` (useful, idle, lost).
    """
    rows: list[Row] = [
        {
            "vcpu": cpu,
            "start_ns": s.start_ns,
            "end_ns": s.end_ns,
            "time_ns": s.end_ns - s.start_ns,
            "state": s.state,
            "kind": _kind(s),
        }
        for cpu, lane in enumerate(t.vcpus)
        for s in lane
    ]
    return frame(rows, ["vcpu", "start_ns", "end_ns", "time_ns", "state", "kind"])


def stalls(t: Timeline) -> pd.DataFrame:
    """Return the stalls of a timeline, one row from leaving the guest until entering it again.

    Columns: ``vcpu``, ``start_ns``, ``end_ns``, ``time_ns``, ``main_cause`` (the largest) and one
    column for each lost cause that occurs (``mmu_lock_wait_ns``), which sum to the time. The
    longest stall is first. Stalls that follow each other at once are one. A stall that the timeline
    shows in part has only that part.
    """
    rows: list[Row] = []
    for cpu, lane in enumerate(t.vcpus):
        for run in _outside(lane):
            causes: Counter[str] = Counter()
            for s in run:
                causes.update(s.causes)
            row: Row = {
                "vcpu": cpu,
                "start_ns": run[0].start_ns,
                "end_ns": run[-1].end_ns,
                "time_ns": run[-1].end_ns - run[0].start_ns,
                "main_cause": max(causes, key=lambda cause: causes[cause]),
            }
            rows.append(row | {f"{cause}_ns": ns for cause, ns in causes.items()})
    made = frame(rows, ["vcpu", "start_ns", "end_ns", "time_ns", "main_cause"])
    spent = list(made.columns[5:])
    made[spent] = made[spent].fillna(0).astype("int64")
    return made.sort_values(["time_ns", "start_ns"], ascending=[False, True], ignore_index=True)


def _outside(lane: Sequence[Slice]) -> Iterator[list[Slice]]:
    run: list[Slice] = []
    for s in lane:
        if run and (_kind(s) != "lost" or s.start_ns != run[-1].end_ns):
            yield run
            run = []
        if _kind(s) == "lost":
            run.append(s)
    if run:
        yield run


def _kind(s: Slice) -> str:
    return "useful" if s.state == GUEST else kind(s.state)


def lock_holds(t: Timeline) -> pd.DataFrame:
    """Return the holds of mmu_lock, one row per acquisition.

    Columns: ``who`` (host thread, vCPU 0), ``asked_ns``, ``got_ns``, ``released_ns``, ``wait_ns``,
    ``hold_ns`` and ``shared`` (for read).
    """
    rows: list[Row] = [
        {
            "who": name_of(h.who),
            "asked_ns": h.asked_ns,
            "got_ns": h.got_ns,
            "released_ns": h.released_ns,
            "wait_ns": h.got_ns - h.asked_ns,
            "hold_ns": h.released_ns - h.got_ns,
            "shared": h.shared,
        }
        for h in t.holds
    ]
    return frame(rows, ["who", "asked_ns", "got_ns", "released_ns", "wait_ns", "hold_ns", "shared"])


def utilisation(t: Timeline, window_ns: int = 100_000, points: int = 400) -> pd.DataFrame:
    """Return the share of a sliding window that each vCPU could use, per vCPU and instant.

    Columns: ``vcpu``, ``time_ns`` (the middle of the window) and ``utilisation``, which is
    1 - lost(window) / window, from 0 to 1. Idle time is not lost (``docs/reference/ledger.md``).
    The frame leaves out windows in which the vCPU did not run all the time.

    Parameters
    ----------
    t : Timeline
        The run.
    window_ns : int
        Length of the window.
    points : int
        How many windows, evenly spaced from the first that fits to the last.

    Raises
    ------
    ValueError
        If the timeline is shorter than the window, or the window is no time at all.
    """
    import pandas as pd

    if not 0 < window_ns <= t.end_ns - t.start_ns:
        raise ValueError(
            f"a window of {window_ns} ns does not fit into the {t.end_ns - t.start_ns} ns of the "
            "timeline; choose a shorter one"
        )
    begins = np.linspace(t.start_ns, t.end_ns - window_ns, points).round()
    parts = []
    for cpu, lane in enumerate(t.vcpus):
        there = _within(lane, begins, window_ns)
        lost = _within([s for s in lane if _kind(s) == "lost"], begins, window_ns)
        runs = there >= window_ns
        parts.append(
            pd.DataFrame(
                {
                    "vcpu": cpu,
                    "time_ns": begins[runs] + window_ns / 2,
                    "utilisation": 1 - lost[runs] / window_ns,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def _within(slices: Sequence[Slice], begins: Floats, window_ns: int) -> Floats:
    """Return how much of each window the slices cover, in ns."""
    if not slices:
        return np.zeros(len(begins))
    edges = np.array([(s.start_ns, s.end_ns) for s in slices], float)
    spent = edges[:, 1] - edges[:, 0]
    at = edges.ravel()
    before = np.column_stack([np.cumsum(spent) - spent, np.cumsum(spent)]).ravel()
    return np.asarray(
        np.interp(begins + window_ns, at, before) - np.interp(begins, at, before), float
    )
