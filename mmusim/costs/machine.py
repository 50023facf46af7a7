"""Laws of the machine under KVM: the effects of load, nodes and new memory on the costs of a host.

Seven laws, each a function of counts. A describes vCPUs that run at one time, and T threads.

* **memory**: a line from memory takes ``t_line`` longer for each other vCPU that has a thread. A
  read that misses the caches fetches one line; a write moves two, in, and back later.
* **threads**: all work of vCPUs takes A / cap(A) times as long. cap(A) is A up to the number of
  cores C, then C + g (min(A, T) - C), with g what a second thread adds. The wait for a line is no
  work: meanwhile the core is the other thread's. So these two laws add up. But vCPUs that have a
  thread in turns wait in their turns too: their waits take max(1, A / T) times as long.
* **remote**: the rmap of a VM with more vCPUs than a node has threads is read from another node.
* **first-touch**: who faults on a page without host memory passes two servers.
* **bitmaps**: enabling allocates two bitmaps, and the first get faults user pages in.
* **indirect**: an indirect MMU does more of a slow fault with ``mmu_lock`` held. A fault that finds
  its small leaf, and only gives W back, adds nothing to the rmap and to the count of mappings.
* **fresh-leaves**: leaves that a clear has just made by a split are in the cache when it re-arms
  them.

Prices are whole numbers, so that both engines agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

from mmusim.base.units import BYTES, PAGE, PAGES_PER_REGION

Law = Literal[
    "memory", "threads", "remote", "first-touch", "bitmaps", "indirect", "fresh-leaves"
]  # fmt: skip
LAWS: Final[tuple[Law, ...]] = get_args(Law)
COSTS_OF: Final[Mapping[Law, tuple[str, ...]]] = {
    "memory": ("t_line",),
    "remote": ("t_line_remote",),
    "first-touch": ("c_mmap_count", "c_clear_memory"),
    "bitmaps": ("c_bitmap_alloc", "c_user_page"),
    "indirect": ("c_lock_indirect",),
}
"""Costs that only one law pays."""

BITS: Final = 12
ONE: Final = 1 << BITS
"""Prices are whole numbers of 1/4096."""
LINES_OF: Final = {
    "c_head": 1 / 8,
    "c_wclear": 2 / 8,
    "c_nested_wclear": 2 / 8,
    "c_split_2M": 128.0,
}
"""Lines of KVM's metadata that an operation on the rmap reads: heads lie 8 in a line; a small leaf
has a head and an spte; a split makes a table and 512 heads. The costs of the TDP MMU were read off
large VMs and contain them.
"""
OWN_WORK: Final = (
    "t_walk_4K", "c_entry", "c_exit", "c_fault_fast", "c_halt_wake", "c_pml_drain", "c_pml_log",
    "c_ring_exit", "c_tlb_flush", "c_user_exit", "c_walk_guest",
)  # fmt: skip
"""Costs of vCPUs that a second thread of their core slows down, as it does hits, guest work, and a
slow fault but for its section. Work with ``mmu_lock`` held keeps its price, and so do flushes and
their acknowledgements.
"""
LINE: Final = 64
"""Bytes of a cache line. An access to a page touches one."""


@dataclass(frozen=True, slots=True)
class Machine:
    """The processors of a host, and the laws that it follows."""

    nodes: int
    cores: int  # of all nodes
    threads: int  # of all cores
    smt_gain: float
    private_cache: int  # bytes
    laws: frozenset[Law]

    def follows(self, law: Law) -> bool:
        """Tell whether the machine follows a law."""
        return law in self.laws

    def slowdown(self, running: int) -> int:
        """Return the time of 1 ns of work while `running` vCPUs run, in ns / 4096; 4096 without the
        law.
        """
        if not self.follows("threads") or running <= self.cores:
            return ONE
        second = min(running, self.threads) - self.cores
        return round(ONE * running / (self.cores + self.smt_gain * second))

    def line_extra(self, running: int, line_ns: float) -> int:
        """Return the extra time of a line from memory while `running` vCPUs run, in ns / 4096.

        `line_ns` is the cost ``t_line``, for each other vCPU that has a thread.
        """
        turns = max(1.0, running / self.threads) if self.follows("threads") else 1.0
        return round(ONE * line_ns * max(0, min(running, self.threads) - 1) * turns)

    def misses(self, pages: int) -> bool:
        """Tell whether a vCPU that touches `pages` pages, a line of 64 bytes each, misses its
        private cache.
        """
        return pages * LINE > self.private_cache

    def is_remote(self, vcpus: int) -> bool:
        """Tell whether KVM's metadata of a VM with so many vCPUs lie on more than one node."""
        return self.follows("remote") and vcpus * self.nodes > self.threads


def remote_lines(counts: Mapping[str, float]) -> float:
    """Return how many lines of the rmap operations read; `counts`: cost -> number of payments."""
    return sum(LINES_OF[cost] * times for cost, times in counts.items() if cost in LINES_OF)


def rmap_entry_ns(split_ns: float, tdp_split_ns: float) -> float:
    """Return what adding a leaf to the rmap takes, in ns, from two costs of splitting 2 MiB in ns.

    A split through the rmap adds 512 leaves to it; one in the TDP MMU, which has no rmap, does all
    else (shadow_mmu_split_huge_page, tdp_mmu_split_huge_page).
    """
    return max(0.0, split_ns - tdp_split_ns) / PAGES_PER_REGION


def bytes_of(level: int) -> int:
    """Return the size of a mapping of level 1, 2 or 3, in bytes."""
    return PAGE << 9 * (level - 1)


def clear_ns(level: int, mib_ns: float) -> int:
    """Return how long clearing the host memory of a mapping keeps the memory busy, in ns.

    `level` is 1 to 3, `mib_ns` the time of a MiB in ns.
    """
    return round(bytes_of(level) / BYTES["MiB"] * mib_ns)
