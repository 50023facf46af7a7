"""Shadow pages: find, make, unsync, sync, zap."""

from __future__ import annotations

from mmusim.mmu.soft.events import Shadowed, Synced, TableMade, Unprotected, Unsynced, Zapped
from mmusim.mmu.soft.guest import PRESENT, ROOT_LEVEL, WRITABLE, index_of
from mmusim.mmu.soft.rmap import (
    drop_parent_pte,
    drop_spte,
    flush_remote_tlbs,
    rmap_length,
    rmap_write_protect,
)
from mmusim.mmu.soft.state import Leaf, Role, ShadowPage, SoftMmu


def kvm_mmu_get_page(mmu: SoftMmu, gfn: int, role: Role) -> ShadowPage:
    """Find a shadow page or make it. A new indirect one write-protects its guest table.

    ``kvm_mmu_get_page`` with ``account_shadowed`` and ``rmap_write_protect`` (domain, C.7).
    """
    for sp in mmu.hash.get(gfn, ()):
        if sp.role == role:
            if sp.unsync:
                kvm_sync_page(mmu, sp)
            sp.flooding = 0
            return sp
    sp = ShadowPage(gfn, role)
    mmu.stat["mmu_cache_miss"] += 1
    if role.direct:
        mmu.log(TableMade(gfn, role.level))
    else:
        account_shadowed(mmu, gfn)
        mmu.log(Shadowed(gfn, role.level, rmap_length(mmu, gfn), mmu.disallowed(gfn)))
        if rmap_write_protect(mmu, gfn):
            flush_remote_tlbs(mmu)
        if role.level > 1:
            for stale in [s for s in mmu.shadows(gfn) if s.unsync]:
                kvm_sync_page(mmu, stale)
    mmu.hash.setdefault(gfn, []).append(sp)
    mmu.active.append(sp)
    return sp


def account_shadowed(mmu: SoftMmu, gfn: int) -> None:
    """Record that the guest's table at `gfn` is shadowed: no large spte over it (domain, A.7)."""
    mmu.disallow_lpage[gfn >> 9] += 1


def unaccount_shadowed(mmu: SoftMmu, gfn: int) -> None:
    """Record that one shadow page of the guest's table at `gfn` less forbids a large spte
    over it.
    """
    mmu.disallow_lpage[gfn >> 9] -= 1
    assert mmu.disallow_lpage[gfn >> 9] >= 0, f"disallow_lpage of gfn {gfn} fell below zero"


def mmu_need_write_protect(mmu: SoftMmu, gfn: int, can_unsync: bool) -> bool:
    """Tell whether a page must not be writable because it is shadowed.

    A page that is a table of level 1 only goes out of sync instead, if the caller allows it.
    """
    shadows = mmu.shadows(gfn)
    if any(not can_unsync or sp.role.level > 1 for sp in shadows):
        return True
    for sp in shadows:
        if not sp.unsync:
            sp.unsync = True
            mmu.stat["mmu_unsync"] += 1
            mmu.log(Unsynced(gfn))
    return False


def kvm_sync_page(mmu: SoftMmu, sp: ShadowPage) -> None:
    """Read a level-1 guest table again and protect it (kvm_sync_page, FNAME(sync_page)).

    Sptes that the guest's entries no longer allow are dropped or lose W, with one flush.
    """
    changed = rmap_write_protect(mmu, sp.gfn)
    sp.unsync = False
    for index, leaf in list(sp.sptes.items()):
        assert isinstance(leaf, Leaf), "only tables of level 1 go out of sync"
        entry = mmu.memory.read(sp.gfn, index)
        if not entry & PRESENT or entry >> 12 != leaf.gfn:
            drop_spte(mmu, sp, index)
            changed = True
            continue
        writable = sp.role.writable and bool(entry & WRITABLE)
        if writable and not leaf.writable:  # set_spte with can_unsync = false
            writable = not mmu_need_write_protect(mmu, leaf.gfn, can_unsync=False)
        changed |= leaf.writable and not writable
        if writable:
            mmu.mark_page_dirty(leaf.gfn)
        sp.sptes[index] = Leaf(leaf.gfn, writable)
    mmu.log(Synced(sp.gfn))
    if changed:
        flush_remote_tlbs(mmu)


def mmu_sync_children(mmu: SoftMmu, sp: ShadowPage) -> None:
    """Bring every table under a shadow page in sync, itself included (mmu_sync_children)."""
    if sp.unsync:
        kvm_sync_page(mmu, sp)
    for child in [c for c in sp.sptes.values() if isinstance(c, ShadowPage)]:
        if not child.role.direct:
            mmu_sync_children(mmu, child)


