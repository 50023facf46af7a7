"""Walks over everything: the first implementation, and a proposal."""

from typing import ClassVar

from mmusim.policies.axes import Large
from mmusim.policies.eager_drop import EagerDrop
from mmusim.policies.kernel import LAST_TO_WALK_ALL, GetWalk, Kernel
from mmusim.policies.lazy_drop import LazyDrop


class WpAllLevels(EagerDrop, name="wp-all-levels", choices=(Large.ZAP,)):
    """Linux up to 2.6.37: enabling zaps every table of the VM; a get walks every entry of them.

    Each get that finds a set bit clears W of all 512 entries of every shadow page of the slot,
    under one hold of mmu_lock. So pages that were not written fault again too.
    """

    commits: ClassVar[tuple[str, ...]] = ("up to 2.6.37", "e49146dce8c3 (2.6.38)")
    kernel = Kernel(LAST_TO_WALK_ALL)
    get_walk = GetWalk.ALL
    zaps_all_at_enable = True


class WpAllLevelsBug(WpAllLevels, name="wp-all-levels-bug"):
    """wp-all-levels with the bug of 2.6.37: entries that point to tables lose W as well.

    The fault code assumes that they are writable. It finds the leaf in order and repairs nothing,
    so the guest faults on the same write for ever; runs end with that error. The bug strikes where
    a table once held a large spte of the slot. e49146dce8c3 fixed it: the walk skips tables above
    level 1.
    """

    commits: ClassVar[tuple[str, ...]] = ("up to 2.6.37", "e49146dce8c3 (2.6.38, the fix)")
    protects_tables = True


class RmapSparse(EagerDrop, name="rmap-sparse"):
    """As eager-drop, and a get re-arms the dirty pages only, each through its rmap.

    Takuya Yoshikawa's change: a get costs a test per bitmap word and 20 to 30 ns per dirty page,
    and no walk over all sptes. 3.3 did so where few pages were dirty, every kernel since 3.5 does
    so always.
    """

    commits: ClassVar[tuple[str, ...]] = (
        "95d4c16ce78c (3.3)",
        "515a01279a18",
        "b99db1d35295 (3.5)",
    )
    get_walk = GetWalk.DIRTY


class WpAllRoot(LazyDrop, name="wp-all-root", choices=(Large.READ_ONLY,)):
    """Clear W in the top entries only and push it down in faults; proposed, never merged.

    x86 checks W on every level, so 512 entries arm any amount of memory: 9 s became 0.5 s for 2
    TiB. A write fault goes down the path. At each level it clears W of the children that may be
    writable before it sets W of the entry. Faults do all the work: the best protect-time jitter and
    the worst tail. Every get arms the whole slot again.
    """

    commits: ClassVar[tuple[str, ...]] = (
        "posted by Xiao Guangrong, 2017",
        "posted by Zhuang Yanying, 2019",
    )
    beyond_mainline = True
    get_walk = GetWalk.ALL
    protects_root = True
