"""Build the 512 children when the log is armed."""

from typing import ClassVar

from mmusim.mmu.spte import Edit, Level, Spte
from mmusim.policies.axes import Large, Lock, Mmu
from mmusim.policies.lazy_drop import LazyDrop


class EagerSplit(LazyDrop, name="eager_page_split", choices=(Large.EAGER_SPLIT,)):
    """Large sptes are split into 512 small ones at protect time. Reads never fault.

    The first write of each page takes the lockless fast path, or no fault under PML. Enabling pays
    the cost: about 20 to 30 us and one page of memory per 2 MiB. With initially-all-set the first
    clear of a range pays it. TDP MMU since 5.18, nested since 6.0. Elsewhere the kernel ignores its
    module parameter eager_page_split, which is on by default.
    """

    commits: ClassVar[tuple[str, ...]] = (
        "a3fe5dbda0a4 (5.18, enable)",
        "cb00a70bd4b7 (5.18, clear)",
        "ada51a9de737 (6.0, nested)",
    )

    def protect(self, spte: Spte) -> Edit:
        """Split large sptes (kvm_mmu_slot_try_split_huge_pages), clear W of the others."""
        return Edit.SPLIT if spte.level == Level.LARGE else Edit.WRITE_PROTECT


class EagerSplitLegacy(
    EagerSplit, name="eager_page_split-legacy", choices=(Large.EAGER_SPLIT, Lock.RWLOCK)
):
    """Eager page splitting in MMUs with an rmap as posted in February 2022; not merged.

    The series "Extend Eager Page Splitting to the shadow MMU" (David Matlack) splits through the
    rmap, with mmu_lock held for write. The version merged in 6.0 (ada51a9de737) does so for nested
    guests only. Combined with `shadow` it splits what shadow paging maps large: reads do not fault.
    """

    commits: ClassVar[tuple[str, ...]] = (
        "posted February 2022; ada51a9de737 (6.0) is what became of it",
    )
    beyond_mainline = True
    mmus = (Mmu.LEGACY, Mmu.SHADOW)
