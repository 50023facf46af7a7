"""The measured part of a run: a guest phase or a window, from its beginning to its end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from mmusim.engine.state.phase_recorder import PhaseRecorder

PF_TAKEN: Final = "pf_taken"


@dataclass(slots=True, eq=False)
class MeasuredSpan:
    """A guest phase or a window, open or closed."""

    start_ns: int
    counters: dict[str, int]  # when it began
    lock_ns: int  # likewise: how long mmu_lock had been busy
    settled: bool  # no operation is under way, and the guest has run since the last
    first_operation: int | None = None  # faults when the first operation within it began
    end_ns: int = 0
    after: dict[str, int] = field(default_factory=dict)
    lock_after_ns: int = 0
    parts: list[PhaseRecorder] = field(default_factory=list)

    def facts(self) -> dict[str, Any]:
        """Return the fields of a :class:`~mmusim.trace.records.PhaseTrace` that need no
        recorder.
        """
        faults = self.after[PF_TAKEN] if self.first_operation is None else self.first_operation
        return {
            "lock_busy_ns": self.lock_after_ns - self.lock_ns,
            "leftover_faults": faults - self.counters[PF_TAKEN] if self.settled else 0,
        }
