"""What a shadow page-table entry (spte) holds, bit by bit, and the edits KVM makes to one."""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

# Bits of a leaf, the same in the byte of a 4 KiB page and in the byte of a 2 MiB region.
PRESENT: Final = 1
WRITABLE: Final = 2  # W: clearing it is write-protecting
MMU_WRITABLE: Final = 4  # no shadowed page inside: W may be restored without mmu_lock
DIRTY: Final = 8  # the hardware D bit
LEAF: Final = PRESENT | WRITABLE | MMU_WRITABLE | DIRTY
NOT_LEAF: Final = 0xFF ^ LEAF
ACCESS: Final = PRESENT | WRITABLE | MMU_WRITABLE  # what policies are asked about

# What a TLB may still hold although the entry was taken back; gone at the next flush.
TLB_READ: Final = 64
TLB_WRITE: Final = 128

# Only in the byte of a page.
LOGGED: Final = 16  # its bit in the slot's dirty bitmap
STALE: Final = 32  # written since it was last copied: the destination's version is old

# Only in the byte of a region.
TABLE: Final = 16  # not a leaf: the entry points to a table of 512 sptes
CHILD: Final = 32  # a table for this region exists and is hashed, linked or not
NOT_TABLE: Final = 0xFF ^ TABLE


class Level(IntEnum):
    """The page-table level of a leaf, as the kernel numbers it."""

    SMALL = 1  # PG_LEVEL_4K
    LARGE = 2  # PG_LEVEL_2M


class Edit(IntEnum):
    """One change to one spte."""

    KEEP = 0
    WRITE_PROTECT = 1  # clear W (spte_write_protect)
    ZAP = 2  # make it non-present (drop_spte, drop_large_spte)


class Spte(NamedTuple):
    """A leaf as a policy sees it."""

    level: Level
    present: bool
    writable: bool
    mmu_writable: bool

    @classmethod
    def from_bits(cls, level: int, bits: int) -> Spte:
        """Decode the byte of a page or of a region."""
        return cls(
            Level(level), bool(bits & PRESENT), bool(bits & WRITABLE), bool(bits & MMU_WRITABLE)
        )

    def __str__(self) -> str:
        if not self.present:
            return "NONPRESENT"
        return f"{self.level.name}_{'RW' if self.writable else 'RO'}"
