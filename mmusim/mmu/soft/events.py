"""Events of a fault: one class for each thing that costs time or belongs to the story."""

from __future__ import annotations

from typing import NamedTuple


def pages(gfn: int, level: int) -> str:
    """Return the name of what a leaf of `level` 1 or 2 maps, for the story: a gfn, or a range of
    512.
    """
    return f"gfn {gfn}" if level == 1 else f"gfns {gfn}..{gfn + 511}"


class Faulted(NamedTuple):
    """The guest's access faulted and exited."""

    gva: int
    gfn: int
    write: bool

    def __str__(self) -> str:
        kind = "writes" if self.write else "reads"
        return f"the guest {kind} gfn {self.gfn} through gva {self.gva:#x}: fault, VM exit"


class Walked(NamedTuple):
    """KVM walked the guest's tables."""

    tables: tuple[int, ...]  # gfns, root first

    def __str__(self) -> str:
        return f"the guest's tables are walked: gfns {', '.join(map(str, self.tables))}"


class LevelChosen(NamedTuple):
    """The level at which the fault wants to map."""

    level: int
    disallowed: int

    def __str__(self) -> str:
        if self.level == 2:
            return "no page of the range is shadowed: a large spte is allowed"
        return f"4 KiB is chosen (disallow_lpage of the range is {self.disallowed})"


class Locked(NamedTuple):
    """mmu_lock is taken."""

    def __str__(self) -> str:
        return "mmu_lock is taken"


class Unlocked(NamedTuple):
    """mmu_lock is released."""

    def __str__(self) -> str:
        return "mmu_lock is released"


class Shadowed(NamedTuple):
    """KVM made an indirect shadow page and write-protected its guest table."""

    gfn: int
    level: int
    chain: int  # rmap entries visited
    disallowed: int

    def __str__(self) -> str:
        return (
            f"gfn {self.gfn} is shadowed as a table of level {self.level}; "
            f"disallow_lpage of its range is {self.disallowed}"
        )


class TableMade(NamedTuple):
    """A direct shadow page was made."""

    gfn: int
    level: int

    def __str__(self) -> str:
        return f"a direct table of level {self.level} for gfn {self.gfn} is made"


class Protected(NamedTuple):
    """Sptes lost W, because their page is shadowed or logged."""

    gfn: int
    level: int
    zapped: bool

    def __str__(self) -> str:
        what = "the large spte of " if self.level == 2 else "the spte of "
        done = "dropped" if self.zapped else "made read-only"
        return f"write protection: {what}{pages(self.gfn, self.level)} is {done}"


class LargeDropped(NamedTuple):
    """A large spte was removed to make room for a table (drop_large_spte)."""

    gfn: int

    def __str__(self) -> str:
        return f"the large spte of {pages(self.gfn, 2)} is dropped to make way for a table"


class LargeRefused(NamedTuple):
    """A writable large leaf was refused, because a page in its range is shadowed."""

    gfn: int
    kept: str  # what was done instead

    def __str__(self) -> str:
        return f"a writable large spte of {pages(self.gfn, 2)} is refused: {self.kept}"


class Mapped(NamedTuple):
    """A leaf was installed."""

    gfn: int
    level: int
    writable: bool

    def __str__(self) -> str:
        size, access = ("4 KiB", "large")[self.level - 1], ("read-only", "read-write")
        return f"a {size} {access[self.writable]} spte maps {pages(self.gfn, self.level)}"


class Unsynced(NamedTuple):
    """A table of level 1 went unsync: the guest may write it until the next sync point."""

    gfn: int

    def __str__(self) -> str:
        return f"the table at gfn {self.gfn} goes out of sync and may be written"


class Synced(NamedTuple):
    """A table of level 1 was read again."""

    gfn: int

    def __str__(self) -> str:
        return f"the table at gfn {self.gfn} is synchronized"


class Zapped(NamedTuple):
    """A shadow page was taken apart."""

    gfn: int
    level: int
    direct: bool
    why: str

    def __str__(self) -> str:
        return f"the shadow page of gfn {self.gfn} (level {self.level}) is zapped: {self.why}"


class Flushed(NamedTuple):
    """All TLBs of the VM are flushed."""

    def __str__(self) -> str:
        return "remote TLB flush"


class RmapRecycled(NamedTuple):
    """An rmap chain was too long, and KVM dropped all its sptes."""

    gfn: int
    entries: int

    def __str__(self) -> str:
        return f"the rmap chain of gfn {self.gfn} has {self.entries} entries: all are dropped"


class MustEmulate(NamedTuple):
    """The page must stay write-protected (RET_PF_EMULATE)."""

    gfn: int

    def __str__(self) -> str:
        return f"gfn {self.gfn} is a shadowed page table: the write must be emulated"


class Emulated(NamedTuple):
    """The emulator did the store."""

    gfn: int

    def __str__(self) -> str:
        return f"the store to gfn {self.gfn} is emulated"


class EmulationFailed(NamedTuple):
    """The emulator does not know the instruction."""

    rip: int

    def __str__(self) -> str:
        return f"emulation of the instruction at {self.rip:#x} fails"


class Unprotected(NamedTuple):
    """Every indirect shadow page of a gfn was zapped (kvm_mmu_unprotect_page)."""

    gfn: int
    zapped: int
    disallowed: int

    def __str__(self) -> str:
        return (
            f"gfn {self.gfn} is unshadowed (shadow pages zapped: {self.zapped}); "
            f"disallow_lpage of its range is {self.disallowed}"
        )


class ReportedError(NamedTuple):
    """User space gets KVM_EXIT_INTERNAL_ERROR."""

    def __str__(self) -> str:
        return "no retry: user space gets KVM_EXIT_INTERNAL_ERROR"


class Injected(NamedTuple):
    """The guest's own tables forbid the access: KVM injects #PF into the guest."""

    def __str__(self) -> str:
        return "the guest's own tables forbid it: #PF for the guest"


class Entered(NamedTuple):
    """The exit ends. The guest goes on, or tries again."""

    def __str__(self) -> str:
        return "the guest is entered again"


class Stored(NamedTuple):
    """The guest's access succeeded by itself."""

    gfn: int
    write: bool

    def __str__(self) -> str:
        return f"the guest's {'write' if self.write else 'read'} of gfn {self.gfn} succeeds"


Event = (
    Faulted | Walked | LevelChosen | Locked | Unlocked | Shadowed | TableMade | Protected
    | LargeDropped | LargeRefused | Mapped | Unsynced | Synced | Zapped | Flushed | RmapRecycled
    | MustEmulate | Emulated | EmulationFailed | Unprotected | ReportedError
    | Injected | Entered | Stored
)  # fmt: skip
