"""Changes of page tables that the processes of :mod:`mmusim.engine.processes.page_fault` make."""

from __future__ import annotations

from typing import Any

from mmusim.engine.compiled.cost_draws import cost
from mmusim.engine.compiled.jit import jit
from mmusim.engine.compiled.kicks import revoke
from mmusim.engine.compiled.mechanism import drop_large, lacks_tables, link_tables, split_large
from mmusim.engine.compiled.runs import GFN, WRITE_BIT, code_of, settle
from mmusim.mmu.spte import LEVEL_1G
from mmusim.vocabulary.guest_costs import C_ALLOC_TABLE


@jit
def access_at(s: Any, v: int) -> tuple[int, int]:
    """Return gfn and kind (1: write) of the access that a vCPU is at."""
    code: int = code_of(s, v, s.k[v])
    return code & GFN, code >> WRITE_BIT


@jit
def frozen(s: Any, gfn: int) -> bool:
    """Tell whether another vCPU is replacing an entry over `gfn` (REMOVED_SPTE, FROZEN_SPTE)."""
    return s.frozen_n > 0 and (s.frozen_region[gfn >> 9] or s.frozen_giant[gfn >> 18])


@jit
def freeze(s: Any, level: int, number: int, on: int) -> None:
    """Note that entry `number` of `level` 2 or 3 is being replaced, or that this is over."""
    if level == LEVEL_1G:
        s.frozen_giant[number] = on
    else:
        s.frozen_region[number] = on
    s.frozen_n += 1 if on else -1


@jit
def first_under(gfn: int, level: int) -> int:
    """Return the first gfn below the large entry of `level` over `gfn`."""
    return gfn & -(1 << 9 * (level - 1))


@jit
def end_under(s: Any, gfn: int, level: int) -> int:
    """Return the gfn behind the last below the large entry of `level` over `gfn`."""
    return min(first_under(gfn, level) + (1 << 9 * (level - 1)), s.pages)


@jit
def revoke_regions(s: Any, with_pages: int, gfn: int, level: int) -> None:
    """Note that TLBs may hold more of the regions below a large entry; and of pages, `with_pages`
    1.
    """
    first, end = first_under(gfn, level), end_under(s, gfn, level)
    revoke(s, first * with_pages, end * with_pages, first >> 9, end >> 9)


@jit
def alloc_ns(s: Any, v: int, gfn: int, level: int, index: int) -> int:
    """Return the time in ns of the tables that a mapping of `gfn` at `level` lacks."""
    missing = lacks_tables(s, gfn, level)
    if missing or s.by_occurrence:  # where payments are counted, nothing is drawn for nothing
        return missing * cost(s, v, C_ALLOC_TABLE, index)
    return 0


@jit
def make_resident(s: Any, gfn: int) -> None:
    """Note that the host has memory for a page now, and for all that its own page there backs."""
    for page in range(first_under(gfn, s.backing), end_under(s, gfn, s.backing)):
        s.resident[page] = 1


@jit
def link(s: Any, gfn: int, level: int) -> None:
    """Link the tables of a mapping at `level`, after marking what the runs under way have
    touched.
    """
    if s.bundles and level > 1:
        settle(s)
    link_tables(s, gfn, level)


@jit
def drop(s: Any, gfn: int, level: int) -> None:
    """Zap a large spte of `level` 2 or 3, after marking what the runs under way have touched."""
    if s.bundles:
        settle(s)
    drop_large(s, gfn, level)


@jit
def split(s: Any, gfn: int, level: int) -> None:
    """Split a large spte of `level` 2 or 3, after marking what the runs under way have touched."""
    if s.bundles:
        settle(s)
    split_large(s, gfn, level)


@jit
def counts_none(s: Any, v: int) -> bool:
    """Tell whether the pages that are read before a drop are not counted."""
    return len(s.touched) == 0 or s.recorder[v] != s.measured_recorder


@jit
def is_nx_small(s: Any, region: int) -> bool:
    """Tell whether a region is small because of the NX mitigation, and no fault has met that
    yet.
    """
    return len(s.nx_small) != 0 and s.nx_small[region] != 0


@jit
def grows_large(s: Any, region: int) -> None:
    """Note that a fault has met the NX mitigation in a region, which may become large again."""
    s.nx_small[region] = 0
