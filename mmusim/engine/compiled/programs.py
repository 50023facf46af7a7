"""Programs of vCPUs in the run's memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmusim.engine.compiled.fields import FIELD
from mmusim.engine.compiled.loop import LOOK_AT_ALL, call
from mmusim.engine.compiled.runs import GFN, WRITE_BIT
from mmusim.plan.make import Program
from mmusim.workload.base import Accesses
from mmusim.workload.points import NEVER
from mmusim.workload.rates import Points


def load_points(v: Any, program: Program, points: Points) -> None:
    """Write a program of rates into the memory of a vCPU, and find its first accesses that
    matter.
    """
    v.keep_last_program()
    v.of.needs_idles()
    kinds, blocks = points.rates.law.shape
    half = 1 << max(kinds * blocks - 1, 1).bit_length()
    v.of.laws.let_have(v.number, points.rates, half, v.of.plan.vcpus)
    v.arrays = None, None, None, None
    v.last_due = None
    facts = {
        "leaves": kinds * blocks, "blocks": blocks, "base": points.base_gfn,
        "own_pages": points.pages, "tree_half": half, "guest_ns": 0, "past": -1, "leaf": 0,
        "lasts_ns": points.rates.lasts_ns, "point": NEVER, "first_point": program.first,
        "points_key": int(np.uint64(points.key).astype(np.int64)),
        "first": program.first, "length": NEVER,
        "code": 0, "sequential": points.base_gfn, "writes": 1, "extra": 0, "due": 0, "last": 0,
        "think": -1, "repeats": 0, "private": 0, "set_at": -1, "think_left": 0,
        "k": 0, "began": -1,
    }  # fmt: skip
    for name, value in facts.items():
        v.row[FIELD[name]] = value
    if v.of.keeps_working_sets:
        v.working_set = None
    call(v.of.memory.address, LOOK_AT_ALL, v.number, 0, 0)


def load_accesses(v: Any, accesses: Accesses) -> Any:
    """Put pages and kinds into the memory of a vCPU; return the array that must outlive them.

    An array of shape (accesses,) that compiled code reads by its address; None for pages that
    follow each other.
    """
    gfn, write = accesses.gfn, accesses.write
    facts = {"repeats": 0, "private": 1, "set_at": -1, "code": 0}
    code: Any = None
    if accesses.in_a_row or (counts_up(gfn) and (write.all() or not write.any())):
        facts |= {"sequential": int(gfn[0]), "writes": int(write[0])}
    else:
        code = gfn.astype(np.uint32)
        if v.of.refills or v.of.pml:
            repeated = int(repeats(code))
            facts |= {"repeats": repeated, "private": 1 - repeated}
        code |= write.astype(np.uint32) << np.uint32(WRITE_BIT)
        facts["code"] = code.ctypes.data
    for name, value in facts.items():
        v.row[FIELD[name]] = value
    return code


def counts_up(gfn: Any) -> bool:
    """Tell whether each gfn is that before it plus 1, shape (accesses,)."""
    return bool(gfn[-1] - gfn[0] == len(gfn) - 1 and (np.diff(gfn) == 1).all())


def repeats(pages: Any) -> bool:
    """Tell whether a page comes twice in an array of gfns."""
    ordered = np.sort(pages & np.uint32(GFN))
    return bool((ordered[1:] == ordered[:-1]).any())
