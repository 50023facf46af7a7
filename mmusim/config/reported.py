"""The table `[reported]`: the report of a real migration, printed beside a run."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mmusim.base.quantities import Count, Rate, Share, Size, Strict, Time, shown


class ReportedRound(Strict):
    """One round of a migration as its log reports it."""

    number: Annotated[int, Field(ge=0), shown(0, "a number")]
    """Number of the round. The first pass over memory is 0."""
    to_send: Annotated[Size | None, shown("4GiB")] = None
    """Memory to send when the round began. Without it, the log does not say."""
    time: Annotated[Time | None, shown("9.1s")] = None
    """Duration of the round. Without it, the log does not say."""
    bandwidth: Annotated[Rate | None, shown("118MB/s")] = None
    """Rate at which the round sent. Without it, the log does not say."""


class Reported(Strict):
    """The report of a real migration. Quantities that the log lacks are left out.

    The names are those of QMP's `query-migrate` (qapi/migration.json). Sizes are guest memory.
    """

    source: Annotated[str, shown("query_migrate.json (QMP query-migrate)")]
    """The file, and the tool that wrote it."""
    status: Annotated[str, shown("completed")] = ""
    """State of the migration in QEMU's words: `active`, `completed`, `failed`, `cancelled`,
    `postcopy-active`. Without it, the outcome is not compared.
    """
    reason: Annotated[str, shown("Unable to write to socket: Connection reset by peer")] = ""
    """Why the migration failed, in the words of the log."""
    total_time: Annotated[Time | None, shown("12.4s")] = None
    """Time from the request to the end, or to the writing of the log. Without it, nothing is
    compared.
    """
    setup_time: Annotated[Time | None, shown("14ms")] = None
    """Time of the set-up. Without it, nothing is compared."""
    downtime: Annotated[Time | None, shown("120ms")] = None
    """Time in which the guest stood still, for a completed migration. Without it, nothing is
    compared.
    """
    expected_downtime: Annotated[Time | None, shown("300ms")] = None
    """Downtime that QEMU expected. Without it, nothing is compared."""
    transferred: Annotated[Size | None, shown("5GiB")] = None
    """Bytes that were sent. Without it, nothing is compared."""
    remaining: Annotated[Size | None, shown("0B")] = None
    """Memory that was still to be sent. Without it, nothing is compared."""
    rounds: Annotated[Annotated[int, Field(ge=0)] | None, shown(5, "rounds")] = None
    """Number of rounds, the first pass over memory and the last round included. Without it, nothing
    is compared.
    """
    dirty_sync_count: Annotated[Annotated[int, Field(ge=0)] | None, shown(6, "syncs")] = None
    """Number of reads of the dirty log, as QEMU's `dirty-sync-count` counts them: the one before
    the first pass too. Without it, nothing is compared.
    """
    dirty_pages_rate: Annotated[
        Annotated[float, Field(ge=0)] | None, shown(20000.0, "pages per second")
    ] = None
    """Pages that became dirty per second, at the last sync. Without it, nothing is compared."""
    throughput: Annotated[Rate | None, shown("118MB/s")] = None
    """Rate at which the migration sent. Without it, nothing is compared."""
    zero_pages: Annotated[Annotated[int, Field(ge=0)] | None, shown(120000, "pages")] = None
    """Number of zero pages (`duplicate`). Without it, nothing is compared."""
    normal_pages: Annotated[Annotated[int, Field(ge=0)] | None, shown(900000, "pages")] = None
    """Number of pages that were sent whole (`normal`). Without it, nothing is compared."""
    throttle: Annotated[Share | None, shown("20%")] = None
    """Share of its time that auto-converge took from each vCPU. Without it, nothing is compared.
    """
    postcopy_blocktime: Annotated[Time | None, shown("400ms")] = None
    """Time in which all vCPUs waited for pages in post-copy. Without it, nothing is compared."""
    page_size: Annotated[Count, shown(4096, "bytes")] = 4096
    """Size of a page in the report."""
    round: Annotated[list[ReportedRound], shown([{"number": 0, "time": "9.1s"}])] = Field(
        default_factory=list
    )
    """The rounds, where the log has them."""
    assumed: Annotated[dict[str, str], shown({"vm.vcpus": "given by --vcpus"})] = Field(
        default_factory=dict
    )
    """Keys of this file that no log gives, with the reason for their value."""
