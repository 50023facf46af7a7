"""The patch of the thread: keep large sptes read-only and drop them on the first write."""

from typing import ClassVar

from mmusim.mmu.spte import Edit, Level, Spte
from mmusim.policies.axes import Large
from mmusim.policies.base import Policy


class LazyDrop(Policy, name="lazy-drop", choices=(Large.READ_ONLY,)):
    """Large sptes stay, read-only, until the first write to their region drops them.

    "Moves some work from protect-time to fault-time, so it reduces jitter" (Avi Kivity). Reads need
    no fault while the guest does not write to the region. Posted in November 2012, merged as
    caf6900f2d8a, reverted by 6b73a96065e8, because the fast path made large sptes writable and
    logged one page of 512. Merged again with the level check below.
    """

    commits: ClassVar[tuple[str, ...]] = (
        "caf6900f2d8a (reverted by 6b73a96065e8)",
        "c126d94f2c90 (3.16)",
    )

    def protect(self, spte: Spte) -> Edit:
        """Clear W at every level (spte_write_protect)."""
        del spte
        return Edit.WRITE_PROTECT

    def fast_path(self, spte: Spte, tracked: bool) -> bool:
        """Refuse large leaves in a tracked slot: one bit could not log 512 pages."""
        return spte.mmu_writable and (spte.level == Level.SMALL or not tracked)


class LazyDrop2013(LazyDrop, name="lazy-drop-2013"):
    """The patch as it was merged in January 2013 and reverted in February: it loses writes.

    fast_page_fault makes a large read-only spte writable and logs only the page that faulted. The
    guest can write the other 511 unlogged (bug 54061: migration failed). Runs end with an error
    that says so. The policy is here to show that the check finds it.
    """

    commits: ClassVar[tuple[str, ...]] = (
        "caf6900f2d8a",
        "6b73a96065e8 (revert)",
        "c126d94f2c90 (what was missing)",
    )

    def fast_path(self, spte: Spte, tracked: bool) -> bool:
        """Allow every level."""
        del tracked
        return spte.mmu_writable
