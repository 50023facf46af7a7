"""Causes of misses: what the model lacks, and the rows that show it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mmusim.validation.published import PublishedValue

Applies = Callable[[PublishedValue], bool]

CAUSES: Final[tuple[tuple[str, Applies], ...]] = (
    (
        "The write side of a rwlock costs more than a spinlock, an eighth of the time here; the "
        "model passes both on alike.",
        lambda f: f.id == "H3",
    ),
    (
        "Host memory is found and cleared at a rate that differs between hosts and kernels more "
        "than any other; one constant stands for all.",
        lambda f: f.phase == "populate memory",
    ),
    (
        "Passes through 4 KiB pages saturate on this host at 44 ns a write in all, for both MMUs, "
        "ten times below what other hosts do.",
        lambda f: f.id == "A1" and "4KiB backing" in f.variant,
    ),
    (
        "The pass without a log took 1.5 times longer in one of two runs of this posting; no "
        "reason is given.",
        lambda f: f.id == "F1" and f.phase == "iteration 1 dirty memory",
    ),
    (
        "Cores, threads and memory of the host are assumed, the same for all sources.",
        lambda f: (
            "dirty memory" in f.phase
            and (_vcpus(f) >= 96 or (_vcpus(f) >= 64 and "split on fault" in f.variant))
        ),
    ),
    (
        "Under shadow paging a fault does more of its work with mmu_lock held, the guest's own "
        "tables and the rmap; one section for each kind of fault stands for all.",
        lambda f: "shadow" in _policy(f) and f.phase.endswith("dirty memory"),
    ),
    (
        "A clear of version 1 of the series took twice as long as one of version 3 (B5), which is "
        "what is predicted.",
        lambda f: f.id == "B1" and f.phase == "iteration 1 clear dirty log" and "=Y" in f.variant,
    ),
    (
        "At 32 vCPUs a VM may lie on one node or on two: enabling in B5 took 2.3 times what it "
        "took in B1. The law of nodes begins where a node has no thread left.",
        lambda f: _vcpus(f) >= 32 and "legacy" in _policy(f) and "dirty memory" not in f.phase,
    ),
    (
        "Allocating two bitmaps page by page takes the time that the host's allocator does; one "
        "constant stands for all.",
        lambda f: f.id == "F1" and f.phase == "enabling dirty logging",
    ),
    (
        "memory_global_dirty_log_start goes through all slots of a VM, in each of its address "
        "spaces, with a grace period each; the run has one slot, and of its 3.3 ms 2.8 are the "
        "two bitmaps.",
        lambda f: f.id == "E1",
    ),
    (
        "The first get faults in the bitmap's pages, at one constant for all hosts.",
        lambda f: f.phase == "iteration 1 get dirty log",
    ),
    (
        "vCPUs of the test go round until logging is off; a flush finds all of them in the guest.",
        lambda f: f.id == "G2",
    ),
    (
        "Readers of this host's mmu_lock wait longer than two atomic operations of 75 ns.",
        lambda f: f.id == "A1",
    ),
)
"""Cause, and the values that it explains if they miss. The first match applies."""


def _vcpus(value: PublishedValue) -> int:
    return value.run.vcpus if value.run else 0


def _policy(value: PublishedValue) -> str:
    return value.run.policy if value.run else ""


def cause(value: PublishedValue) -> str:
    """Return the known cause of a miss of this value."""
    return next((text for text, applies in CAUSES if applies(value)), "not explained")
