"""Series over the time of one run: laps, and windows of equal length.

:func:`mmusim.stats.warm_up.mser5` leaves the warm-up out of them. It applies to runs that go on
alike: many iterations of dirty_log_perf_test, a script that repeats a phase, or a guest that runs
beside the host for long. A single pass over memory and a migration begin and end. They have no
steady state, and their beginning is what the question asks about.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mmusim.analysis.moments import utilisation as at_instants
from mmusim.stats.studentized import Floats
from mmusim.timeline.record import Timeline
from mmusim.trace.records import Trace


def laps(trace: Trace, text: str) -> Floats:
    """Return the time in ns of each phase whose name contains `text`, or that does `text`.

    A guest phase lasts until its last vCPU has finished. The order is that of time.
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
    """Return the share of each of consecutive windows that the vCPUs could use, from 0 to 1.

    The mean over vCPUs (:func:`mmusim.analysis.moments.utilisation`), for whole windows of
    `window_ns` in which every vCPU ran all the time; shape (such windows,).

    Raises
    ------
    ValueError
        If the timeline leaves something out, or no window fits into it.
    """
    if timeline.left_out:
        raise ValueError(f"{timeline.left_out}; look at a shorter part of the run")
    length = timeline.end_ns - timeline.start_ns
    if not 0 < window_ns <= length:
        raise ValueError(
            f"a window of {window_ns} ns does not fit into {length} ns; choose a shorter one"
        )
    count = length // window_ns
    whole = replace(timeline, end_ns=timeline.start_ns + count * window_ns)
    rows = at_instants(whole, window_ns, count)
    each = rows.groupby("time_ns")["utilisation"].agg(["mean", "size"])
    return np.asarray(each["mean"][each["size"] == len(timeline.vcpus)], float)
