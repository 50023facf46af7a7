"""The phase `write-page-table`: a guest under shadow paging writes to one of its page tables."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mmusim.base.quantities import shown
from mmusim.config.phase import GuestPhase
from mmusim.mmu.soft import LargeLeaf, Options, PageTableWrite, Retry


class WritePageTable(GuestPhase):
    """vCPU 0 stores to a page-table page (gfn 4) until it makes progress or KVM gives up.

    This is the scenario of the thread of November 2012 (domain, D.5) on a guest of its own. The
    phase shares mmu_lock, flushes and costs with the other phases, and no page tables. The other
    vCPUs run in the guest meanwhile, and the flushes hit them. With the defaults the store loops.
    """

    do: Annotated[Literal["write-page-table"], shown("write-page-table")]
    """The kind of phase."""
    shadow_paging: Annotated[bool, shown(False)] = True
    """The guest runs under shadow paging. If not, nothing is shadowed."""
    chain_contains_x: Annotated[bool, shown(False)] = True
    """gfn 4 is among the page tables that translate the address of the store."""
    large_guest_page: Annotated[bool, shown(False)] = True
    """The guest maps that address with a 2 MiB page."""
    table_level: Annotated[int, Field(ge=1, le=3), shown(2, "level")] = 2
    """Level of gfn 4 as a page table."""
    emulatable: Annotated[bool, shown(True)] = False
    """The emulator knows the instruction."""
    writes_page_tables: Annotated[bool, shown(False)] = True
    """The instruction is of a kind that guests use to edit page tables. For others KVM retries
    before it emulates.
    """
    vectoring: Annotated[bool, shown(True)] = False
    """The CPU stores while it delivers an exception."""
    large_spte: Annotated[Literal["policy", "drop", "read-only", "retry"], shown("drop")] = "policy"
    """What happens to a large spte over a shadowed page. `policy`: what the policy does when it
    arms the log.
    """
    level_chosen: Annotated[
        Literal["before-shadowing", "after-shadowing"], shown("after-shadowing")
    ] = "before-shadowing"
    """When KVM chooses the level of a mapping: before or after it shadows the tables of the walk.
    """
    self_change_check: Annotated[bool, shown(True)] = False
    """is_self_change_mapping: the level is 4 KiB where a table of the walk lies in the mapped
    range.
    """
    retry_memory: Annotated[
        Literal["none", "last-rip", "write-fault-to-sp", "write-protect-fault"],
        shown("write-fault-to-sp"),
    ] = "last-rip"
    """What stops KVM from retrying one instruction for ever: nothing, `last_retry_eip` (3.3),
    `write_fault_to_shadow_pgtable` (3.9), or the handler of write-protection faults (6.13).
    """

    @model_validator(mode="after")
    def _a_chain_that_can_be(self) -> Self:
        self.scenario(LargeLeaf.DROP)
        return self

    def scenario(self, by_policy: LargeLeaf) -> PageTableWrite:
        """Return the scenario; `by_policy` is how the policy treats large sptes."""
        large = by_policy if self.large_spte == "policy" else LargeLeaf(self.large_spte)
        before = self.level_chosen == "before-shadowing"
        return PageTableWrite(
            self.shadow_paging, self.chain_contains_x, self.large_guest_page, self.table_level,
            self.emulatable, self.writes_page_tables, self.vectoring,
            Options(large, before, self.self_change_check, Retry(self.retry_memory)),
        )  # fmt: skip
