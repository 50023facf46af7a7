"""Dirty rings: one per vCPU. The kernel fills them and user space harvests them.

Sources: virt/kvm/dirty_ring.c (fb04a1eddb1a, 5.11); ``domain`` B.2 row 9.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

ENTRY_BYTES: Final = 16  # sizeof(struct kvm_dirty_gfn)
RESERVED: Final = 64  # KVM_DIRTY_RING_RSVD_ENTRIES
PML_ENTRIES: Final = 512
"""Entries that one exit may add at once under PML: the size of the PML buffer."""
MAX_ENTRIES: Final = 65536  # KVM_DIRTY_RING_MAX_ENTRIES
WINDOW: Final = 64  # BITS_PER_LONG


class DirtyRing:
    """The entries of one vCPU that user space has not harvested, as gfns in order."""

    __slots__ = ("entries", "pushed", "size", "soft_limit")

    def __init__(self, size: int, pml: bool) -> None:
        """Start empty; `size` in entries. Under PML (`pml`) the reserve is one buffer larger."""
        self.entries: list[int] = []
        self.pushed = 0  # ever
        self.size = size
        self.soft_limit = size - reserve(pml)

    def push(self, gfn: int) -> None:
        """Add an entry (kvm_dirty_ring_push).

        Raises
        ------
        OverflowError
            If the ring is full. Its vCPU should have stopped before.
        """
        if len(self.entries) == self.size:
            raise OverflowError(f"a dirty ring of {self.size} entries overflows at gfn {gfn}")
        self.entries.append(gfn)
        self.pushed += 1

    def soft_full(self) -> bool:
        """Tell whether the vCPU must not enter the guest: only the reserve is free
        (kvm_dirty_ring_soft_full).
        """
        return len(self.entries) >= self.soft_limit

    def harvest(self) -> list[int]:
        """Remove all entries, as user space does between two exits; return their gfns, the oldest
        first.
        """
        taken, self.entries = self.entries, []
        return taken


def reserve(pml: bool) -> int:
    """Return how many entries stay free for what one exit may add
    (kvm_dirty_ring_get_rsvd_entries).
    """
    return RESERVED + (PML_ENTRIES if pml else 0)


def masks(harvested: list[int]) -> Iterator[list[int]]:
    """Group entries into the masks that a reset re-arms one after the other.

    ``kvm_dirty_ring_reset``: an entry joins the mask if it lies within 64 pages above its base, or
    below it while the mask can still be shifted.
    """
    base = top = 0
    mask: list[int] = []
    for gfn in harvested:
        if mask and base <= gfn < base + WINDOW:
            top = max(top, gfn)
        elif mask and base - WINDOW < gfn < base and top - gfn < WINDOW:
            base = gfn
        else:
            if mask:
                yield mask
            mask, base, top = [], gfn, gfn
        mask.append(gfn)
    if mask:
        yield mask
