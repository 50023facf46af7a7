"""Where a vCPU goes on: one named place for each ``yield`` of the SimPy processes, and a few more.

The comments name the function of the SimPy engine that the place belongs to.
"""

from __future__ import annotations

from typing import Final

NAMES: Final = (
    # vcpu
    "start", "passed", "looks", "through", "over", "drained_at_end",
    # go_through, touch, logged_write
    "touching", "finishing", "pml_full_exited", "pml_full_drained", "pml_full_entered",
    # enter_guest
    "enters", "called", "stolen_given", "flushed", "entered",
    # answer_kick
    "kick_exited", "kick_drained", "kick_answered",
    # drain_pml
    "drained",
    # page_fault
    "fault_drained", "fault_exited", "fast_fixed", "prepared", "has_page", "has_memory", "counted",
    "granted", "found_stale", "left_lock", "grace_ended", "fault_over",
    # map_page
    "met_frozen", "guest_table_flushed", "makes_room", "split", "dropping", "dropped", "room_made",
    "mapped", "unlocks",
    # flush_remote
    "flush_sent", "flush_acknowledged",
)  # fmt: skip

(
    START, PASSED, LOOKS, THROUGH, OVER, DRAINED_AT_END,
    TOUCHING, FINISHING, PML_FULL_EXITED, PML_FULL_DRAINED, PML_FULL_ENTERED,
    ENTERS, CALLED, STOLEN_GIVEN, FLUSHED, ENTERED,
    KICK_EXITED, KICK_DRAINED, KICK_ANSWERED,
    DRAINED,
    FAULT_DRAINED, FAULT_EXITED, FAST_FIXED, PREPARED, HAS_PAGE, HAS_MEMORY, COUNTED, GRANTED,
    FOUND_STALE, LEFT_LOCK, GRACE_ENDED, FAULT_OVER,
    MET_FROZEN, GUEST_TABLE_FLUSHED, MAKES_ROOM, SPLIT, DROPPING, DROPPED, ROOM_MADE, MAPPED,
    UNLOCKS,
    FLUSH_SENT, FLUSH_ACKNOWLEDGED,
) = range(len(NAMES))  # fmt: skip

# What compiled code wants of Python when it returns (below 0; -1 is `events.WAITS`).
(
    ENDED, PYTHON_EVENT, NEXT_PROGRAM, PROGRAM_ENDS, USER_SPACE, POSTCOPY_FAULT, TAKEN_BACK,
    READ_BEFORE_DROP, END_GRACE, NO_PROGRESS, RING_OVERFLOWS, ROOM, BREATHES, BROKEN,
    CLOCK_ENDS, CHANGED,
) = range(-2, -18, -1)  # fmt: skip
"""No event is left; fire a Python event; what comes after this lap; the vCPU has ended; a full ring
or an errand; a page from the source of a migration; forget what Python noted as taken back; count
pages read before a drop; tell who waits for a grace period; a livelock; a full ring; something has
no room left; let Python look at signals; a vCPU is kicked where it cannot be; the clock
is at its end; tell a probe that page tables may have changed."""
