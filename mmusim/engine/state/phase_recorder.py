"""The records of a guest phase's vCPUs, for its trace.

A new recorder takes over where a measured window begins or ends. The phase is the sum of all its
recorders, a window the sum of those between its edges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from mmusim.base.histogram import Histogram
from mmusim.trace.stall_windows import Stalls, worst_of
from mmusim.vocabulary.causes import CAUSES


class PhaseRecorder:
    """The records of a guest phase's vCPUs, or of its part after an edge of a window."""

    def __init__(
        self, npages: int, since_ns: int = 0, earlier: PhaseRecorder | None = None
    ) -> None:
        """Start empty, for a slot of `npages` pages; `earlier` is that of the part before."""
        self.since_ns, self.earlier = since_ns, earlier
        self.ledger = [0] * len(CAUSES)
        self.vcpu_ns = self.guest_end_ns = 0
        self.stalls = Histogram()
        self.worst_loss: dict[int, int] = {}
        self.reads, self.writes, self.requests = Histogram(), Histogram(), Histogram()
        self.latencies: tuple[list[int], list[int]] = ([], [])  # reads, writes not yet added
        self.completed: list[int] = []  # latencies of requests not yet added
        self.touched: NDArray[Any] | None = None  # (npages,) of the slot, where it is asked for
        self.read_before_drop: list[int] = []
        self.npages = npages

    def at(self, ns: int) -> PhaseRecorder:
        """Return the recorder that was in use at `ns` of simulated time: this or an earlier one."""
        recorder = self
        while ns < recorder.since_ns and recorder.earlier is not None:
            recorder = recorder.earlier
        return recorder

    def next(self, now: int) -> PhaseRecorder:
        """Return a new recorder for events from `now` on, in ns; this one is its earlier one."""
        recorder = PhaseRecorder(self.npages, now, self)
        recorder.touched = self.touched
        return recorder

    def parts(self) -> list[PhaseRecorder]:
        """Return the recorders of the phase up to this one, the first first."""
        found: list[PhaseRecorder] = []
        part: PhaseRecorder | None = self
        while part is not None:
            found.append(part)
            part = part.earlier
        return found[::-1]

    def close(self) -> None:
        """Add what is still in lists to the histograms."""
        histograms = (self.reads, self.writes, self.requests)
        for histogram, waiting in zip(histograms, (*self.latencies, self.completed), strict=True):
            histogram.add(waiting)
            waiting.clear()

    def end(self, stalls: Stalls, started_ns: int, now: int) -> None:
        """Note that a vCPU has reached the end of its program at `now`; it began at
        `started_ns`.
        """
        self.close_vcpu(stalls.close(now), started_ns, now)
        self.close()

    def close_vcpu(self, worst: Mapping[int, int], started_ns: int, now: int) -> None:
        """Add the time of a vCPU from `started_ns` to `now`, and its worst windows.

        `worst`: length of a window in ns -> the most time lost in one, in ns.
        """
        self.vcpu_ns += now - started_ns
        self.guest_end_ns = now
        self.worst_loss = worst_of([self.worst_loss, worst])

    def merge(self, part: PhaseRecorder) -> None:
        """Add the records of another part to these; worst windows are left out
        (:func:`together`).
        """
        part.close()
        self.vcpu_ns += part.vcpu_ns
        self.guest_end_ns = max(self.guest_end_ns, part.guest_end_ns)
        self.ledger = [a + b for a, b in zip(self.ledger, part.ledger, strict=True)]
        for name in ("reads", "writes", "requests", "stalls"):
            getattr(self, name).merge(getattr(part, name))
        self.read_before_drop += part.read_before_drop

    def facts(self) -> dict[str, Any]:
        """Return the fields of a :class:`~mmusim.trace.records.PhaseTrace` that this recorder
        fills.
        """
        return {
            "guest_end_ns": self.guest_end_ns,
            "vcpu_ns": self.vcpu_ns,
            "ledger": dict(zip(CAUSES, self.ledger, strict=True)),
            "reads": self.reads,
            "writes": self.writes,
            "requests": self.requests,
            "stalls": self.stalls,
            "worst_loss": self.worst_loss,
            "read_before_drop": tuple(self.read_before_drop),
        }


def together(parts: Sequence[PhaseRecorder]) -> PhaseRecorder:
    """Return the sum of several parts.

    The worst stall windows of a divided phase are not known, because they may lie across an edge.
    """
    if len(parts) == 1:
        parts[0].close()
        return parts[0]
    whole = PhaseRecorder(0)
    for part in parts:
        whole.merge(part)
    if not any(part.earlier in parts for part in parts if part.earlier is not None):
        whole.worst_loss = worst_of([part.worst_loss for part in parts])
    return whole
