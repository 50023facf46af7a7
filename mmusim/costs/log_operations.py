"""The costs of the host's log operations, with the number of their payments (domain, B.3).

Each function returns counts: cost -> number of payments. Engines multiply a count by the mean of
the cost and round once per cost. Drawn costs (grace period, floor of an ioctl, flush) and waits
come on top; engines add them to the times of the phase.

Words that all functions share: `c` are the policy's choices; `pages` is the number of 4 KiB pages
of the slot or of the range; `walk` has the counts of a walk over it; `kernel` is the release, which
decides how the kernel works. No function checks that numbers are not negative.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mmusim.base.units import BYTES, PAGE, PAGES_PER_REGION
from mmusim.mmu.walk import Walk
from mmusim.policies import Choices, Disable, EnableWalk, GetWalk, Kernel, Mmu, Policy

Counts = Mapping[str, float]

ENTRIES: Final = 512  # of a page table
WORD: Final = 64  # bits in a word of the bitmap


def bitmap_mib(pages: int) -> float:
    """Return the size in MiB of the bitmap of `pages` pages, one bit a page."""
    return pages / 8 / BYTES["MiB"]


def arm_cost(c: Choices) -> str:
    """Return the name of the cost of clearing W (D under PML) of one leaf when logging is switched
    on.
    """
    return "c_tdp_wclear" if c.mmu is Mmu.TDP else "c_wclear"


def rearm_cost(kernel: Kernel, c: Choices) -> str:
    """Return the name of the same cost for one small leaf in a get, a clear or a ring reset."""
    if c.mmu is Mmu.NESTED and kernel.takes_w_of_nested_by_bit():
        return "c_nested_wclear"
    if c.mmu is Mmu.TDP and kernel.clears_by_one_and():
        return "c_tdp_clear_bit"
    return arm_cost(c)


def walk_cost(kernel: Kernel, c: Choices) -> str:
    """Return the name of the same cost for one small leaf whose lines are in the cache."""
    by_bit = c.mmu is Mmu.NESTED and kernel.takes_w_of_nested_by_bit()
    return "c_nested_arm" if by_bit else "c_dclear"


def split_cost(c: Choices) -> str:
    """Return the name of the cost of splitting 2 MiB: with 512 rmap entries, or without."""
    return "c_tdp_split_2M" if c.mmu is Mmu.TDP else "c_split_2M"


def shadow_pages(pages: int, walk: Walk) -> int:
    """Return the number of shadow pages of a slot: the last level and the two or three levels
    above.
    """
    return walk.tables + -(-pages // PAGES_PER_REGION**2) + 2


def enable(
    policy: Policy, kernel: Kernel, c: Choices, pages: int, walk: Walk, in_cache: bool = False,
    large_only: bool = False,
) -> Counts:  # fmt: skip
    """Counts of arming a slot of `pages` pages under mmu_lock: t_enable of B.3 without the flush.

    First the visits of the walk, then the changes. A policy that arms the root visits the top
    entries only. A policy that zaps all tables visits their entries and leaves. `in_cache`: leaves
    that the walk has just made by splitting are cheap to arm. `large_only`: the walk leaves out
    small leaves, because all bits of the log are set.
    """
    if policy.protects_root:
        return {"c_wclear": -(-pages // PAGES_PER_REGION**3)}
    counts: Counter[str] = Counter()
    kind = EnableWalk.ACTIVE_TABLES if policy.zaps_all_at_enable else kernel.enable_walk(c.mmu)
    if kind is EnableWalk.ACTIVE_TABLES:
        counts["c_scan"] = ENTRIES * shadow_pages(pages, walk)
    elif kind is EnableWalk.RMAP:
        counts["c_head"] = rmap_heads(pages) - (pages if large_only else 0)
    else:
        counts["c_tdp_visit"] = walk.leaves + walk.tables
    counts["c_split_1G"] = walk.split_1g
    counts[split_cost(c)] = walk.split_2m
    if kernel.drops_lock_to_split():
        counts["c_yield"] = walk.split_1g + walk.split_2m
    made = PAGES_PER_REGION * walk.split_2m if in_cache and c.mmu is not Mmu.TDP else 0
    fresh = min(walk.protected_4k, made)
    in_walk = walk_cost(kernel, c)
    if in_walk == "c_nested_arm":  # kvm_mmu_slot_leaf_clear_dirty goes over all heads
        fresh = walk.protected_4k
    counts[arm_cost(c)] += walk.protected_4k - fresh + walk.protected_large
    counts["c_tdp_wclear" if c.mmu is Mmu.TDP else in_walk] += walk.cleared_d + fresh
    counts["c_zap_large"] = walk.zapped_large
    counts["c_collapse"] = walk.zapped_4k
    return paid(counts)


def rmap_heads(pages: int) -> int:
    """Return the number of rmap heads of a slot at its three levels: N + N2 + N1G."""
    return pages + -(-pages // PAGES_PER_REGION) + -(-pages // PAGES_PER_REGION**2)


def protect_range(c: Choices, pages: int, walk: Walk) -> Counts:
    """Counts of clearing W of every leaf in a range, under mmu_lock, by another thread of the
    host.
    """
    visits = {"c_head": rmap_heads(pages)}
    if c.mmu is Mmu.TDP:
        visits = {"c_tdp_visit": walk.leaves + walk.tables}
    return paid(visits | {arm_cost(c): walk.protected_4k + walk.protected_large})


def age(kernel: Kernel, c: Choices, pages: int, leaves: int) -> Counts:
    """Counts of clearing A of the `leaves` leaves that map `pages` pages (kvm_age_gfn)."""
    if c.mmu is Mmu.TDP:
        return paid({"c_tdp_visit": leaves, rearm_cost(kernel, c): leaves})
    return paid({"c_head": rmap_heads(pages), "c_wclear": leaves})


def fill_bitmap(pages: int) -> Counts:
    """Counts of making a bitmap: all that enabling costs with initially-all-set, without the grace
    period.
    """
    return {"c_memset": bitmap_mib(pages)}


def allocate_bitmaps(pages: int) -> Counts:
    """Counts of allocating the bitmap of a slot and its second buffer, page by page."""
    return {"c_bitmap_alloc": bitmap_mib(pages)}


def fault_in_bitmap(pages: int) -> Counts:
    """Counts of the page faults of a first copy to a bitmap of user space."""
    return {"c_user_page": -(-pages // (8 * PAGE))}


def rearm(
    kernel: Kernel,
    c: Choices,
    pages: int,
    dirty: int,
    *,
    words: int = 0,
    unmapped: int = 0,
    large: int = 0,
    split_2m: int = 0,
    split_1g: int = 0,
    fresh: int = 0,
) -> Counts:
    """Counts of clearing and re-arming `dirty` pages in a range of `pages` pages, under mmu_lock.

    This is the locked part of t_GET(clears) and of t_CLEAR(chunk). `words` of the bitmap have the
    bits of the dirty pages. `unmapped` of the dirty pages
    have no small leaf: the kernel visits their rmap head, or walks down the tree once for each of
    their masks. `large` is the number of large leaves that the first clear of an all-set bitmap
    makes read-only or splits. `fresh` of the dirty pages have a leaf that this clear has just made.
    """
    counts: Counter[str] = Counter()
    counts["c_word"] = -(-pages // WORD)
    counts["c_dirty_word"] = words
    counts[rearm_cost(kernel, c)] = dirty - unmapped - fresh
    counts[walk_cost(kernel, c)] = fresh
    if c.mmu is Mmu.TDP:
        counts["c_large_clear"] = -(-unmapped // PAGES_PER_REGION)
    else:
        counts["c_head"] = unmapped
        counts["c_wclear"] += large
    counts["c_split_1G"] = split_1g
    counts[split_cost(c)] = split_2m
    return paid(counts)


def rearm_walk(
    kernel: Kernel,
    c: Choices,
    walk: GetWalk,
    pages: int,
    tables: int,
    dirty: int,
    unmapped: int = 0,
) -> Counts:
    """Counts of arming every spte of the slot because of `dirty` bits, as gets did before 3.3 or
    3.5.
    """
    if rearms_all(walk, pages, tables, dirty):
        return {"c_word": -(-pages // WORD), "c_scan": ENTRIES * shadow_pages(pages, Walk(tables))}
    return rearm(kernel, c, pages, dirty, unmapped=unmapped)


def rearms_all(walk: GetWalk, pages: int, tables: int, dirty: int) -> bool:
    """Tell whether a get walks every spte: always if a bit is set, or by 3.3's choice of the
    cheaper way.
    """
    if walk is GetWalk.CHEAPER:
        return dirty >= shadow_pages(pages, Walk(tables))
    return walk is GetWalk.ALL and dirty > 0


def dirty_words(gfns: NDArray[np.int64]) -> int:
    """Return how many words of the bitmap have the bits of pages, which ascend.

    Slots begin at whole words.
    """
    return int(np.count_nonzero(np.diff(gfns // WORD))) + 1 if len(gfns) else 0


def copy(pages: int) -> Counts:
    """Counts of copying the bitmap of a range between kernel and user space, one way."""
    return {"c_copy": bitmap_mib(pages)}


def kick(in_guest: int) -> Counts:
    """Counts of kicking `in_guest` vCPUs out of the guest, so that their PML buffers drain."""
    return {"c_kick": in_guest}


def harvest(entries: int) -> Counts:
    """Counts of reading so many entries of the dirty rings in user space."""
    return {"c_ring_harvest": entries}


def reset_mask(kernel: Kernel, c: Choices, entries: int) -> Counts:
    """Counts of re-arming one mask of up to 64 entries of a ring reset, a hold of mmu_lock of its
    own.
    """
    return {"c_ring_mask": 1, rearm_cost(kernel, c): entries}


def disable(kernel: Kernel, c: Choices, pages: int, walk: Walk) -> tuple[Counts, int]:
    """Counts of collapsing small leaves when logging ends, with the flushes on the way. None before
    4.1.

    The walk visits the rmap heads of small leaves, or what the tree holds. Of each leaf, or since
    5.19 of each table, it asks how large the host maps the page. Where it zaps, that is part of
    the price.
    """
    way = kernel.disable(c.mmu)
    if way is Disable.KEEP_SMALL:
        return {}, 0
    counts = Counter({"c_zap_large": walk.zapped_large})
    counts["c_tdp_collapse" if c.mmu is Mmu.TDP else "c_collapse"] = walk.zapped_4k
    if c.mmu is not Mmu.TDP:
        counts["c_head"] = pages
    else:
        counts["c_tdp_visit"] = walk.tables + walk.leaves
    by_leaf = way is Disable.ZAP_SMALL
    counts["c_host_level"] = walk.leaves if by_leaf else walk.tables - walk.zapped_tables
    flushes = {
        "leaf": walk.zapped_4k + walk.zapped_large, "table": walk.zapped_tables, "": 0,
    }[kernel.flushes_while_disabling(c.mmu)]  # fmt: skip
    return paid(counts), flushes


def zap_all(c: Choices, walk: Walk) -> Counts:
    """Counts of zapping and freeing the tables of the VM when a slot is deleted."""
    small = "c_tdp_collapse" if c.mmu is Mmu.TDP else "c_slot_zap"
    return paid(Counter({small: walk.zapped_4k, "c_zap_large": walk.zapped_large}))


def paid(counts: Mapping[str, float]) -> Counts:
    """Return the counts without costs that are not paid."""
    return {cost: times for cost, times in counts.items() if times}
