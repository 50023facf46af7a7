"""The trace of a snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mmusim.base.histogram import Histogram
from mmusim.base.units import show_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotTrace:
    """A snapshot of the guest's memory."""

    start_ns: int  # the request
    stopped_ns: int  # the request to stop the vCPUs
    resumed_ns: int  # they may run again
    end_ns: int  # every page has been copied
    pages: int
    zero_pages: int  # of these, sent as a header only
    sent_bytes: int
    on_fault: int  # pages that were copied because a vCPU waited for them
    flushes: int  # releases of protection that unmapped something from the guest
    waits: Histogram  # how long each write waited
    spent: Mapping[str, int]  # what the thread did -> ns; sums to end_ns - start_ns

    @property
    def pause_ns(self) -> int:
        """How long the guest was stopped, the way to the stop included."""
        return self.resumed_ns - self.stopped_ns

    def story(self) -> tuple[str, ...]:
        """Tell what happened."""
        waits = self.waits
        told = [
            f"snapshot of {self.pages:,} pages, {self.zero_pages:,} of them zero: paused for "
            f"{show_ns(self.pause_ns)}, complete after {show_ns(self.end_ns - self.start_ns)}",
            f"{self.on_fault:,} pages copied because a vCPU waited for them, "
            f"{self.pages - self.on_fault:,} in order",
        ]
        if waits.count:
            told.append(
                f"{waits.count:,} writes waited, {show_ns(round(waits.total_ns / waits.count))} on "
                f"average, {show_ns(waits.maximum)} at most"
            )
        if self.flushes:
            told.append(f"{self.flushes:,} flushes because something was mapped that changed")
        return tuple(told)
