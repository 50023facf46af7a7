"""Where a vCPU goes on in code that is written by hand; behind these places come the woven ones.

The comments name the function of the SimPy engine that the place belongs to.
"""

from __future__ import annotations

from typing import Final

NAMES: Final = (
    # vcpu
    "start", "passed", "looks", "through", "over", "drained_at_end",
    # go_through, touch, logged_write
    "touching", "finishing", "pml_full_entered",
    # page_fault
    "fault_drained", "fault_exited", "fast_fixed", "prepared", "has_page", "has_memory", "counted",
    "granted", "found_stale", "left_lock", "grace_ended", "fault_over",
    # map_page
    "met_frozen", "guest_table_flushed", "makes_room", "split", "dropping", "dropped", "room_made",
    "mapped", "unlocks",
)  # fmt: skip

(
    START, PASSED, LOOKS, THROUGH, OVER, DRAINED_AT_END,
    TOUCHING, FINISHING, PML_FULL_ENTERED,
    FAULT_DRAINED, FAULT_EXITED, FAST_FIXED, PREPARED, HAS_PAGE, HAS_MEMORY, COUNTED, GRANTED,
    FOUND_STALE, LEFT_LOCK, GRACE_ENDED, FAULT_OVER,
    MET_FROZEN, GUEST_TABLE_FLUSHED, MAKES_ROOM, SPLIT, DROPPING, DROPPED, ROOM_MADE, MAPPED,
    UNLOCKS,
) = range(len(NAMES))  # fmt: skip

# What compiled code wants of Python when it returns (below 0; -1 is `events.WAITS`).
(
    ENDED, PYTHON_EVENT, NEXT_PROGRAM, PROGRAM_ENDS, POSTCOPY_FAULT,
    READ_BEFORE_DROP, END_GRACE, NO_PROGRESS, RING_OVERFLOWS, ROOM, BREATHES, BROKEN,
    CLOCK_ENDS, CHANGED,
) = range(-2, -16, -1)  # fmt: skip
"""No event is left; fire a Python event; what comes after this lap; the vCPU has ended; a page from
the source of a migration; count pages read before a drop; tell who waits for a grace period; a livelock; a full ring; something has
no room left; let Python look at signals; a vCPU is kicked where it cannot be; the clock
is at its end; tell a probe that page tables may have changed."""
