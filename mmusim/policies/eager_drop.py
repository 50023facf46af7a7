"""Linux before c126d94f2c90: arming the log destroys large sptes."""

from typing import ClassVar

from mmusim.mmu.spte import Edit, Level, Spte
from mmusim.policies.axes import Large
from mmusim.policies.base import Policy


class EagerDrop(Policy, name="eager-drop", choices=(Large.ZAP,)):
    """Large sptes are zapped at protect time. Then even a read of the region faults.

    Every page then faults once at 4 KiB, and a read fault maps the page writable and reports it
    dirty (a false dirty page). The zap itself is cheap. The faults that follow are the cost.
    """

    commits: ClassVar[tuple[str, ...]] = (
        "38187c830cab (2.6.28)",
        "e49146dce8c3 (2.6.38)",
        "until c126d94f2c90 (3.16)",
    )

    def protect(self, spte: Spte) -> Edit:
        """Zap large sptes (drop_large_spte in spte_write_protect), clear W of the others."""
        return Edit.ZAP if spte.level == Level.LARGE else Edit.WRITE_PROTECT

    def fast_path(self, spte: Spte, tracked: bool) -> bool:
        """Allow every level, as of Linux 3.6 (c7ba5b48cc8d); a slot that logs has no large leaf."""
        del tracked
        return spte.mmu_writable
