"""The rules of every run: legality, no lost write, and an end."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmusim.base.errors import InvariantError, LostWriteError
from mmusim.engine.state.vm import Vm
from mmusim.mmu.slot import illegal, lost_writes, parts_of
from mmusim.mmu.spte import STALE, Edit


def may_lose(vm: Vm) -> bool:
    """Tell whether the policy's tables make a large spte writable where they must not.

    One bit of the log cannot stand for the 512 pages that the guest may then write.
    """
    tables = vm.policy
    kept = tables.protect_large == Edit.WRITE_PROTECT  # read-only, for a fault to fix
    return tables.protect_large == Edit.KEEP or (kept and any(tables.fast_path[True][True]))


def culprit(vm: Vm) -> str:
    """Return the part of a message that names the policy's tables that let a write through."""
    if vm.policy.protect_large == Edit.KEEP:
        return "its table protect let them through: it leaves large sptes writable"
    if may_lose(vm):
        return (
            "its table fast_path let them through: it makes a large spte of a slot that logs "
            "writable, and logs one page of 512"
        )
    return (
        "none of its tables protect, blocked and fast_path can do that; what a get re-arms "
        "(get_walk, protects_root) let them through"
    )


def check(vm: Vm, phase: str = "") -> None:
    """Check the slot at an instant at which no process changes it; `phase` is for messages.

    A write counter per page at the source and at the destination would differ exactly where the
    page's STALE bit is set: each write sets it, and a copy of the page clears it.

    Raises
    ------
    LostWriteError
        If the newest content of a page is neither at the destination, nor in the dirty log, in a
        PML buffer or among the pages that a migration still sends.
    InvariantError
        If the guest can write a page of a slot that logs without the log noticing (rule A.4 of the
        domain reference).
    """
    policy = vm.plan.policy.name
    buffered = [
        gfn for v in vm.vcpus for gfn in v.pml
    ]  # logged by the processor, not yet in the log
    lost = lost_writes(vm.table, vm.plan.slot)
    if vm.unsent is not None:  # a migration knows the pages that it has not sent yet
        lost = lost[~vm.unsent[:, lost - vm.plan.slot.base_gfn].any(axis=0)]
    lost = np.setdiff1d(lost, buffered)
    if len(lost):
        raise LostWriteError(
            f"policy {policy!r} lost writes to {len(lost)} pages, the first at gfn {lost[0]}, "
            f"in {phase or 'the run'}: {culprit(vm)}; "
            "their newest content is neither at the destination nor in the dirty log"
        )
    wrong = np.setdiff1d(illegal(vm.table, vm.plan.slot), buffered)
    if len(wrong):
        raise InvariantError(
            f"policy {policy!r} lets the guest write {len(wrong)} pages unlogged, the first at "
            f"gfn {wrong[0]}: a writable spte maps it and its bit in the dirty log is clear"
        )


def check_snapshot(vm: Vm, gfns: NDArray[np.int64]) -> None:
    """Check that nobody has written to `gfns` since the snapshot began, before they are copied.

    Each write sets a page's STALE bit, and the beginning of a snapshot clears all of them.

    Raises
    ------
    InvariantError
        If somebody has.
    """
    written = gfns[(vm.table.page[gfns] & STALE) != 0]
    if len(written):
        raise InvariantError(
            f"the guest wrote to {len(written)} pages that the snapshot had not copied yet, the "
            f"first at gfn {written[0]}; the snapshot would have a newer version of them"
        )


def check_arrival(vm: Vm, missing: NDArray[np.bool_] | None = None) -> None:
    """Check that the destination has the newest content of every page, or knows that it lacks it.

    Every page's write counter there equals the source's, apart from `missing` pages; shape (pages
    of the slot,).

    Raises
    ------
    LostWriteError
        If a page is old there.
    """
    lost, first, slot = 0, -1, vm.plan.slot
    for part in parts_of(slot):
        old = (vm.table.page[part.pages] & STALE) != 0
        if missing is not None:
            old &= ~missing[slot.within(part)]
        if not lost and old.any():
            first = part.base_gfn + int(np.argmax(old))
        lost += int(np.count_nonzero(old))
    if lost:
        raise LostWriteError(
            f"policy {vm.plan.policy.name!r} lost writes to {lost} pages, the first at gfn "
            f"{first}: {culprit(vm)}; the guest goes on at the destination with an old version"
        )
