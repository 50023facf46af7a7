"""Pages on which accesses matter again, for guests that are given by rates.

Revoked rights are noted until the flush. The bits for rights that a TLB may still hold
(:data:`TLB_READ`, :data:`TLB_WRITE`) tell which entries these are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from mmusim.engine.state.vm import Vm
from mmusim.mmu.slot import TLB
from mmusim.workload.points import BLOCK

Ranges = list[tuple[int, int]]
EVERYTHING: Ranges = [(0, 1 << 40)]


def flush_ends(vm: Vm, taken_back: Iterable[tuple[Any, slice]]) -> None:
    """End a flush: accesses through the revoked entries matter from now on."""
    if vm.by_rates:
        for pages, regions in taken_back:
            vm.look_at(_held(vm, pages, regions))


def copied(vm: Vm, gfns: Any) -> None:
    """Note that pages were copied to the destination: the next write to each of them matters."""
    if vm.by_rates:
        vm.look_at(_blocks(gfns))


def _held(vm: Vm, pages: Any, regions: slice) -> Ranges:
    """Return the gfns below entries that a TLB may still hold."""
    table = vm.table
    if isinstance(pages, slice):
        start = pages.indices(len(table.page))[0]
        held = start + np.flatnonzero(table.page[pages] & TLB)
    else:
        held = pages[(table.page[pages] & TLB) != 0]
    found = _blocks(held)
    for entries, where, bits in (
        (table.region, regions, 9),
        (table.giant, slice(None), 18),
    ):
        start = where.indices(len(entries))[0]
        for entry in (start + np.flatnonzero(entries[where] & TLB)).tolist():
            found.append((entry << bits, (entry + 1) << bits))
    return found


def _blocks(gfns: Any) -> Ranges:
    """Return the aligned ranges of 64 pages that contain one of these gfns, ascending."""
    blocks = gfns // BLOCK
    blocks = blocks[np.diff(blocks, prepend=-1) != 0]
    return [(first, first + BLOCK) for first in (blocks * BLOCK).tolist()]
