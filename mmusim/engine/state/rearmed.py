"""Pages on which accesses matter again, for guests that are given by rates.

Revoked rights are noted until the flush. The bits for rights that a TLB may still hold
(:data:`TLB_READ`, :data:`TLB_WRITE`) tell which entries these are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mmusim.costs.random_streams import Ints
from mmusim.engine.state.vm import Vm
from mmusim.mmu.slot import TLB, slices
from mmusim.workload.points import BLOCK

Ranges = NDArray[np.int64]
"""Ranges of gfns, ascending, shape (ranges, 2): the first gfn and the one behind the last."""
EVERYTHING: Final[Ranges] = np.array([(0, 1 << 40)])


def flush_ends(vm: Vm, taken_back: Iterable[tuple[Any, slice]]) -> None:
    """End a flush: accesses through the revoked entries matter from now on.

    `taken_back` has pairs of pages (a slice or gfns) and a slice of regions (:meth:`Vm.revoke`).
    Guests that are given by accesses need nothing.
    """
    if vm.by_rates:
        for pages, regions in taken_back:
            for ranges in _held(vm, pages, regions):
                vm.look_at(ranges)


def copied(vm: Vm, gfns: Ints) -> None:
    """Note that `gfns`, ascending, were copied to the destination: the next write to each
    matters.
    """
    if vm.by_rates:
        for part in slices(len(gfns)):
            vm.look_at(_ranges_of(gfns[part] // BLOCK, BLOCK))


def _held(vm: Vm, pages: Any, regions: slice) -> Iterator[Ranges]:
    """Yield the gfns below entries that a TLB may still hold."""
    table = vm.table
    if isinstance(pages, slice):
        yield from _held_below(table.page, pages, BLOCK, 1)
    else:
        for part in slices(len(pages)):
            some = pages[part]
            yield _ranges_of(some[(table.page[some] & TLB) != 0] // BLOCK, BLOCK)
    yield from _held_below(table.region, regions, 1, 1 << 9)
    yield from _held_below(table.giant, slice(None), 1, 1 << 18)


def _held_below(
    entries: NDArray[np.uint8], where: slice, together: int, pages: int
) -> Iterator[Ranges]:
    """Yield the gfns below entries that a TLB may still hold.

    Those of `together` neighbours belong together; each entry stands for `pages` pages.
    """
    start, chosen = where.indices(len(entries))[0], entries[where]
    for part in slices(len(chosen)):
        held = chosen[part] & np.uint8(TLB)
        groups = np.bitwise_or.reduceat(held, np.arange(0, len(held), together))
        units = (start + part.start) // together + np.flatnonzero(groups)
        yield _ranges_of(units, together * pages)


def _ranges_of(units: Ints, pages: int) -> Ranges:
    """Return the ranges that ascending units of `pages` pages cover; neighbours are joined."""
    if not len(units):
        return np.zeros((0, 2), np.int64)
    behind = np.flatnonzero(units[1:] - units[:-1] > 1)
    first = units[np.concatenate([[0], behind + 1])]
    last = units[np.concatenate([behind, [len(units) - 1]])]
    return np.stack([first, last + 1], axis=1) * pages
