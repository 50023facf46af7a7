"""The number of accesses that a vCPU has completed in its current run of hits."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmusim.engine.compiled.fields import FIELD


def completed_by(v: Any, now: int) -> int:
    """Return how many accesses a vCPU has completed by `now`, in ns, since the start of the run."""
    before = int(v.accesses)
    if not v.row[FIELD["under_way"]]:
        return before
    passed, count = now - int(v.row[FIELD["run_start"]]), int(v.row[FIELD["count"]])
    ends = v.of.memory["ends"][v.number, :count]
    return before + int(np.searchsorted(ends, passed, side="right"))
