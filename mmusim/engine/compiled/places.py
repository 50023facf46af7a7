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
    "fault_over",
)  # fmt: skip

(
    START, PASSED, LOOKS, THROUGH, OVER, DRAINED_AT_END,
    TOUCHING, FINISHING, PML_FULL_ENTERED,
    FAULT_OVER,
) = range(len(NAMES))  # fmt: skip

# What compiled code wants of Python when it returns (below 0; -1 is `events.WAITS`).
(
    ENDED, PYTHON_EVENT, NEXT_PROGRAM, PROGRAM_ENDS, NO_PROGRESS, ROOM, BREATHES, BROKEN,
    CLOCK_ENDS, CHANGED,
) = range(-2, -12, -1)  # fmt: skip
"""No event is left; fire a Python event; what comes after this lap; the vCPU has ended; a livelock;
something has no room left; let Python look at signals; a vCPU is kicked where it cannot be; the
clock is at its end; tell a probe that page tables may have changed."""
