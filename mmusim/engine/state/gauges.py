"""What a timeline draws as curves: counts of the page tables and of the log."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from mmusim.engine.state.virtual_cpu import Vcpu
from mmusim.mmu.page_table import PageTable
from mmusim.mmu.slot import MemSlot
from mmusim.mmu.spte import LOGGED
from mmusim.vocabulary.counters import PAGES_1G, PAGES_2M, PAGES_4K


def gauges(table: PageTable, slot: MemSlot, vcpus: Iterable[Vcpu]) -> dict[str, int]:
    """Count the present sptes by size, the pages in the dirty log, and those in PML buffers."""
    small, large, giant = table.stat[[PAGES_4K, PAGES_2M, PAGES_1G]].tolist()
    logged = int(np.count_nonzero(table.page[slot.pages] & LOGGED))
    waiting = sum(len(v.pml) for v in vcpus)
    return {
        "pages_4k": small, "pages_2m": large, "pages_1g": giant,
        "dirty": logged, "in PML buffers": waiting,
    }  # fmt: skip
