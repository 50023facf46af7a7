"""Causes of misses: what the model lacks, and the rows that show it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mmusim.validation.published import Figure

Applies = Callable[[Figure], bool]

CAUSES: Final[tuple[tuple[str, Applies], ...]] = (
    (
        "The write side of a rwlock costs more than a spinlock, an eighth of the time here; the "
        "model passes both on alike. Nor does it find and clear the host's memory.",
        lambda f: f.id == "H3",
    ),
    (
        "Host memory is found and cleared at the first touch, which memory bandwidth and the page "
        "allocator of the host bound; the model charges KVM's part only.",
        lambda f: f.phase == "populate memory",
    ),
    (
        "More vCPUs than cores share them as hyper-threads, and memory bandwidth bounds passes "
        "without slow faults; the model gives each vCPU a processor and memory of its own.",
        lambda f: (
            "dirty memory" in f.phase
            and (
                _vcpus(f) >= 96
                or "4KiB backing" in f.variant
                or (_vcpus(f) >= 64 and "split on fault" in f.variant)
            )
        ),
    ),
    (
        "Under shadow paging a fault does more of its work with mmu_lock held, the guest's own "
        "tables and the rmap: saturated, 1.24 us a fault in B5 in place of 0.98 us; the law has "
        "one section for all MMUs.",
        lambda f: "shadow" in _policy(f) and f.phase.endswith("dirty memory"),
    ),
    (
        "A clear of version 1 of the series took twice as long as one of version 3 (B5), which is "
        "what is predicted.",
        lambda f: f.id == "B1" and f.phase == "iteration 1 clear dirty log" and "=Y" in f.variant,
    ),
    (
        "The rmap of a VM that spans NUMA nodes is read at twice the cost of a small one's; costs "
        "are fitted at 2 GiB. In B5 at 32 vCPUs the time is twice that of B1.",
        lambda f: _vcpus(f) >= 32 and "legacy" in _policy(f) and "dirty memory" not in f.phase,
    ),
    (
        "Allocating and zeroing two bitmaps page by page; the model fills one.",
        lambda f: f.id == "F1" and f.phase == "enabling dirty logging",
    ),
    (
        "The patch of this very posting (6.4) makes clearing D cheaper; the cost used is the one "
        "before it.",
        lambda f: f.id == "F1" and "clear dirty log" in f.phase,
    ),
    (
        "The first get faults the bitmap's pages in.",
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
"""Cause, and the figures that it explains if they miss. The first match applies."""


def _vcpus(figure: Figure) -> int:
    return figure.run.vcpus if figure.run else 0


def _policy(figure: Figure) -> str:
    return figure.run.policy if figure.run else ""


def cause(figure: Figure) -> str:
    """Return the known cause of a miss of this figure."""
    return next((text for text, applies in CAUSES if applies(figure)), "not explained")
