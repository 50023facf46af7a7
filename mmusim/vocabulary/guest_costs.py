"""Costs of the guest, its exits, its faults, and flushes (domain, H.1, H.2, H.4)."""

from __future__ import annotations

from typing import Final

from mmusim.vocabulary.cost import cost, lognormal, vcpu_cost

T_HIT_2M: Final = vcpu_cost(
    "t_hit_2M", "access", "guest access through a 2 MiB mapping, from issue to completion",
    {"lognormal": {"mean": "23ns", "p99": "90ns"}},
    "H.1: mean of a page-stride read through 2 MiB EPT",
)  # fmt: skip
T_WRITE: Final = vcpu_cost(
    "t_write", "write", "extra time of a write over a read", "158ns",
    "H.1: 181 ns a write that is not logged, less the 23 ns of a read",
)  # fmt: skip
T_WALK_4K: Final = vcpu_cost(
    "t_walk_4K", "access",
    "extra time of an access through a 4 KiB mapping over one of 2 MiB",
    {"gamma": {"mean": "15ns", "cv": 1.0}}, "H.1: 0-40 ns an access, where the TLB misses",
)  # fmt: skip
T_PASS: Final = vcpu_cost(
    "t_pass", "vCPU and phase",
    "once a vCPU and phase: loop set-up, timer, entry from user space", "0ns",
    "no loop or timer overhead",
)  # fmt: skip
C_EXIT: Final = vcpu_cost(
    "c_exit", "exit", "VM exit and dispatch", lognormal("250ns", "550ns"),
    "H.1: 55 % of 0.45 us; CPUID exit 1,018-1,053 cycles, vmcall 1,529-1,559 cycles",
)  # fmt: skip
C_ENTRY: Final = vcpu_cost(
    "c_entry", "entry", "VM entry", lognormal("200ns", "450ns"), "H.1: the other 45 %"
)
C_FAULT_SLOW: Final = vcpu_cost(
    "c_fault_slow", "fault", "slow page fault uncontended, in all, exit and entry included",
    lognormal("1.22us", "3us"), "H.2: uncontended total",
)  # fmt: skip
C_FAULT_FAST: Final = vcpu_cost(
    "c_fault_fast", "fault", "fault fixed by fast_page_fault, in all, exit and entry included",
    lognormal("1.1us", "2.2us"), "H.2: 0.296-0.313 s / 262,144 for 2-32 vCPUs",
)  # fmt: skip
C_LOCK_SECTION: Final = cost(
    "c_lock_section", "fault", "the part of c_fault_slow that is spent holding mmu_lock", "150ns",
    "H.2: 0.35 us held at 2 vCPUs with the hand-off in it; the hand-off is c_lock_handoff",
)  # fmt: skip
C_LOCK_HANDOFF: Final = cost(
    "c_lock_handoff", "hand-off", "pass mmu_lock on to the next holder, times log2(1 + waiters)",
    "140ns", "H.4: 60-150 ns a hand-off across cores, 200-400 ns across sockets",
)  # fmt: skip
C_LOCK_COUNT: Final = cost(
    "c_lock_count", "entry or exit of a reader",
    "get the cache line of a rwlock's reader count, to enter or to leave", "75ns",
    "H.2: two atomic operations of 50-100 ns a fault",
)  # fmt: skip
C_ALLOC_TABLE: Final = vcpu_cost(
    "c_alloc_table", "table", "get, zero and link a page table, under mmu_lock",
    {
        "mixture": {
            "parts": [
                {"weight": 9999, "of": lognormal("350ns", "2us")},
                {"weight": 1, "of": {"quantiles": {"p": [0, 1], "value": ["20us", "100us"]}}},
            ]
        }
    },
    "H.2: tail 20-100 us when memory must be reclaimed, p = 1e-4",
)  # fmt: skip
C_ZAP_LARGE: Final = vcpu_cost(
    "c_zap_large", "leaf", "zap one large leaf, rmap included", "150ns",
    "H.2: zap one large leaf, legacy, rmap included",
)  # fmt: skip
C_SPLIT_2M: Final = cost(
    "c_split_2M", "split",
    "replace a 2 MiB leaf by a table of 512 small ones, each entered in its rmap", "16us",
    "H.2: 23.6 us in an enabling of 2 GiB, less 512 c_dclear",
)  # fmt: skip
C_TDP_SPLIT_2M: Final = vcpu_cost(
    "c_tdp_split_2M", "split",
    "replace a 2 MiB leaf by a table of 512 small ones in the TDP MMU, which has no rmap",
    "3.2us",
    "5 % writes, split on fault (2022): 19.6 ms less 13,107 fast faults and reads, by 512",
)  # fmt: skip
C_SPLIT_1G: Final = vcpu_cost(
    "c_split_1G", "split", "replace a 1 GiB leaf by a table of 512 of 2 MiB", "24us",
    "H.2: as one c_split_2M; 512 of these follow",
)  # fmt: skip
C_FLUSH_INIT: Final = vcpu_cost(
    "c_flush_init", "flush", "start a remote TLB flush", lognormal("1us", "3us"),
    "H.4: 1.0 us plus 0.2 us a target, tail x 3",
)  # fmt: skip
C_FLUSH_TARGET: Final = vcpu_cost(
    "c_flush_target", "target", "per vCPU in guest mode: send and collect its acknowledgement",
    "200ns", "H.4",
)  # fmt: skip
C_ACK: Final = vcpu_cost(
    "c_ack", "kick",
    "time of a kicked vCPU beyond c_exit: delivery of the interrupt, interrupts that are off",
    lognormal("1us", "5us"),
    "H.4: latency of the interrupt; 20-200 us more if a target runs with interrupts off",
)  # fmt: skip
C_IN_FLIGHT: Final = cost(
    "c_in_flight", "entry or exit",
    "the part of c_entry before the guest, and of c_exit behind it, in which a flush still kicks "
    "the vCPU and waits for it", "0ns",
    "vcpu_enter_guest: vcpu->mode is IN_GUEST_MODE from shortly before the entry until shortly "
    "after the exit",
)  # fmt: skip
C_REFILL_2M: Final = cost(
    "c_refill_2M", "mapping",
    "walk again for one 2 MiB mapping that was in use when the TLB was flushed", "30ns",
    "H.1: per touched mapping",
)  # fmt: skip
C_REFILL_4K: Final = cost(
    "c_refill_4K", "mapping",
    "walk again for one 4 KiB mapping that was in use when the TLB was flushed", "45ns",
    "H.1: per touched mapping",
)  # fmt: skip
C_TLB_FLUSH: Final = vcpu_cost(
    "c_tlb_flush", "flush", "flush a vCPU's own TLB before it enters the guest", "200ns", "H.4"
)
C_WALK_GUEST: Final = vcpu_cost(
    "c_walk_guest", "fault",
    "walk the guest's page tables in software, for one fault of the soft MMU",
    lognormal("150ns", "600ns"),
    "four reads of guest memory by the host, mostly cached; tail of c_gup (H.2)",
)  # fmt: skip
C_SP_SHADOW: Final = cost(
    "c_sp_shadow", "shadow page", "make or zap an indirect shadow page, its rmap chain apart",
    {"quantiles": {"p": [0, 1], "value": ["2us", "5us"]}},
    "H.2: 2-5 us to create or zap an indirect shadow page",
)  # fmt: skip
C_SP_CHAIN: Final = cost(
    "c_sp_chain", "rmap entry", "visit one entry of an rmap chain", "20ns", "H.2: chain x 20 ns"
)
C_EMULATE: Final = cost(
    "c_emulate", "store", "decode and emulate one store, or find that it cannot be done",
    lognormal("1.5us", "4us"), "H.2: decode, emulate one store, page-table-write hook",
)  # fmt: skip
C_SRCU: Final = cost(
    "c_srcu", "change of a slot", "slots_lock and grace period of a change of a memory slot",
    lognormal("60us", "2ms"), "H.2: expedited grace period",
)  # fmt: skip