def mmu_alloc_roots(mmu: SoftMmu) -> ShadowPage:
    """Return the root table; make it if a zap removed it (kvm_mmu_reload)."""
    if mmu.root is None:
        gfn = 0 if mmu.direct else mmu.cr3
        mmu.root = kvm_mmu_get_page(mmu, gfn, Role(ROOT_LEVEL, mmu.direct, True))
    return mmu.root


def load_cr3(mmu: SoftMmu, cr3: int) -> None:
    """Let the guest load CR3, the gfn of a root: a sync point for every reachable table.

    Source: kvm_mmu_sync_roots.
    """
    mmu.cr3, mmu.root = cr3, None
    mmu_sync_children(mmu, mmu_alloc_roots(mmu))


def invlpg(mmu: SoftMmu, gva: int) -> None:
    """Let the guest invalidate one address: a sync point for its level-1 entry (FNAME(invlpg))."""
    sp = mmu_alloc_roots(mmu)
    while True:
        index = index_of(gva, sp.role.level)
        spte = sp.sptes.get(index)
        if not isinstance(spte, ShadowPage):
            break
        sp = spte
    if isinstance(spte, Leaf) and sp.unsync:
        drop_spte(mmu, sp, index)
        flush_remote_tlbs(mmu)


def kvm_mmu_zap_page(mmu: SoftMmu, sp: ShadowPage, why: str) -> None:
    """Zap a shadow page with its unsync children. Other children stay hashed.

    ``kvm_mmu_prepare_zap_page``. The caller flushes, as ``kvm_mmu_commit_zap_page`` does.
    """
    if sp not in mmu.active:  # a child went before its parent
        return
    mmu.stat["mmu_shadow_zapped"] += 1
    for index, spte in list(sp.sptes.items()):
        if isinstance(spte, Leaf):
            drop_spte(mmu, sp, index)
            continue
        drop_parent_pte(sp, index)
        for child in unsync_below(spte):
            kvm_mmu_zap_page(mmu, child, "out of sync below a zapped table")
    for parent, index in list(sp.parents):
        drop_parent_pte(parent, index)
    if not sp.role.direct:
        unaccount_shadowed(mmu, sp.gfn)
    mmu.hash[sp.gfn].remove(sp)
    mmu.active.remove(sp)
    if mmu.root is sp:
        mmu.root = None
    mmu.log(Zapped(sp.gfn, sp.role.level, sp.role.direct, why))


def unsync_below(sp: ShadowPage) -> list[ShadowPage]:
    """Return the tables under a shadow page, itself included, that are out of sync."""
    below = [c for c in sp.sptes.values() if isinstance(c, ShadowPage)]
    found = [unsync for child in below for unsync in unsync_below(child)]
    return [sp, *found] if sp.unsync else found


def zap_and_flush(mmu: SoftMmu, victims: list[ShadowPage], why: str) -> int:
    """Zap shadow pages and flush once (kvm_mmu_commit_zap_page); return how many were asked for.

    `why` goes into the story. Without victims there is no flush.
    """
    for sp in victims:
        kvm_mmu_zap_page(mmu, sp, why)
    if victims:
        flush_remote_tlbs(mmu)
    return len(victims)


def kvm_mmu_unprotect_page(mmu: SoftMmu, gfn: int) -> int:
    """Zap every indirect shadow page of a gfn, so that the guest may write it; return the number.

    The function searches the hash by gfn. It leaves large sptes that map the gfn alone (domain,
    D.1).
    """
    zapped = zap_and_flush(mmu, mmu.shadows(gfn), "unshadowed")
    mmu.log(Unprotected(gfn, zapped, mmu.disallowed(gfn)))
    return zapped


def kvm_mmu_zap_all(mmu: SoftMmu) -> None:
    """Zap every shadow page, with one flush (kvm_mmu_zap_all)."""
    zap_and_flush(mmu, list(mmu.active), "all are zapped")


def make_mmu_pages_available(mmu: SoftMmu) -> None:
    """Recycle the oldest shadow pages if there are more than ``options.max_shadow_pages``.

    The root is never recycled (make_mmu_pages_available).
    """
    excess = len(mmu.active) - mmu.options.max_shadow_pages
    oldest = [sp for sp in mmu.active if sp is not mmu.root][: max(0, excess)]
    mmu.stat["mmu_recycled"] += zap_and_flush(mmu, oldest, "there are too many")
