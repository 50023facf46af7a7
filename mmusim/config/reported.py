"""The table `[reported]`: what a real migration said of itself, beside which a run is printed."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mmusim.base.quantities import Count, Rate, Share, Size, Strict, Time


class ReportedRound(Strict):
    """One round of a migration as its log reports it."""

    number: Annotated[int, Field(ge=0)]
    """Number of the round, the first pass over memory being 0."""
    to_send: Size | None = None
    """What was dirty, or all of memory, when the round began."""
    time: Time | None = None
    """How long the round took."""
    bandwidth: Rate | None = None
    """At what rate the round sent."""


class Reported(Strict):
    """What a real migration reported. A quantity that the log does not have is left out.

    The names are those of QMP's `query-migrate` (qapi/migration.json); sizes are guest memory.
    """

    source: str
    """The file and the tool that wrote it."""
    status: str = ""
    """How the migration stood: `active`, `completed`, `failed`, `cancelled` ..."""
    total_time: Time | None = None
    """From the request to the end, or until the log was written."""
    setup_time: Time | None = None
    downtime: Time | None = None
    """How long the guest stood still. Of a migration that has completed."""
    expected_downtime: Time | None = None
    transferred: Size | None = None
    remaining: Size | None = None
    rounds: Annotated[int, Field(ge=0)] | None = None
    """Syncs of the dirty log (`dirty-sync-count`), or iterations."""
    dirty_pages_rate: Annotated[float, Field(ge=0)] | None = None
    """Pages that became dirty per second, at the last sync."""
    throughput: Rate | None = None
    zero_pages: Annotated[int, Field(ge=0)] | None = None
    normal_pages: Annotated[int, Field(ge=0)] | None = None
    throttle: Share | None = None
    """Share of its time that auto-converge took from each vCPU."""
    page_size: Count = 4096
    round: list[ReportedRound] = Field(default_factory=list)
    assumed: dict[str, str] = Field(default_factory=dict)
    """Keys of this file that no log says, and why they have the value they have."""
