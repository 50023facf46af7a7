"""Series over the time of one run: laps, and windows of equal length.

:func:`mmusim.stats.warm_up.mser5` leaves the warm-up out of them. Where this applies: runs that go on alike, such as many iterations of dirty_log_perf_test, a script
that repeats a phase, or a guest that runs beside the host for long. A single pass over memory and a
migration begin and end; they have no steady state, and what they do at first is the question.
"""

from __future__ import annotations

import numpy as np

from mmusim.stats.intervals import Floats
from mmusim.timeline import GUEST, Timeline
from mmusim.trace import Trace


def laps(trace: Trace, text: str) -> Floats:
    """Return how long each phase took whose name contains `text`, or that does `text`, in ns.

    A phase of the guest takes until its last vCPU has finished. In the order of time.
    """
    return np.array(
        [
            max(phase.end_ns, phase.guest_end_ns) - phase.start_ns
            for phase in trace.phases
            if text == phase.do or (text and text in phase.name)
        ],
        float,
    )


def utilisation(timeline: Timeline, window_ns: int) -> Floats:
    """Return the share of each window that the vCPUs could use, from 0 to 1.

    1 - lost(t, t + W) / (vCPUs x W) for consecutive windows, whole ones only, over the time in
    which every vCPU was there. Idle time is not lost.

    Raises
    ------
    ValueError
        If the window is not positive, or something is left out of the timeline.
    """
    if window_ns <= 0:
        raise ValueError(f"a window of {window_ns} ns has no length; give one above 0")
    if timeline.left_out:
        raise ValueError(f"{timeline.left_out}; look at a shorter part of the run")
    lanes = [lane for lane in timeline.vcpus if lane]
    if not lanes:
        return np.array([])
    start = max(timeline.start_ns, *(lane[0].start_ns for lane in lanes))
    end = min(timeline.end_ns, *(lane[-1].end_ns for lane in lanes))
    edges = np.arange(start, end + 1, window_ns)
    lost = np.zeros(len(edges))  # ns lost by all vCPUs from the start to each edge
    for lane in lanes:
        stalls = [s for s in lane if s.state not in (GUEST, "idle")]
        begins, ends = (np.array([getattr(s, side) for s in stalls], float)
                        for side in ("start_ns", "end_ns"))  # fmt: skip
        over = np.concatenate([[0.0], np.cumsum(ends - begins)])
        before = np.searchsorted(ends, edges, side="right")
        under_way = np.clip(edges - np.append(begins, np.inf)[before], 0, None)
        lost += over[before] + under_way
    return 1 - np.diff(lost) / (len(lanes) * window_ns)
