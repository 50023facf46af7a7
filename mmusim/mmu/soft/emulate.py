"""After a fault: emulation, and the decision to retry when emulation fails.

Sources: ``kvm_mmu_page_fault``, ``kvm_mmu_pte_write``, ``x86_emulate_instruction``,
``retry_instruction`` and ``reexecute_instruction`` of arch/x86/kvm, Linux 3.2 to 6.13.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from mmusim.mmu.soft.events import (
    Emulated,
    EmulationFailed,
    Entered,
    Faulted,
    Injected,
    Locked,
    MustEmulate,
    ReportedError,
    Stored,
    Unlocked,
    Walked,
)
from mmusim.mmu.soft.fault import Fault, page_fault
from mmusim.mmu.soft.guest import GuestWalk, index_of, walk_addr
from mmusim.mmu.soft.options import Access, Retry
from mmusim.mmu.soft.pages import kvm_mmu_unprotect_page, zap_and_flush
from mmusim.mmu.soft.rmap import drop_parent_pte, drop_spte, flush_remote_tlbs
from mmusim.mmu.soft.state import Leaf, ShadowPage, SoftMmu

FLOODED: Final = 3
"""Number of emulated stores to a table without a use of it, after which KVM takes it for no page
table (detect_write_flooding).
"""


class Outcome(StrEnum):
    """How one attempt of an access ended."""

    PROGRESS = "progress"
    RETRY = "retry"
    GUEST_FAULT = "guest-fault"
    INTERNAL_ERROR = "internal-error"


def attempt(mmu: SoftMmu, access: Access) -> Outcome:
    """Let the CPU try an access once; return how that ended.

    The access succeeds, or it exits and KVM does what it can. What happens is in ``mmu.events``.
    """
    gfn = translate(mmu, access.gva, access.write)
    if gfn is None:
        return kvm_mmu_page_fault(mmu, access)
    mmu.log(Stored(gfn, access.write))
    if access.write:
        store(mmu, gfn, access)
    return Outcome.PROGRESS


def run(mmu: SoftMmu, access: Access, patience: int = 16) -> tuple[Outcome, int]:
    """Try an access until the outcome is no retry; return outcome and number of faults.

    The outcome is RETRY if `patience` faults brought no progress.
    """
    before = mmu.stat["pf_taken"]
    while True:
        outcome = attempt(mmu, access)
        faults = mmu.stat["pf_taken"] - before
        if outcome is not Outcome.RETRY or faults >= patience:
            return outcome, faults


def translate(mmu: SoftMmu, gva: int, write: bool) -> int | None:
    """Return the gfn that a guest address leads to through the shadow tables; None if the access
    faults.
    """
    if mmu.direct:
        walk = walk_addr(mmu.memory, mmu.cr3, gva)
        if walk is None or (write and not walk.writable):
            return None
        gva = walk.gfn << 12
    sp = mmu.root
    while sp is not None:
        spte = sp.sptes.get(index_of(gva, sp.role.level))
        if isinstance(spte, Leaf):
            inside = (gva >> 12) & (512 ** (sp.role.level - 1) - 1)
            return spte.gfn + inside if spte.writable or not write else None
        sp = spte
    return None


def store(mmu: SoftMmu, gfn: int, access: Access) -> None:
    """Write the word of an access to page `gfn` and log the page."""
    mmu.memory.write(gfn, access.gva >> 3 & 511, access.value)
    mmu.mark_page_dirty(gfn)


def kvm_mmu_page_fault(mmu: SoftMmu, access: Access) -> Outcome:
    """Handle the exit of a page fault, up to the next entry; return how the attempt ended."""
    walk = walk_addr(mmu.memory, mmu.cr3, access.gva)
    forbidden = walk is None or (access.write and not walk.writable)
    if mmu.direct and forbidden:
        return Outcome.GUEST_FAULT  # without an exit
    mmu.stat["pf_taken"] += 1
    mmu.log(Faulted(access.gva, -1 if walk is None else walk.gfn, access.write))
    outcome = _handle(mmu, access, None if forbidden else walk)
    if outcome is not Outcome.INTERNAL_ERROR:
        mmu.log(Entered())
    return outcome


def _handle(mmu: SoftMmu, access: Access, walk: GuestWalk | None) -> Outcome:
    if walk is None:
        mmu.stat["pf_guest"] += 1
        mmu.log(Injected())
        return Outcome.GUEST_FAULT
    if access.vectoring and not mmu.direct:  # handle_exception: kvm_event_needs_reinjection
        unprotect(mmu, walk.gfn)
    if mmu.direct:
        walk = GuestWalk(walk.gfn << 12, walk.gfn, 4, True, {}, {})
    else:
        mmu.log(Walked(tuple(walk.tables.values())))
    fault = page_fault(mmu, walk, access.write)
    mmu.stat["retries" if fault is Fault.RETRY else f"pf_{fault}"] += 1
    if fault is not Fault.EMULATE:
        return Outcome.RETRY
    mmu.log(MustEmulate(walk.gfn))
    return x86_emulate_instruction(mmu, access, walk.gfn, write_protect_fault(mmu, access))


def write_protect_fault(mmu: SoftMmu, access: Access) -> bool:
    """Tell whether unprotect-and-retry is allowed (kvm_mmu_write_protect_fault, 6.13).

    Before 6.13 it always is. From there on it is not for the instruction and address retried last.
    """
    if mmu.options.retry is not Retry.WRITE_PROTECT_FAULT:
        return True
    if mmu.last_retry == (access.instruction.rip, access.gva):
        return False
    mmu.last_retry = None
    return True


def x86_emulate_instruction(mmu: SoftMmu, access: Access, gfn: int, may_retry: bool) -> Outcome:
    """Emulate the store to page `gfn`. If that fails, retry if `may_retry` allows it, or give
    up.
    """
    if not access.instruction.emulatable:
        mmu.log(EmulationFailed(access.instruction.rip))
        if reexecute_instruction(mmu, access, gfn, may_retry):
            return Outcome.RETRY
        mmu.log(ReportedError())
        return Outcome.INTERNAL_ERROR
    if retry_instruction(mmu, access, gfn, may_retry):
        return Outcome.RETRY
    mmu.log(Emulated(gfn))
    store(mmu, gfn, access)
    kvm_mmu_pte_write(mmu, gfn, access.gva >> 3 & 511)
    return Outcome.PROGRESS


def retry_instruction(mmu: SoftMmu, access: Access, gfn: int, may_retry: bool) -> bool:
    """Unprotect and retry an instruction that does not write page tables, instead of emulating it
    (1cb3f3ae5a38).

    This is an optimisation. From 3.3 on it happens once for an instruction and address.
    """
    here = (access.instruction.rip, access.gva)
    retry, last = mmu.options.retry, mmu.last_retry
    if retry is not Retry.WRITE_PROTECT_FAULT:
        mmu.last_retry = None
    if access.instruction.writes_page_tables or not may_retry:
        return False
    if retry is Retry.WRITE_PROTECT_FAULT:
        if not unprotect(mmu, gfn):
            return False
    elif retry is not Retry.NONE and last == here:
        return False
    else:
        unprotect(mmu, gfn)
    if retry is not Retry.NONE:
        mmu.last_retry = here
    return True


def reexecute_instruction(mmu: SoftMmu, access: Access, gfn: int, may_retry: bool) -> bool:
    """After a failed emulation, unprotect the page and let the CPU try; return False to give up.

    Up to 3.8 KVM always retries. From 3.9 on it does not for a write to a table of its own walk
    (93c05d3ef252), and in 6.13 once for an instruction and address.
    """
    if not may_retry:
        return False
    unprotect(mmu, gfn)
    if mmu.options.retry is Retry.WRITE_PROTECT_FAULT:
        mmu.last_retry = (access.instruction.rip, access.gva)
    return not mmu.write_fault_to_shadow_pgtable


def unprotect(mmu: SoftMmu, gfn: int) -> int:
    """Unshadow page `gfn` under mmu_lock; return the number of zapped shadow pages."""
    mmu.log(Locked())
    zapped = kvm_mmu_unprotect_page(mmu, gfn)
    mmu.log(Unlocked())
    return zapped


def kvm_mmu_pte_write(mmu: SoftMmu, gfn: int, index: int) -> None:
    """Handle an emulated store to word `index` of a page: zap what shadows the word, or the whole
    page.

    The new entry is shadowed when it is used. The kernel may shadow it at once.
    """
    shadows = mmu.shadows(gfn)
    if not shadows:
        return
    mmu.log(Locked())
    mmu.stat["mmu_pte_write"] += 1
    flooded = []
    changed = False
    for sp in shadows:
        if detect_write_flooding(sp):
            mmu.stat["mmu_flooded"] += 1
            flooded.append(sp)
        else:
            changed |= mmu_page_zap_pte(mmu, sp, index)
    if not zap_and_flush(mmu, flooded, "written too often to be a page table") and changed:
        flush_remote_tlbs(mmu)
    mmu.log(Unlocked())


def detect_write_flooding(sp: ShadowPage) -> bool:
    """Count a store to a shadowed table; return True from the third in a row on.

    Tables of level 1 are exempt, because they can go out of sync (detect_write_flooding).
    """
    if sp.role.level == 1:
        return False
    sp.flooding += 1
    return sp.flooding >= FLOODED


def mmu_page_zap_pte(mmu: SoftMmu, sp: ShadowPage, index: int) -> bool:
    """Make spte `index` non-present; return whether it was present. The caller flushes."""
    spte = sp.sptes.get(index)
    if isinstance(spte, Leaf):
        drop_spte(mmu, sp, index)
    elif spte is not None:
        drop_parent_pte(sp, index)
    return spte is not None
