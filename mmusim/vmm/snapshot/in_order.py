"""Background snapshots whose thread keeps its place."""

from __future__ import annotations

from typing import Annotated, Literal

from mmusim.base.quantities import shown
from mmusim.vmm.snapshot.write_protect import WriteProtect


class InOrder(WriteProtect, name="in-order"):
    """As `write-protect`, but the thread goes on where it was before a page was waited for.

    No release of QEMU does so. It shows what QEMU's rule saves where hot pages are neighbours. Each
    page that is left is then copied in order at the same rate, hot or not.
    """

    rule: Annotated[Literal["in-order"], shown("in-order")] = "in-order"  # type: ignore[assignment]
    """Name of the way."""

    def goes_on(self, page: int, cursor: int) -> int:
        """Return where the thread was."""
        del page
        return cursor
