"""Background snapshots: userfaultfd write protection."""

from __future__ import annotations

from typing import Annotated, Literal

from mmusim.base.quantities import shown
from mmusim.vmm.qemu import Qemu
from mmusim.vmm.snapshot.base import SnapshotWay


class WriteProtect(SnapshotWay, name="write-protect"):
    """The guest runs on write-protected memory. A vCPU that writes to a page waits for its copy.

    The thread goes on behind the page that was waited for, because neighbours are likely to follow.

    Source: QEMU `background-snapshot` (278e2f551a, 8518278a6a; 6.0), `get_queued_page`,
    `poll_fault_page`, `ram_save_release_protection`.
    """

    rule: Annotated[Literal["write-protect"], shown("write-protect")] = "write-protect"
    """Name of the way."""

    def beyond(self, qemu: Qemu) -> str:
        """Say that it came in 6.0."""
        return "" if qemu.has_background_snapshot() else "came in QEMU 6.0"
