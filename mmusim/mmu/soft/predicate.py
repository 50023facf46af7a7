"""When a store to a page-table page never succeeds: domain D.3, without the mechanism.

D.3 gives one list of premises for what are three loops. This module keeps each premise, at the loop
to which it belongs. ``docs/explanation/semantics.md`` says where that differs from the list, and
tests show it.
"""

from __future__ import annotations

from mmusim.mmu.soft.options import LargeLeaf, Retry
from mmusim.mmu.soft.scenario import PageTableWrite


def loops(c: PageTableWrite) -> bool:
    """Tell whether KVM retries the store of a corner for ever.

    All loops share three premises: the soft MMU, X in the chain of the written address, and a
    shadow page of X above level 1, which never goes out of sync. Translating the store then needs
    the shadow page that forbids it.
    """
    if not (c.shadow_paging and c.chain_contains_x and c.table_level > 1):
        return False
    return refused_while_vectoring(c) or retried_unemulated(c) or retried_unguarded(c)


def refused_while_vectoring(c: PageTableWrite) -> bool:
    """The fault arises while an exception is delivered: KVM unshadows X before it handles the
    fault.

    KVM chooses the level before it shadows X again, so the level is large if the guest's page is.
    It then refuses the large spte. If a refusal means "try again" (3.9), KVM emulates nothing and
    asks no memory of a retry. 7751babd3c6d ends this loop.
    """
    options = c.options
    stale = c.large_guest_page and options.level_before_shadowing and not options.self_change_check
    return c.vectoring and stale and options.large is LargeLeaf.RETRY


def retried_unemulated(c: PageTableWrite) -> bool:
    """KVM cannot emulate the instruction, and reexecute_instruction retries without a memory.

    This is the loop of the thread. last_retry_eip of 3.3 does not guard this path (D.4, first row).
    """
    return not c.emulatable and c.options.retry in (Retry.NONE, Retry.LAST_RIP)


def retried_unguarded(c: PageTableWrite) -> bool:
    """KVM could emulate the instruction, but before 3.3 retry_instruction always unshadows
    instead.
    """
    return c.emulatable and not c.writes_page_tables and c.options.retry is Retry.NONE
