"""Reasons why a run lacks a metric."""

from __future__ import annotations

from typing import Final

from mmusim.vocabulary.metrics import MIN_BEYOND

_LACKS: Final = {
    "p99999": f"fewer than {MIN_BEYOND * 100_000:,} times",
    "request": "no requests: the workload has none",
    "read": "no reads",
    "write": "no writes",
    "latency": "no accesses",
    "fault_free_pages": "no large spte that was dropped",
    "faults_until_progress": "no progress: its store ended in a livelock",
    "moved_work": "no log operation, or no work for one",
    "worst_utilisation": "no vCPU that ran for as long as the window",
}
"""Start or end of a metric's name -> the reason why a run lacks it."""
_LOGGED: Final = ("enable_time", "get_time", "clear_time", "disable_time")


def why_undefined(metric: str) -> str:
    """Return why a run may lack a metric, as the end of a sentence that begins with "a run has".

    Any text is accepted as the name of a metric.
    """
    if metric in _LOGGED:
        return "no such log operation"
    for part, reason in _LACKS.items():
        if metric.startswith(part) or metric.endswith(f"_{part}"):
            return reason
    return "nothing that it is measured by: no migration, or no store to a page table"
