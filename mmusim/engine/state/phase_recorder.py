"""What the vCPUs of a guest phase write down, for its trace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from mmusim.base.histogram import Histogram
from mmusim.trace.stall_windows import Stalls, worst_of
from mmusim.vocabulary.causes import CAUSES


class PhaseRecorder:
    """What the vCPUs of one guest phase write down."""

    def __init__(self, npages: int) -> None:
        """Start empty, for a slot of `npages` pages."""
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

    def close(self) -> None:
        """Add what is still in lists to the histograms."""
        histograms = (self.reads, self.writes, self.requests)
        for histogram, waiting in zip(histograms, (*self.latencies, self.completed), strict=True):
            histogram.add(waiting)
            waiting.clear()

    def end(self, stalls: Stalls, started_ns: int, now: int) -> None:
        """A vCPU has come to the end of its program."""
        self.close_vcpu(stalls.close(now), started_ns, now)
        self.close()

    def close_vcpu(self, worst: Mapping[int, int], started_ns: int, now: int) -> None:
        """Book the time of a vCPU that has ended, and its worst windows."""
        self.vcpu_ns += now - started_ns
        self.guest_end_ns = now
        self.worst_loss = worst_of([self.worst_loss, worst])

    def facts(self) -> dict[str, Any]:
        """Return the fields of a :class:`~mmusim.trace.records.PhaseTrace` that these books
        fill.
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
