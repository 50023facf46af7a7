"""Return codes of compiled code: its requests to Python.

-1 is `events.WAITS`. Requests of woven processes have numbers from `weave.ENDS` downwards.
"""

from __future__ import annotations

ENDED, PYTHON_EVENT, NEEDS_ROOM, CHECKS_SIGNALS, CLOCK_ENDS = range(-2, -7, -1)
"""No event is left; fire a Python event; something has no room left; let Python look at signals;
the clock is at its end."""
