"""Sptes and the reverse map: from a gfn to every spte that maps it, at each level."""

from __future__ import annotations

from typing import Final

from mmusim.mmu.soft.events import Flushed, LargeDropped, Protected, RmapRecycled
from mmusim.mmu.soft.guest import base_gfn
from mmusim.mmu.soft.options import LargeLeaf
from mmusim.mmu.soft.state import Leaf, ShadowPage, SoftMmu

RECYCLE_THRESHOLD: Final = 1000
"""RMAP_RECYCLE_THRESHOLD: KVM drops a longer chain as a whole."""

_PAGES: Final = {1: "pages_4k", 2: "pages_2m"}


def flush_remote_tlbs(mmu: SoftMmu) -> None:
    """Flush every TLB of the VM (kvm_flush_remote_tlbs)."""
    mmu.stat["remote_tlb_flush"] += 1
    mmu.log(Flushed())


def rmap_add(mmu: SoftMmu, sp: ShadowPage, index: int, leaf: Leaf) -> None:
    """Add a new leaf; drop its chain as a whole if it becomes too long (rmap_recycle).

    `sp` and `index` are the table and place of the leaf, here and below.
    """
    key = sp.role.level, leaf.gfn
    chain = mmu.rmap.setdefault(key, [])
    chain.append((sp, index))
    mmu.stat[_PAGES[sp.role.level]] += 1
    if len(chain) > RECYCLE_THRESHOLD:
        mmu.stat["rmap_recycled"] += 1
        mmu.log(RmapRecycled(leaf.gfn, len(chain)))
        for entry in list(chain):
            drop_spte(mmu, *entry)
        flush_remote_tlbs(mmu)


def drop_spte(mmu: SoftMmu, sp: ShadowPage, index: int) -> None:
    """Make a leaf non-present and remove it from its chain (drop_spte, rmap_remove). The caller
    flushes.
    """
    leaf = sp.sptes.pop(index)
    assert isinstance(leaf, Leaf)
    key = sp.role.level, leaf.gfn
    mmu.rmap[key].remove((sp, index))
    if not mmu.rmap[key]:
        del mmu.rmap[key]
    mmu.stat[_PAGES[sp.role.level]] -= 1


def drop_large_spte(mmu: SoftMmu, sp: ShadowPage, index: int) -> None:
    """Zap the large leaf that blocks a table, if there is one, and flush (drop_large_spte)."""
    leaf = sp.sptes.get(index)
    if sp.role.level > 1 and isinstance(leaf, Leaf):
        drop_spte(mmu, sp, index)
        mmu.log(LargeDropped(leaf.gfn))
        flush_remote_tlbs(mmu)


def link_child(parent: ShadowPage, index: int, child: ShadowPage) -> None:
    """Make spte `index` of a table point to a lower table (link_shadow_page)."""
    parent.sptes[index] = child
    child.parents.append((parent, index))


def drop_parent_pte(parent: ShadowPage, index: int) -> None:
    """Make spte `index`, which points to a table, non-present; that table stays hashed
    (drop_parent_pte).
    """
    child = parent.sptes.pop(index)
    assert isinstance(child, ShadowPage)
    child.parents.remove((parent, index))


def spte_write_protect(mmu: SoftMmu, sp: ShadowPage, index: int) -> bool:
    """Clear W of a leaf; return whether it had W (spte_write_protect).

    A large leaf is zapped, or stays read-only, as ``options.large`` says for the kernel. The caller
    flushes.
    """
    leaf = sp.sptes[index]
    assert isinstance(leaf, Leaf)
    if not leaf.writable:
        return False
    zap = sp.role.level > 1 and mmu.options.large is not LargeLeaf.READ_ONLY
    if zap:
        drop_spte(mmu, sp, index)
    else:
        sp.sptes[index] = leaf._replace(writable=False)
    mmu.log(Protected(leaf.gfn, sp.role.level, zap))
    return True


def rmap_chain(mmu: SoftMmu, gfn: int) -> list[tuple[ShadowPage, int]]:
    """Return table and index of every spte that maps a gfn, at levels 1 and 2."""
    levels = ((level, base_gfn(gfn, level)) for level in (1, 2))
    return [entry for key in levels for entry in mmu.rmap.get(key, ())]


def rmap_length(mmu: SoftMmu, gfn: int) -> int:
    """Return how many sptes map a gfn; write-protecting visits all of them (domain, A.6)."""
    return len(rmap_chain(mmu, gfn))


def rmap_write_protect(mmu: SoftMmu, gfn: int) -> bool:
    """Clear W of every spte that maps a gfn, at every level; return whether any had it.

    Source: kvm_vcpu_write_protect_gfn. The caller flushes.
    """
    changed = False
    for sp, index in rmap_chain(mmu, gfn):
        changed |= spte_write_protect(mmu, sp, index)
    return changed


def protect_slot(mmu: SoftMmu) -> None:
    """Start dirty logging: clear W of every leaf, with one flush
    (kvm_mmu_slot_remove_write_access).
    """
    mmu.tracked = True
    changed = False
    for chain in list(mmu.rmap.values()):
        for sp, index in list(chain):
            changed |= spte_write_protect(mmu, sp, index)
    if changed:
        flush_remote_tlbs(mmu)
