"""Charges of runs of hits in the recorder: short runs access by access, long runs at once."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mmusim.engine.state.phase_recorder import PhaseRecorder
from mmusim.mmu.spte import STALE
from mmusim.vocabulary.causes import HITS, WALK_4K

First = tuple[int, PhaseRecorder]
"""Latency of the first access of a run, and the recorder of when it was first tried."""
WAITING: Final = 1 << 16  # latencies in lists, at most


def charge_few(
    recorder: PhaseRecorder,
    page: Any,
    gfns: Any,
    writes: Any,
    hits: Any,
    walks: Any,
    first: First,
    marked: int,
) -> int:
    """Charge accesses one by one, and mark the pages of those from access `marked` on.

    Parameters
    ----------
    recorder : PhaseRecorder
        That of when the run began.
    page : memoryview
        Bytes of the small pages.
    gfns, writes, hits, walks : sequences, shape (accesses,)
        Which page, whether it is written, what that took through a 2 MiB mapping and how much
        longer through a 4 KiB one.

    Returns
    -------
    int
        The time spent in the accesses.
    """
    ledger, latencies, touched, busy = recorder.ledger, recorder.latencies, recorder.touched, 0
    for i, (gfn, write) in enumerate(zip(gfns, writes, strict=True)):
        hit, walk = int(hits[i]), int(walks[i])
        ledger[HITS] += hit
        ledger[WALK_4K] += walk
        busy += hit + walk
        if i:
            latencies[write].append(hit + walk)
        else:
            first[1].latencies[write].append(first[0])
        if i >= marked:
            if write:
                page[gfn] |= STALE
            if touched is not None:
                touched[gfn] = 1
    if len(latencies[0]) + len(latencies[1]) > WAITING:
        recorder.close()
    return busy


def charge_many(
    recorder: PhaseRecorder, writes: NDArray[np.bool_], hits: Any, walks: Any, first: First
) -> int:
    """Charge many accesses at once; return the time spent in them in ns.

    `writes`, `hits` and `walks` have shape (accesses,), as in :func:`charge_few`, times in ns.
    Their pages are marked by the caller.
    """
    hits, walks = np.asarray(hits), np.asarray(walks)
    hit_ns, walk_ns = int(hits.sum()), int(walks.sum())
    recorder.ledger[HITS] += hit_ns
    recorder.ledger[WALK_4K] += walk_ns
    latencies = (hits + walks)[1:]
    first[1].latencies[bool(writes[0])].append(first[0])
    recorder.reads.add(latencies[~writes[1:]])
    recorder.writes.add(latencies[writes[1:]])
    return hit_ns + walk_ns
