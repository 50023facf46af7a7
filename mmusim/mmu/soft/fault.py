"""A page fault of the soft MMU: FNAME(page_fault), FNAME(fetch) and set_spte of paging_tmpl.h."""

from __future__ import annotations

from enum import StrEnum

from mmusim.mmu.soft.events import LargeRefused, LevelChosen, Locked, Mapped, Unlocked
from mmusim.mmu.soft.guest import ROOT_LEVEL, GuestWalk, base_gfn, index_of
from mmusim.mmu.soft.options import LargeLeaf, Retry
from mmusim.mmu.soft.pages import (
    kvm_mmu_get_page,
    make_mmu_pages_available,
    mmu_alloc_roots,
    mmu_need_write_protect,
)
from mmusim.mmu.soft.rmap import (
    drop_large_spte,
    drop_parent_pte,
    drop_spte,
    flush_remote_tlbs,
    link_child,
    rmap_add,
)
from mmusim.mmu.soft.state import Leaf, Role, ShadowPage, SoftMmu


class Fault(StrEnum):
    """What a fault came to (RET_PF_*)."""

    RETRY = "retry"
    FIXED = "fixed"
    SPURIOUS = "spurious"
    EMULATE = "emulate"


def mapping_level(mmu: SoftMmu, walk: GuestWalk) -> int:
    """Choose the level of the leaf, 1 or 2: 4 KiB if anything forbids a larger one
    (mapping_level).
    """
    level = 1
    if walk.level > 1 and mmu.huge and not mmu.tracked and not mmu.disallowed(walk.gfn):
        level = 2
    if level > 1 and mmu.options.self_change_check and is_self_change_mapping(walk):
        level = 1
    mmu.log(LevelChosen(level, mmu.disallowed(walk.gfn)))
    return level


def is_self_change_mapping(walk: GuestWalk) -> bool:
    """Tell whether a table of the walk lies in the range that the guest's leaf maps.

    Then a large writable spte would let the guest change that table unnoticed
    (FNAME(is_self_change_mapping)).
    """
    mapped = base_gfn(walk.gfn, walk.level)
    return walk.writable and mapped in (base_gfn(gfn, walk.level) for gfn in walk.tables.values())


def page_fault(mmu: SoftMmu, walk: GuestWalk, write: bool) -> Fault:
    """Shadow the walk's tables and install the leaf, under mmu_lock (FNAME(page_fault)).

    The guest's tables allow the access. The caller counts the outcome.
    """
    mmu.write_fault_to_shadow_pgtable = (
        mmu.options.retry is Retry.WRITE_FAULT_TO_SP
        and walk.writable
        and walk.gfn in walk.tables.values()
    )
    early = mmu.options.level_before_shadowing
    level = mapping_level(mmu, walk) if early else 0
    mmu.log(Locked())
    make_mmu_pages_available(mmu)
    sp = shadow_chain(mmu, walk)
    if not early:
        level = mapping_level(mmu, walk)
    sp = direct_chain(mmu, walk, sp, level)
    outcome = mmu_set_spte(mmu, sp, walk, write)
    mmu.log(Unlocked())
    return outcome


def shadow_chain(mmu: SoftMmu, walk: GuestWalk) -> ShadowPage:
    """Shadow every table that the walk read (the first loop of FNAME(fetch)); return the lowest."""
    sp = mmu_alloc_roots(mmu)
    for level in range(ROOT_LEVEL, walk.level, -1):
        sp.flooding = 0
        index = index_of(walk.gva, level)
        drop_large_spte(mmu, sp, index)
        child = sp.sptes.get(index)
        if not isinstance(child, ShadowPage):
            role = Role(level - 1, False, walk.inherited[level - 1])
            child = kvm_mmu_get_page(mmu, walk.tables[level - 1], role)
            link_child(sp, index, child)
        sp = child
    sp.flooding = 0
    return sp


def direct_chain(mmu: SoftMmu, walk: GuestWalk, sp: ShadowPage, level: int) -> ShadowPage:
    """Go down from `sp` to `level` through direct tables (the second loop of FNAME(fetch)).

    Return the table of that level. A direct table with other rights than the walk's is replaced,
    with a flush (validate_direct_spte).
    """
    while sp.role.level > level:
        sp.flooding = 0
        above, index = sp.role.level, index_of(walk.gva, sp.role.level)
        child = sp.sptes.get(index)
        if isinstance(child, ShadowPage) and child.role.writable != walk.writable:
            drop_parent_pte(sp, index)  # validate_direct_spte
            flush_remote_tlbs(mmu)
        drop_large_spte(mmu, sp, index)
        child = sp.sptes.get(index)
        if not isinstance(child, ShadowPage):
            role = Role(above - 1, True, walk.writable)
            child = kvm_mmu_get_page(mmu, base_gfn(walk.gfn, above), role)
            link_child(sp, index, child)
        sp = child
    sp.flooding = 0
    return sp


def mmu_set_spte(mmu: SoftMmu, sp: ShadowPage, walk: GuestWalk, write: bool) -> Fault:
    """Install the leaf of a walk in `sp`, writable unless something forbids it (mmu_set_spte,
    set_spte).

    EMULATE means that a `write` must be emulated, because its page has to stay read-only.
    """
    level = sp.role.level
    index, gfn = index_of(walk.gva, level), base_gfn(walk.gfn, level)
    old = sp.sptes.get(index)
    if isinstance(old, ShadowPage):  # a large leaf over a table: the table is unlinked
        drop_parent_pte(sp, index)
        flush_remote_tlbs(mmu)
        old = None
    elif old is not None and old.gfn != gfn:
        drop_spte(mmu, sp, index)
        flush_remote_tlbs(mmu)
        old = None

    writable, protected = walk.writable, False
    if writable and level > 1 and mmu.disallowed(gfn):
        if mmu.options.large is LargeLeaf.RETRY:
            mmu.log(LargeRefused(gfn, "nothing is installed, the guest tries again"))
            return Fault.RETRY
        protected = True
        if mmu.options.large is LargeLeaf.DROP:
            if old is not None:
                drop_spte(mmu, sp, index)
            mmu.log(LargeRefused(gfn, "it is dropped"))
            return Fault.EMULATE if write else Fault.RETRY
        mmu.log(LargeRefused(gfn, "it becomes read-only"))
        writable = False
    elif writable and mmu_need_write_protect(mmu, gfn, can_unsync=True):
        writable, protected = False, True

    new = Leaf(gfn, writable)
    if writable:
        mmu.mark_page_dirty(walk.gfn)
    if old == new and not protected:
        return Fault.SPURIOUS
    sp.sptes[index] = new
    if old != new:
        mmu.log(Mapped(gfn, level, writable))
    if old is None:
        rmap_add(mmu, sp, index, new)
    elif old.writable and not writable:
        flush_remote_tlbs(mmu)
    return Fault.EMULATE if protected and write else Fault.FIXED
