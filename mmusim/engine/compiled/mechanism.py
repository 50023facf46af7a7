"""Functions of :mod:`mmusim.mmu`, compiled without a change."""

from __future__ import annotations

from typing import Any

from mmusim.engine.compiled.jit import compile_all, jit
from mmusim.mmu import fault as _fault
from mmusim.mmu import guest_pde as _guest
from mmusim.mmu import page_table as _table
from mmusim.mmu import upper_levels as _upper

hit_level, leaf, permits, target_level, lacks_tables = compile_all(
    _table, "hit_level", "leaf", "permits", "target_level", "lacks_tables"
)
(
    large_entry, fix_lockless, drop_large, split_large, _link, link_tables, map_small,
    _free_entries, free_table, map_large, prefetch_small, set_dirty,
) = compile_all(
    _fault, "large_entry", "fix_lockless", "drop_large", "split_large", "_link", "link_tables",
    "map_small", "_free_entries", "free_table", "map_large", "prefetch_small", "set_dirty",
)  # fmt: skip
_unlink, _walk_guest = compile_all(_guest, "unlink", "walk_guest")
armed, push_down = compile_all(_upper, "armed", "push_down")


@jit
def walk_guest(s: Any, gfn: int, write: int) -> tuple[int, bool]:
    """Walk the guest's tables for a fault, as :meth:`mmusim.mmu.guest_pde.GuestPdes.walk` does.

    Return the permission bits of the spte to install, and whether a linked table was unlinked.
    """
    found: tuple[int, bool] = _walk_guest(
        s, s.guest_dirty, s.guest_orphans, s.guest_shift, gfn, write != 0
    )
    return found
