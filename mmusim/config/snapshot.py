"""The phase `snapshot`: the VMM copies the guest's memory as it is at one instant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, Union

from pydantic import Field

from mmusim.base.errors import MisfitError
from mmusim.base.quantities import Time, shown
from mmusim.config.phase import BusyPhase
from mmusim.mmu.spte import LEVEL_1G
from mmusim.vmm import Qemu
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
    """How the snapshot is taken, by `rule`: `write-protect`, `in-order`, `stopped`, or one of an
    installed package.
    """


def snapshot_misfits(driver: Any, qemu: Qemu, level: int) -> Iterator[MisfitError]:
    """Yield complaints about snapshots that QEMU, the host or the channel does not have.

    `driver` may be a selftest, which has no phases; `level` is that of the host's mappings.
    """
    stopped = 'or write way = { rule = "stopped" }'
    for number, phase in enumerate(getattr(driver, "phases", ()), 1):
        if not isinstance(phase, Snapshot):
            continue
        key, rule = f"driver.phases[{number}].way", phase.way.rule
        if why := phase.way.ask("beyond", qemu):
            remedy = f"name a release that has it, {stopped}"
            yield MisfitError(key, rule, f"{why}, and vmm.qemu is {qemu.name}", remedy)
        if not phase.way.runs:
            continue
        if level == LEVEL_1G:
            yield MisfitError(
                key, rule, "is not modelled for host pages of 1 GiB",
                f'write vm.backing = "2MiB", {stopped}',
            )  # fmt: skip
        if driver.migration.multifd_channels > 1:
            yield MisfitError(
                "driver.migration.multifd-channels", driver.migration.multifd_channels,
                f"does not go with phases[{number}] (snapshot), which one thread copies",
                f"leave it out, {stopped}",
            )  # fmt: skip
