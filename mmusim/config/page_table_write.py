"""The phase `write-page-table`: a guest under shadow paging writes to one of its page tables."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mmusim.config.phase import GuestPhase
from mmusim.mmu.soft import LargeLeaf, Options, PageTableWrite, Retry


class WritePageTable(GuestPhase):
    """vCPU 0 stores to a page-table page (gfn 4) until it makes progress or KVM gives up.

    The scenario of the thread of November 2012 (domain, D.5) on a guest of its own: the phase
    shares mmu_lock, flushes and costs with the other phases, and no page tables. The other vCPUs
    run in the guest meanwhile and are hit by the flushes. The defaults loop.
    """

    do: Literal["write-page-table"]
    shadow_paging: bool = True
    """False: two-dimensional paging, where nothing is shadowed."""
    chain_contains_x: bool = True
    """gfn 4 is among the tables that translate the address of the store."""
    large_guest_page: bool = True
    """The guest maps that address with a 2 MiB page."""
    table_level: Annotated[int, Field(ge=1, le=3)] = 2
    """Level of gfn 4 as a page table."""
    emulatable: bool = False
    """The emulator knows the instruction."""
    writes_page_tables: bool = True
    """It is of a kind that guests edit page tables with; if not, KVM retries before it emulates."""
    vectoring: bool = False
    """The CPU stores while it delivers an exception."""
    large_spte: Literal["policy", "drop", "read-only", "retry"] = "policy"
    """What becomes of a large spte over a shadowed page; `policy`: what the policy does to it when
    the log is armed."""
    level_chosen: Literal["before-shadowing", "after-shadowing"] = "before-shadowing"
    """Whether the level of a mapping is chosen before the tables of its walk are shadowed."""
    self_change_check: bool = False
    """is_self_change_mapping: 4 KiB where a table of the walk lies in the mapped range."""
    retry_memory: Literal["none", "last-rip", "write-fault-to-sp", "write-protect-fault"] = (
        "last-rip"
    )
    """What keeps KVM from retrying one instruction for ever: nothing, last_retry_eip (3.3),
    write_fault_to_shadow_pgtable (3.9), the write-protect fault handler (6.13)."""

    @model_validator(mode="after")
    def _a_chain_that_can_be(self) -> Self:
        self.scenario(LargeLeaf.DROP)
        return self

    def scenario(self, by_policy: LargeLeaf) -> PageTableWrite:
        """Return the scenario; `by_policy` is what the policy does to large sptes."""
        large = by_policy if self.large_spte == "policy" else LargeLeaf(self.large_spte)
        before = self.level_chosen == "before-shadowing"
        return PageTableWrite(
            self.shadow_paging, self.chain_contains_x, self.large_guest_page, self.table_level,
            self.emulatable, self.writes_page_tables, self.vectoring,
            Options(large, before, self.self_change_check, Retry(self.retry_memory)),
        )  # fmt: skip
