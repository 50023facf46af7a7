"""Snapshots of a guest that stands still."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from mmusim.base.quantities import shown
from mmusim.vmm.snapshot.base import SnapshotWay


class Stopped(SnapshotWay, name="stopped"):
    """The guest is stopped until all of its memory has been copied.

    Source: QEMU `save_snapshot` (`savevm`); Firecracker's full snapshots.
    """

    rule: Annotated[Literal["stopped"], shown("stopped")] = "stopped"
    """Name of the way."""
    runs: ClassVar[bool] = False
