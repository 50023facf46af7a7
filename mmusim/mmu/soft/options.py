"""Options: the kernel's historical behaviours, and the instruction that faults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple


class LargeLeaf(StrEnum):
    """What happens to a large leaf over a shadowed page."""

    DROP = "drop"  # zapped, and a write is emulated (set_spte up to Linux 3.8)
    READ_ONLY = "read-only"  # stays or comes without W, a write is emulated (the 2012 patch)
    RETRY = "retry"  # zapped; set_spte installs nothing and lets the guest fault again (3.9)


class Retry(StrEnum):
    """What stops KVM from unprotecting a page and retrying the same instruction for ever."""

    NONE = "none"
    LAST_RIP = "last-rip"
    """last_retry_eip/addr (1cb3f3ae5a38, 3.3): only where emulation would have been possible."""
    WRITE_FAULT_TO_SP = "write-fault-to-sp"
    """Also write_fault_to_shadow_pgtable (93c05d3ef252, 3.9): KVM reports a failed emulation of a
    write to a table of its own walk to user space.
    """
    WRITE_PROTECT_FAULT = "write-protect-fault"
    """The write-protect fault handler decides, once for each instruction and address (6.13). It
    stands alone here; the real 6.13 keeps the check of 3.9 beside it.
    """


@dataclass(frozen=True, slots=True)
class Options:
    """The behaviours of a kernel that decide whether a fault makes progress."""

    large: LargeLeaf = LargeLeaf.DROP
    level_before_shadowing: bool = True
    """mapping_level() comes before the shadowing of the walk's own tables and reads a stale
    lpage_info. False: after it, as since 4cd071d13c5c (5.6).
    """
    self_change_check: bool = False
    """is_self_change_mapping (7751babd3c6d, 3.9): 4 KiB if the walk's tables lie in the range."""
    retry: Retry = Retry.LAST_RIP
    max_shadow_pages: int = 1 << 20
    """n_max_mmu_pages: KVM recycles the oldest shadow pages above this number."""


KERNELS: Final[Mapping[str, Options]] = {
    "linux-3.2": Options(retry=Retry.NONE),
    "linux-3.7": Options(),
    "lazily drop large spte": Options(LargeLeaf.READ_ONLY),
    "linux-3.9": Options(LargeLeaf.RETRY, True, True, Retry.WRITE_FAULT_TO_SP),
    "linux-6.13": Options(LargeLeaf.READ_ONLY, False, False, Retry.WRITE_PROTECT_FAULT),
}
"""Presets; the third is Linux 3.7 with the patch of November 2012."""


class Instruction(NamedTuple):
    """The guest's instruction as the emulator sees it."""

    rip: int = 0x1000
    emulatable: bool = True
    writes_page_tables: bool = True
    """x86_page_table_writing_insn: a kind of instruction that guests use to edit tables (mov, xchg,
    cmpxchg).
    """


class Access(NamedTuple):
    """A load, or a store of one aligned 8-byte word."""

    gva: int
    write: bool = False
    value: int = 0
    instruction: Instruction = Instruction()
    vectoring: bool = False
    """The CPU makes it while it delivers an exception."""
