"""Costs of the machine under KVM: memory, nodes, first touch, bitmaps.

A run pays them only where its host has a ``[machine]`` that follows their law; elsewhere they are
zero. :mod:`mmusim.costs.machine` has the laws.
"""

from __future__ import annotations

from typing import Final

from mmusim.vocabulary.cost import COSTS, cost

_FIRST: Final = len(COSTS)

T_LINE: Final = cost(
    "t_line", "cache line and other vCPU",
    "extra time that each running vCPU adds to a line that another one fetches from memory",
    "0.65ns",
    "0.5-1.0 ns: passes after an eager split at up to 64 vCPUs, three postings: 0.72, 0.67, 0.60",
    plausible=("0.5ns", "1ns"),
)  # fmt: skip
T_LINE_REMOTE: Final = cost(
    "t_line_remote", "cache line",
    "fetch a line of KVM's rmap from another node, beyond the time of a near one", "26ns",
    "15-40 ns: log operations of two postings at 64 vCPUs: 25.7, 25.0; some 140 ns, 5 at a time",
    plausible=("15ns", "40ns"),
)  # fmt: skip
C_MMAP_COUNT: Final = cost(
    "c_mmap_count", "atomic operation",
    "change the reader count of mmap_lock; a fault without host memory does so twice", "155ns",
    "75-200 ns: populating through 4 KiB pages; c_lock_count is 75 ns",
    plausible=("75ns", "200ns"),
)  # fmt: skip
C_CLEAR_MEMORY: Final = cost(
    "c_clear_memory", "MiB of memory", "clear new host memory, all processors together", "39us",
    "8-40 GB/s, here 26.8: populating 160 GiB; differs most between hosts and kernels",
    plausible=("26.2us", "131us"),
)  # fmt: skip
C_BITMAP_ALLOC: Final = cost(
    "c_bitmap_alloc", "MiB of bitmap",
    "allocate and zero the two bitmaps of a slot page by page (kvm_alloc_dirty_bitmap)", "700us",
    "1.0-1.6 us a page of 4 KiB: enabling with initially-all-set",
    plausible=("512us", "820us"),
)  # fmt: skip
C_USER_PAGE: Final = cost(
    "c_user_page", "page of bitmap",
    "fault in a page of the bitmap of user space, at the first get", "0.7us",
    "0.5-1 us: first gets",
    plausible=("0.5us", "1us"),
)  # fmt: skip
C_LOCK_INDIRECT: Final = cost(
    "c_lock_indirect", "fault",
    "the part of c_fault_slow that an indirect MMU spends holding mmu_lock beyond c_lock_section: "
    "it reads guest entries again and changes the rmap", "235ns",
    "215-255 ns: saturated passes without EPT at 8 to 64 vCPUs, two postings, of faults that add "
    "their leaf to the rmap and of faults that find it",
    plausible=("215ns", "255ns"),
)  # fmt: skip

MACHINE_COSTS: Final = tuple(COSTS)[_FIRST:]
"""Costs that only a run on a described machine pays."""
