"""The phase `snapshot`: the VMM copies the guest's memory as it is at one instant."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Union

from pydantic import Field

from mmusim.base.quantities import Time, shown
from mmusim.config.phase import BusyPhase
from mmusim.vmm.snapshot import WriteProtect, snapshot_ways

Way: Any = Annotated[Union[tuple(snapshot_ways().values())], Field(discriminator="rule")]  # noqa: UP007 - not known before
"""A way of taking a snapshot, by its name and parameters."""


class Snapshot(BusyPhase):
    """A snapshot of a running guest: its memory as it was at one instant, each page copied once.

    The VMM reads a byte of every page, stops the vCPUs, saves the devices, write-protects all
    memory with userfaultfd and lets the vCPUs run on. A thread copies the pages in order. A vCPU
    that writes to a page that has not been copied waits for its copy, which comes next. No dirty
    log is used.
    The channel is that of `driver.migration` (`bandwidth`, `zero_pages`); `max-bandwidth` does not
    limit it, and `multifd-channels` does not go with it.

    Sources: QEMU ``bg_migration_thread``, ``ram_write_tracking_start``, ``ram_save_host_page``.
    """

    needs_log: ClassVar[bool] = False

    do: Annotated[Literal["snapshot"], shown("snapshot")]
    """The kind of phase."""
    lead: Annotated[Time, Field(le=1e12), shown("2s")] = 0.0
    """Time for which the vCPUs run the workload before the snapshot is requested."""
    tail: Annotated[Time, Field(le=1e12), shown("2s")] = 0.0
    """Time for which the vCPUs run on after the snapshot is complete."""
    way: Annotated[Way, shown({"rule": "stopped"})] = WriteProtect()
    """How the snapshot is taken, by `rule`: `write-protect`, `stopped`, or one of an installed
    package.
    """
