"""The guest's memory, and its page tables: four levels of 512 entries (x86-64)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

PRESENT: Final = 1
WRITABLE: Final = 2
LARGE: Final = 0x80  # PS: a leaf of 2 MiB, at level 2 only
ROOT_LEVEL: Final = 4
ENTRIES: Final = 512


def gpte(gfn: int, *, writable: bool = True, large: bool = False) -> int:
    """Return a present page-table entry, 64 bits as the CPU reads them, that points to `gfn`."""
    return gfn << 12 | PRESENT | (WRITABLE if writable else 0) | (LARGE if large else 0)


def index_of(gva: int, level: int) -> int:
    """Return which entry, 0 to 511, of a table at `level` 1 to 4 translates `gva`."""
    return gva >> 12 + 9 * (level - 1) & ENTRIES - 1


def base_gfn(gfn: int, level: int) -> int:
    """Return the first gfn of the range that one leaf at `level` maps: 512 ** (level - 1) pages."""
    return gfn >> 9 * (level - 1) << 9 * (level - 1)


class GuestMemory:
    """Guest physical memory in words of 8 bytes. Unwritten words are zero."""

    def __init__(self) -> None:
        """Start with zeros everywhere."""
        self._words: dict[tuple[int, int], int] = {}

    def read(self, gfn: int, index: int) -> int:
        """Return word `index`, 0 to 511, of page `gfn`."""
        return self._words.get((gfn, index), 0)

    def write(self, gfn: int, index: int, value: int) -> None:
        """Store word `index`, 0 to 511, of page `gfn`."""
        self._words[gfn, index] = value


class GuestWalk(NamedTuple):
    """The result of a walk of the guest's tables (struct guest_walker)."""

    gva: int
    gfn: int  # the 4 KiB page that gva lies in
    level: int  # of the guest's leaf
    writable: bool  # pte_access: W of all entries together
    tables: Mapping[int, int]  # level -> gfn of the table that was read there (table_gfn)
    inherited: Mapping[int, bool]  # level -> W of all entries above that table (pt_access)


def walk_addr(memory: GuestMemory, cr3: int, gva: int) -> GuestWalk | None:
    """Walk the guest's tables as the CPU would (FNAME(walk_addr)).

    `cr3` is the gfn of the root, `gva` a guest address in bytes. None is a #PF of the guest: an
    entry on the way is not present.
    """
    tables: dict[int, int] = {}
    inherited: dict[int, bool] = {}
    table, writable = cr3, True
    for level in range(ROOT_LEVEL, 0, -1):
        tables[level], inherited[level] = table, writable
        entry = memory.read(table, index_of(gva, level))
        if not entry & PRESENT:
            return None
        writable = writable and bool(entry & WRITABLE)
        frame = entry >> 12
        if level == 1 or (level == 2 and entry & LARGE):
            gfn = base_gfn(frame, level) | gva >> 12 & ENTRIES ** (level - 1) - 1
            return GuestWalk(gva, gfn, level, writable, tables, inherited)
        table = frame
    raise AssertionError("level 1 is always a leaf")


class GuestTables:
    """A guest that builds page tables: an address space with its root at gfn `cr3`."""

    def __init__(self, memory: GuestMemory, cr3: int, spare: Iterable[int]) -> None:
        """`spare` gives the gfns of new tables, in order."""
        self.memory, self.cr3 = memory, cr3
        self._spare: Iterator[int] = iter(spare)

    def map(
        self, gva: int, gfn: int, *, level: int = 1, writable: bool = True,
        through: Mapping[int, int] | None = None,
    ) -> None:  # fmt: skip
        """Map one page, of 2 MiB at level 2, and make the missing tables.

        `through` names the gfn of the table to make at a level: ``{2: 4}`` makes gfn 4 the page
        directory.
        """
        table = self.cr3
        for above in range(ROOT_LEVEL, level, -1):
            index = index_of(gva, above)
            entry = self.memory.read(table, index)
            if not entry & PRESENT:
                chosen = (through or {}).get(above - 1)
                entry = gpte(next(self._spare) if chosen is None else chosen)
                self.memory.write(table, index, entry)
            table = entry >> 12
        leaf = gpte(base_gfn(gfn, level), writable=writable, large=level == 2)
        self.memory.write(table, index_of(gva, level), leaf)
