"""Build the 512 children in the fault."""

from typing import ClassVar

from mmusim.mmu.spte import Edit, Spte
from mmusim.policies.axes import Large
from mmusim.policies.lazy_drop import LazyDrop


class SplitOnFault(LazyDrop, name="split-on-fault", choices=(Large.SPLIT_ON_FAULT,)):
    """Large sptes stay, read-only, until the first write splits them. Reads never fault.

    The fault handler of the TDP MMU replaces the large spte by a table of 512 read-only sptes and
    makes the written page writable. It does not flush, and the other 511 pages stay mapped. Linux
    does this since 6.2 where eager page splitting is off.
    """

    commits: ClassVar[tuple[str, ...]] = ("c4b33d28ea51 (6.2)",)

    def blocked(self, spte: Spte) -> Edit:
        """Split (tdp_mmu_split_huge_page in kvm_tdp_mmu_map)."""
        del spte
        return Edit.SPLIT
