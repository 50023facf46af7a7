"""The livelock of the thread of November 2012 as a scenario with parameters (domain, D.5).

The guest maps gfns 0..511 twice. Its first alias goes through tables elsewhere. Its second goes
through gfn 4 (X), a page table inside the range that the alias maps. Step 1: a large read-write
spte of the first alias exists. Step 2: a read of a neighbour shadows X. Step 3: this write-protects
the range. Step 4: the guest stores to gfn 4.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from mmusim.mmu.soft.guest import GuestMemory, GuestTables
from mmusim.mmu.soft.options import Access, Instruction, Options
from mmusim.mmu.soft.state import SoftMmu

X: Final = 4
"""gfn of the page-table page that is written."""
ROOT: Final = 2048
FIRST, SECOND, THIRD = 0, 1 << 39, 2 << 39
"""First addresses of the aliases: three entries of the root, so they share no other table."""
NEIGHBOUR: Final = 512
UNUSED: Final = 400
"""Entry of X that translates nothing. The store goes there."""


class Parts(NamedTuple):
    """A guest that is set up: steps 1 to 3 are the accesses of `setup`, step 4 is `store`."""

    mmu: SoftMmu
    setup: tuple[Access, Access]
    store: Access


@dataclass(frozen=True, slots=True)
class PageTableWrite:
    """A store to a page-table page. The defaults are the corner that loops."""

    shadow_paging: bool = True
    chain_contains_x: bool = True
    """The store goes through the alias that X helps to translate; otherwise through another one."""
    large_guest_page: bool = True
    """The guest maps the address of the store with a 2 MiB page."""
    table_level: int = 2
    """Level of X in the chain of the second alias."""
    emulatable: bool = False
    writes_page_tables: bool = True
    """The instruction is of a kind that guests use to edit page tables (mov, xchg, cmpxchg)."""
    vectoring: bool = False
    """The CPU makes the store while it delivers an exception."""
    options: Options = field(default_factory=Options)

    def __post_init__(self) -> None:
        """Refuse a chain that cannot be."""
        if not self.leaf <= self.table_level <= 3:
            size = "2 MiB" if self.large_guest_page else "4 KiB"
            raise ValueError(
                f"table_level = {self.table_level}: below the root the chain of a {size} guest "
                f"page has tables of levels {self.leaf} to 3; choose one of them"
            )

    @property
    def leaf(self) -> int:
        """Level of the guest's leaf that translates the store."""
        return 2 if self.large_guest_page else 1

    def build(self) -> Parts:
        """Build the guest's tables; return an MMU that shadows none of them yet, and the
        accesses.
        """
        memory = GuestMemory()
        tables = GuestTables(memory, ROOT, range(ROOT + 1, ROOT + 100))
        through = {self.table_level: X}
        tables.map(FIRST, 0, level=2)
        tables.map(SECOND + (X << 12), X, level=self.leaf, through=through)
        neighbour = X + 1 if self.table_level == 1 else NEIGHBOUR
        tables.map(SECOND + (neighbour << 12), neighbour, level=self.leaf)
        tables.map(THIRD + (X << 12), X)
        alias = SECOND if self.chain_contains_x else FIRST if self.large_guest_page else THIRD
        instruction = Instruction(
            emulatable=self.emulatable, writes_page_tables=self.writes_page_tables
        )
        return Parts(
            SoftMmu(memory, ROOT, self.options, direct=not self.shadow_paging),
            (Access(FIRST + (X + 1 << 12), write=True), Access(SECOND + (neighbour << 12))),
            Access(alias + (X << 12) + (UNUSED << 3), True, 0, instruction, self.vectoring),
        )
