"""Counters of a VM, under the kernel's own names where the kernel has them.

The constants are the places of the counters in the page table's ``stat`` array. ``kvm_stat`` is
the KVM binary statistics (``struct kvm_vcpu_stat``, ``struct kvm_vm_stat``; domain, G.3).
"""

from __future__ import annotations

from typing import Final

from mmusim.vocabulary.terms import Better, Term, Vocabulary

COUNTERS: Final[Vocabulary[Term]] = Vocabulary("counter")


def _counter(
    name: str, meaning: str, source: str = "kvm_stat", *, better: Better = Better.NEITHER
) -> int:
    return COUNTERS.add(Term(name=name, unit="", better=better, meaning=meaning, source=source))


_OWN: Final = "the model's own"

PF_TAKEN: Final = _counter("pf_taken", "page faults of the guest that exited", better=Better.LOWER)
PF_FIXED: Final = _counter(
    "pf_fixed", "faults that installed or repaired an spte; includes pf_fast, as in Linux 6.1"
)
PF_FAST: Final = _counter("pf_fast", "faults repaired without mmu_lock")
PF_SPURIOUS: Final = _counter("pf_spurious", "faults that found the entry already good")
PAGES_4K: Final = _counter("pages_4k", "4 KiB leaves present, those of unlinked tables included")
PAGES_2M: Final = _counter("pages_2m", "2 MiB leaves present")
PAGES_1G: Final = _counter("pages_1g", "1 GiB leaves present")
NX_LPAGE_SPLITS: Final = _counter("nx_lpage_splits", "ranges that the NX mitigation keeps small")
REMOTE_TLB_FLUSH: Final = _counter("remote_tlb_flush", "flushes carried out", better=Better.LOWER)
REMOTE_TLB_FLUSH_REQUESTS: Final = _counter("remote_tlb_flush_requests", "flushes asked for")
TABLES: Final = _counter("tables", "page tables in existence", _OWN)
RING_FULLS: Final = _counter(
    "ring_fulls", "exits because a dirty ring was full (KVM_EXIT_DIRTY_RING_FULL)", _OWN,
    better=Better.LOWER,
)  # fmt: skip
RING_ENTRIES: Final = _counter("ring_entries", "entries harvested from dirty rings", _OWN)
