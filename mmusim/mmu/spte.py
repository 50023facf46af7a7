"""The bits of a shadow page-table entry (spte), and the edits that KVM makes."""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

# Bits of a leaf, the same in the bytes of a 4 KiB page, a 2 MiB region and a 1 GiB range.
PRESENT: Final = 1
WRITABLE: Final = 2  # W: clearing it is write-protecting
MMU_WRITABLE: Final = 4  # no shadowed page inside: W may be restored without mmu_lock
DIRTY: Final = 8  # the hardware D bit; clear on a writable leaf that PML has armed
LEAF: Final = PRESENT | WRITABLE | MMU_WRITABLE | DIRTY
NOT_LEAF: Final = 0xFF ^ LEAF
ACCESS: Final = PRESENT | WRITABLE | MMU_WRITABLE  # the bits that policies see
TO_READ: Final = PRESENT  # the bits that an access needs to pass without a fault or a log entry
TO_WRITE: Final = PRESENT | WRITABLE | DIRTY

LEVEL_1G: Final = 3

# What a TLB may still hold although the entry was revoked; the next flush ends it.
TLB_READ: Final = 64
TLB_WRITE: Final = 128

# Only in the byte of a page.
LOGGED: Final = 16  # its bit in the slot's dirty bitmap
STALE: Final = 32  # written since the last copy: the destination has an old version

# Only in the bytes of regions and 1 GiB ranges.
TABLE: Final = 16  # not a leaf: the entry points to a table of 512 entries
CHILD: Final = 32  # a table for this range exists and is hashed, linked or not
NOT_TABLE: Final = 0xFF ^ TABLE


class Level(IntEnum):
    """The page-table level of a leaf as policies see it, numbered as the kernel does."""

    SMALL = 1  # PG_LEVEL_4K
    LARGE = 2  # PG_LEVEL_2M, and PG_LEVEL_1G alike


class Edit(IntEnum):
    """One change to one spte."""

    KEEP = 0
    WRITE_PROTECT = 1  # clear W (spte_write_protect)
    ZAP = 2  # make it non-present (drop_spte, drop_large_spte)
    SPLIT = 3  # replace a large one by a table of 512 small ones with its permissions


class Spte(NamedTuple):
    """A leaf as a policy sees it."""

    level: Level
    present: bool
    writable: bool
    mmu_writable: bool

    @classmethod
    def from_bits(cls, level: int, bits: int) -> Spte:
        """Decode the byte of a page (`level` 1), of a region (2) or of a 1 GiB range (3)."""
        return cls(
            Level.SMALL if level == 1 else Level.LARGE,
            bool(bits & PRESENT),
            bool(bits & WRITABLE),
            bool(bits & MMU_WRITABLE),
        )

    def __str__(self) -> str:
        if not self.present:
            return "NONPRESENT"
        return f"{self.level.name}_{'RW' if self.writable else 'RO'}"
