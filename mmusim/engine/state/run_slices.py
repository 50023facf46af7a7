"""The periods of a run of hits: work of the guest, and waits for requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

RunSlice = tuple[int, int, Mapping[str, int]]
"""Start and end in ns from the start of the run; causes, which sum to the length."""


def run_slices(
    spent_ns: int, ends: Any, hits: Any, walks: Any, idles: Any, logs: bool
) -> Iterator[RunSlice]:
    """Yield the periods of a run that took `spent_ns`.

    Parameters
    ----------
    spent_ns : int
        From the start of the run. The time behind the last access is waiting, then guest work.
    ends, hits, walks : sequences of int, shape (accesses,)
        End of each access; its time through a 2 MiB mapping, and the extra time through 4 KiB.
    idles : sequence of int, at most (accesses + 1,)
        Wait before each access, and before the one that has not begun.
    logs : bool
        The run is one access that the processor logged.
    """
    count, first, begun = len(ends), 0, 0

    def work(last: int, until: int) -> Iterator[RunSlice]:
        if until > begun:
            hit, walk = int(sum(hits[first:last])), int(sum(walks[first:last]))
            log = int(ends[0]) - hit - walk if logs and last > first else 0
            parts = {"hits": hit, "walk_4k": walk, "pml_log": log}
            parts["think"] = until - begun - hit - walk - log
            yield begun, until, {cause: ns for cause, ns in parts.items() if ns}

    for i, idle in enumerate(idles[: count + 1]):
        if idle:
            waits_from = int(ends[i - 1]) if i else 0
            waited = min(int(idle), spent_ns - waits_from)
            if waited:
                yield from work(i, waits_from)
                begun, first = waits_from + waited, i
                yield waits_from, begun, {"idle": waited}
    yield from work(count, spent_ns)


def cut_at(offset: int, starts: Any, ends: Any) -> tuple[int, int]:
    """Return how many accesses of a run complete when a kick cuts it, and when the vCPU can leave.

    All times are ns from the start of the run. `offset` is when the kick arrives; `starts` and
    `ends` are those of its accesses, empty if the run was think time only. An access in flight
    completes; one that would begin at this instant does not.
    """
    done = int(np.searchsorted(ends, offset))
    if done < len(ends) and offset > starts[done]:
        return done + 1, int(ends[done])
    return done, offset
