"""Counters under the kernel's own names (KVM binary statistics, ``struct kvm_stat_data``)."""

from __future__ import annotations

from typing import Final

NAMES: Final = (
    "pf_taken",  # page faults of the guest that exited
    "pf_fixed",  # faults that installed or repaired an spte; includes pf_fast, as in Linux 6.1
    "pf_fast",  # faults repaired without mmu_lock
    "pf_spurious",  # faults that found the entry already good
    "pages_4k",  # 4 KiB leaves present, those of unlinked tables included
    "pages_2m",  # 2 MiB leaves present
    "pages_1g",  # 1 GiB leaves present
    "nx_lpage_splits",  # ranges that the NX mitigation keeps small
    "remote_tlb_flush",  # flushes carried out
    "remote_tlb_flush_requests",  # flushes asked for
    "tables",  # page tables in existence; from here on the model's own, no kernel statistics
    "ring_fulls",  # exits because a dirty ring was full
    "ring_entries",  # entries that were harvested from dirty rings
)

(
    PF_TAKEN, PF_FIXED, PF_FAST, PF_SPURIOUS, PAGES_4K, PAGES_2M, PAGES_1G, NX_LPAGE_SPLITS,
    REMOTE_TLB_FLUSH, REMOTE_TLB_FLUSH_REQUESTS, TABLES, RING_FULLS, RING_ENTRIES,
) = range(len(NAMES))  # fmt: skip
