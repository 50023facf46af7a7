"""Causes and their colours, the same in every figure."""

from __future__ import annotations

from typing import Final

from mmusim.timeline.record import GUEST

# After Okabe and Ito's colours for the colour-blind, and greys. Useful causes are pale. None is a
# colour of a series, for which a dark page has another.
COLOURS: Final = {
    GUEST: "#dfe9f2",
    "idle": "#f7f7f7",
    "fault_slow": "#0072b1",
    "fault_fast": "#56b4e9",
    "table_alloc": "#004a75",
    "drop_large": "#e69f00",
    "split_large": "#f0e442",
    "mmu_lock_wait": "#d55e02",
    "flush_wait": "#cc79a7",
    "flush_exit": "#009e73",
    "tlb_flush": "#6fd0b5",
    "tlb_refill": "#b5e8da",
    "pml_drain": "#8c6d31",
    "ring_full": "#7b4f9d",
    "interference": "#555555",
    "steal": "#8a6d3b",
    "halt": "#b3c46a",
    "user_exit": "#a6761d",
    "bql_wait": "#882255",
    "throttle": "#332288",
    "paused": "#1a1a1a",
    "postcopy_wait": "#aa4499",
    "snapshot_wait": "#6e8b3d",
    "hits": "#dfe9f2",
    "walk_4k": "#b7cbdd",
    "think": "#ededed",
    "pass": "#cfcfcf",
    "pml_log": "#d8c9a3",
    "other": "#fafafa",
}
SPARE: Final = ("#999933", "#44aa99", "#117733", "#661100")
HATCHES: Final = ("", "////", "....", "\\\\\\\\", "xxxx", "||||", "oo", "----", "++")
"""Patterns of bars that lie beside each other."""


def colour_of(cause: str) -> str:
    """Return the colour of a cause; those that are not listed have one that stays theirs."""
    return COLOURS.get(cause) or SPARE[sum(cause.encode()) % len(SPARE)]
