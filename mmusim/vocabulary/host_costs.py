"""Costs of log operations, rings and migrations (domain, H.3 to H.5)."""

from __future__ import annotations

from typing import Final

from mmusim.vocabulary.cost import cost, lognormal, vcpu_cost

C_SCAN: Final = cost(
    "c_scan", "spte", "visit one spte in a walk over whole tables", "1.5ns",
    "H.3: 1-2 ns an spte, sequential",
)  # fmt: skip
C_HEAD: Final = cost(
    "c_head", "rmap head", "visit one rmap head", "3ns", "H.3: 1.58 ms / 524,288 rmap heads"
)
C_TDP_VISIT: Final = cost(
    "c_tdp_visit", "entry", "visit one present entry of a tree in the TDP MMU", "2ns",
    "H.3: as c_scan, a sequential read of an spte",
)  # fmt: skip
C_WCLEAR: Final = cost(
    "c_wclear", "leaf", "take W of one leaf through its rmap, or D when a get or clear does so",
    "30ns", "H.3: small VM, through the rmap; 41-51 ns in large VMs",
)  # fmt: skip
C_TDP_WCLEAR: Final = cost(
    "c_tdp_wclear", "leaf", "take W or D of one leaf in the TDP MMU", "74ns",
    "H.3: 1.834 s / 25.2 M leaves; gets and clears pay it before Linux 6.4, enabling still does",
)  # fmt: skip
C_TDP_CLEAR_BIT: Final = cost(
    "c_tdp_clear_bit", "leaf",
    "take W or D of one leaf in the TDP MMU by one AND, in a get, a clear or a ring reset since "
    "Linux 6.4", "43ns", "K.5: 1.794 s / 41.9 M leaves with 89c313f20c1e, 75 ns without",
)  # fmt: skip
C_DCLEAR: Final = cost(
    "c_dclear", "leaf",
    "take D of one small leaf in a walk over all rmap heads, when logging is enabled", "15ns",
    "H.3: 460 ms / 33.5 M leaves",
)  # fmt: skip
C_NESTED_WCLEAR: Final = cost(
    "c_nested_wclear", "leaf",
    "take W of one small leaf of a nested guest in a get, a clear or a ring reset since Linux 5.4: "
    "c_wclear, but no page of the host is marked dirty", "17ns",
    "H.2: enabling takes 23.6 us a 2 MiB with 2 GiB and 33 us with 64 GiB, of a nested guest 17 "
    "and 23 us: 13 and 19 ns a leaf, here 13, less than c_wclear: the line of struct page",
)  # fmt: skip
C_NESTED_ARM: Final = cost(
    "c_nested_arm", "leaf",
    "the same in a walk over all rmap heads, when logging is enabled, and of a leaf that is in the "
    "cache: c_dclear, but no page of the host is marked dirty", "2ns",
    "H.2: 13 ns less than c_dclear, see c_nested_wclear",
)  # fmt: skip
C_LARGE_CLEAR: Final = cost(
    "c_large_clear", "2 MiB", "walk down to a large leaf for the bits of 2 MiB, in the TDP MMU",
    "1us", "H.3: 49.7 ms / 49,152 on first CLEAR",
)  # fmt: skip
C_COLLAPSE: Final = cost(
    "c_collapse", "leaf", "zap one small leaf through the rmap when logging is switched off",
    "142ns", "H.3: legacy, 3.57 s / 25.2 M leaves; not reached before Linux 4.1",
)  # fmt: skip
C_TDP_COLLAPSE: Final = cost(
    "c_tdp_collapse", "leaf", "zap one small leaf in the TDP MMU when logging is switched off",
    "75ns", "H.3: 72-78 ns a small leaf after 5ba7c4c6d1c7",
)  # fmt: skip
C_SLOT_ZAP: Final = cost(
    "c_slot_zap", "leaf", "zap one small leaf through the rmap when its slot is deleted, and free "
    "its table", "57ns", "K.5: 300 ms / 5.24 M leaves, legacy MMU, 2017",
)  # fmt: skip
C_HOST_LEVEL: Final = cost(
    "c_host_level", "table or leaf", "ask the page table of the host how large a page could be "
    "mapped, when logging is switched off", "50ns",
    "kvm_mmu_max_mapping_level: interrupts off, four reads of which one misses the cache",
)  # fmt: skip
C_YIELD: Final = cost(
    "c_yield", "yield", "drop mmu_lock in the middle of a walk and ask for it again", "100ns",
    "H.4: t_yield, the queue apart",
)  # fmt: skip
C_RESCHED: Final = cost(
    "c_resched", "switch", "let another task have the processor, and get it back",
    lognormal("10us", "50us"), "H.4: 2-50 us if a task switch occurs",
)  # fmt: skip
C_GET_FLOOR: Final = cost(
    "c_get_floor", "ioctl", "fixed part of every log ioctl", "12us", "H.3: 5-20 us today"
)
C_WORD: Final = cost(
    "c_word", "word", "test one word of the bitmap", "0.8ns", "H.3: 0.5-1 ns a bitmap word"
)
C_DIRTY_WORD: Final = cost(
    "c_dirty_word", "word",
    "take the bits of one word of the bitmap that has some, and find the entries of its pages, in "
    "a get or a clear", "0ns", "H.3: published slopes are by page, this part is in c_wclear there",
)  # fmt: skip
C_COPY: Final = cost(
    "c_copy", "MiB of bitmap", "copy one MiB of bitmap between kernel and user space", "350us",
    "H.3: 0.2-0.5 ms per MiB of bitmap",
)  # fmt: skip
C_MEMSET: Final = cost(
    "c_memset", "MiB of bitmap", "fill one MiB of bitmap", "80us", "H.3: 0.05-0.1 ms per MiB"
)
C_PML_LOG: Final = vcpu_cost(
    "c_pml_log", "write", "extra time of a write that sets D and that the processor logs",
    "40ns", "H.1: 224 ns a logged write less about 181 ns without the log",
)  # fmt: skip
C_PML_DRAIN: Final = vcpu_cost(
    "c_pml_drain", "entry", "carry one entry of a PML buffer into the log", "12ns",
    "H.1: a drain of 512 entries takes about 6 us",
)  # fmt: skip
C_KICK: Final = cost(
    "c_kick", "vCPU", "kick one vCPU out of the guest without waiting for it", "200ns",
    "H.3: as one target of a flush",
)  # fmt: skip
C_RING_EXIT: Final = vcpu_cost(
    "c_ring_exit", "exit", "exit to user space because a dirty ring is full, and back", "5us",
    "an exit to user space, its dispatch and the way back",
)  # fmt: skip
C_RING_HARVEST: Final = cost(
    "c_ring_harvest", "entry", "read one entry of a dirty ring in user space", "10ns",
    "a cache line of 16-byte entries read in order",
)  # fmt: skip
C_RING_MASK: Final = cost(
    "c_ring_mask", "mask",
    "one mask of a ring reset: take and release mmu_lock, look up the slot", "100ns",
    "B.2 row 9: 0.1-3 us a mask, of which this is the lower end",
)  # fmt: skip
C_USER_EXIT: Final = vcpu_cost(
    "c_user_exit", "exit", "go on from a VM exit to the VMM in user space, and back", "3us",
    "part of c_ring_exit: return from the ioctl, dispatch, and the way back",
)  # fmt: skip
C_HALT_WAKE: Final = vcpu_cost(
    "c_halt_wake", "wake-up", "wake the thread of a vCPU that has halted: an IPI, the scheduler, "
    "the way back into KVM", lognormal("5us", "30us"),
    "assumed: one switch of c_resched (H.4: 2-50 us) to an idle processor",
)  # fmt: skip
C_ZERO_CHECK: Final = cost(
    "c_zero_check", "page", "find out whether a page is all zeros before it is sent", "75ns",
    "H.5: 0.05-0.1 us",
)  # fmt: skip
C_ZERO_PAGE: Final = cost(
    "c_zero_page", "page", "read a zero page whole and send it as a header", "236ns",
    "K.5: 236 ns a page with one sender that checks (cover letter of 303e6f54f9)",
)  # fmt: skip
C_ZERO_FAULT: Final = cost(
    "c_zero_fault", "page", "map the shared zero page to read memory that was never touched",
    "363ns",
    "3.064 s for an idle guest of 16 GiB (published migration P24): 0.73 us a page, less a zero "
    "page",
)  # fmt: skip
C_FIND_PAGE: Final = cost(
    "c_find_page", "page", "find a page to be sent and queue it, on the migration thread", "150ns",
    "K.5: 158 ns a page where four senders check, 367 ns where the migration thread does",
)  # fmt: skip
C_SYNC_WORD: Final = cost(
    "c_sync_word", "64 pages", "merge the log into the bitmaps of user space, under the big lock",
    "7.2ns", "K.5: 2.4 ns and 4.8 ns a word, 256 GiB (e8a6d158db)",
)  # fmt: skip
C_SEND_PAGE: Final = cost(
    "c_send_page", "page", "copy a page into a channel of a migration, the network apart",
    "600ns", "H.5: 0.4-0.8 us of CPU time a page on one thread",
)  # fmt: skip
C_STOP_VCPUS: Final = cost(
    "c_stop_vcpus", "switch-over",
    "stop the vCPUs for the switch-over and start them at the destination", "5ms",
    "H.5: 5 ms to stop and start vCPUs",
)  # fmt: skip
C_DEVICE_STATE: Final = cost(
    "c_device_state", "switch-over", "save, send and load the device state",
    lognormal("5.5ms", "30ms"), "H.5: 1-30 ms, lognormal",
)  # fmt: skip
C_CHECKPOINT: Final = cost(
    "c_checkpoint", "checkpoint",
    "stop the vCPUs for a checkpoint or a snapshot, save what is not memory, and start them again",
    "1ms",
    "assumed: a microVM with few devices; c_stop_vcpus and c_device_state are those of QEMU",
)  # fmt: skip
C_POSTCOPY_FAULT: Final = vcpu_cost(
    "c_postcopy_fault", "fault",
    "fault on a missing page: userfaultfd, request, network, wake-up",
    lognormal("400us", "1ms"), "F.9: 0.2-1 ms, the time of the page on the network apart",
)  # fmt: skip
C_POPULATE_PAGE: Final = cost(
    "c_populate_page", "page", "read a byte of a page before a snapshot, so that the host maps it",
    "21ns", "measured, see c_uffd_protect: 65,536 pages in a row",
)  # fmt: skip
C_UFFD_PROTECT: Final = cost(
    "c_uffd_protect", "page of the host",
    "write-protect a page with userfaultfd when a snapshot begins; a huge page is one", "26ns",
    "measured on Linux 6.18 in a VM: UFFDIO_WRITEPROTECT of 65,536 pages, least of 7; 50 ns of a "
    "huge page",
)  # fmt: skip
C_UFFD_RELEASE: Final = cost(
    "c_uffd_release", "page", "lift the write protection of one page (UFFDIO_WRITEPROTECT)",
    "1.1us",
    "measured, see c_uffd_protect: median of 65,536 calls; 90 % below 1.2 us",
)  # fmt: skip
C_UFFD_POLL: Final = cost(
    "c_uffd_poll", "page", "ask userfaultfd whether a vCPU waits, before each page", "0.36us",
    "measured, see c_uffd_protect: a read that finds nothing",
)  # fmt: skip
C_UFFD_SPLIT: Final = cost(
    "c_uffd_split", "huge page", "split a huge page of the host to release one of its pages",
    "10us",
    "measured, see c_uffd_protect: 11 us for the first of 512 pages, less a release",
)  # fmt: skip
C_UFFD_FAULT: Final = vcpu_cost(
    "c_uffd_fault", "fault",
    "fault on a page that a snapshot protects, and wake up when it is released", "4.8us",
    "measured, see c_uffd_protect: 5.9 us from the write until it is done, median of 4,000 with a "
    "thread that polls, less a release",
)  # fmt: skip
C_SCHED_SLICE: Final = cost(
    "c_sched_slice", "turn",
    "how long a thread may have a processor that another waits for (EEVDF base slice); only with "
    "host.emulatorpin", "3ms",
    "kernel/sched/fair.c: 0.75 ms x (1 + log2(CPUs, at most 8)), 0.70 ms since 6.15; rounded up to "
    "a tick where no hrtick is; CFS gave 12 ms to each of two threads (24 ms of latency)",
)  # fmt: skip

SHARING_COSTS: Final = ("c_sched_slice",)
"""Costs that only a run pays whose host thread shares a processor with a vCPU."""
