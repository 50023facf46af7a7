"""The patch of the thread: keep large sptes read-only and drop them on the first write."""

from mmusim.mmu.spte import Edit, Level, Spte
from mmusim.policies.base import Policy


class LazyDrop(Policy, name="lazy-drop"):
    """Large sptes stay, read-only, until the first write to their region drops them.

    "Moves some work from protect-time to fault-time, so it reduces jitter" (Avi Kivity). Reads
    need no fault as long as nobody writes to the region. Posted in November 2012, merged as
    caf6900f2d8a, reverted by 6b73a96065e8 because the fast path made large sptes writable and
    logged one page of 512, merged again with the level check below.
    """

    commits = ("caf6900f2d8a (reverted by 6b73a96065e8)", "c126d94f2c90 (3.16)")

    def protect(self, spte: Spte) -> Edit:
        """Clear W at every level (spte_write_protect)."""
        del spte
        return Edit.WRITE_PROTECT

    def fast_path(self, spte: Spte, tracked: bool) -> bool:
        """Refuse large leaves in a tracked slot: one bit could not log 512 pages."""
        return spte.mmu_writable and (spte.level == Level.SMALL or not tracked)
