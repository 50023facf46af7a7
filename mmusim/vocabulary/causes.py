"""Causes: where the time of a vCPU goes. The ledger of a phase has one row for each cause.

The constants are the numbers of the rows. Sources are sections of the domain reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from mmusim.vocabulary.terms import Better, Term, Vocabulary


class Kind(Enum):
    """Whom the time belongs to (domain, A.11)."""

    USEFUL = "useful"
    """The vCPU is in guest mode, and the guest makes progress, slower or faster."""
    IDLE = "idle"
    """The guest has nothing to do and could run."""
    LOST = "lost"
    """The guest has something to do, or may have, and cannot run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause(Term):
    """A row of the ledger."""

    kind: Kind
    is_fault_work: bool  # the work of a fault itself, without waits for locks


CAUSES: Final[Vocabulary[Cause]] = Vocabulary("cause")


def _cause(name: str, kind: Kind, meaning: str, source: str, *, fault_work: bool = False) -> int:
    better = Better.LOWER if kind is Kind.LOST else Better.NEITHER
    return CAUSES.add(
        Cause(
            name=name, unit="ns", better=better, meaning=meaning, source=source, kind=kind,
            is_fault_work=fault_work,
        )
    )  # fmt: skip


HITS: Final = _cause(
    "hits", Kind.USEFUL, "accesses through an spte, at the cost of a 2 MiB mapping", "A.9, H.1"
)
WALK_4K: Final = _cause(
    "walk_4k", Kind.USEFUL, "extra time of accesses through 4 KiB mappings", "A.9, H.1"
)
THINK: Final = _cause("think", Kind.USEFUL, "guest work between accesses", "A.11")
PASS: Final = _cause("pass", Kind.USEFUL, "once a phase: loop set-up, timer, entry", "E.4")
FAULT_SLOW: Final = _cause(
    "fault_slow", Kind.LOST, "exit, handler and entry of faults on the slow path", "C.2, H.2",
    fault_work=True,
)  # fmt: skip
FAULT_FAST: Final = _cause(
    "fault_fast", Kind.LOST,
    "exit, handler and entry of faults fixed without mmu_lock, and of spurious faults", "C.3, H.2",
    fault_work=True,
)  # fmt: skip
TABLE_ALLOC: Final = _cause(
    "table_alloc", Kind.LOST, "page tables allocated and linked in a fault", "C.2, H.2",
    fault_work=True,
)  # fmt: skip
DROP_LARGE: Final = _cause(
    "drop_large", Kind.LOST, "large sptes zapped in a fault (drop_large_spte)", "C.2, H.2",
    fault_work=True,
)  # fmt: skip
SPLIT_LARGE: Final = _cause(
    "split_large", Kind.LOST, "large sptes split in a fault (c4b33d28ea51)", "C.2, H.2",
    fault_work=True,
)  # fmt: skip
MMU_LOCK_WAIT: Final = _cause("mmu_lock_wait", Kind.LOST, "queueing for mmu_lock", "A.10, A.11")
FLUSH_WAIT: Final = _cause(
    "flush_wait", Kind.LOST, "waiting for the acknowledgements of a flush started in a fault",
    "A.11, H.4", fault_work=True,
)  # fmt: skip
FLUSH_EXIT: Final = _cause(
    "flush_exit", Kind.LOST, "exit, flush and entry because another thread flushes", "A.11, H.4"
)
TLB_FLUSH: Final = _cause(
    "tlb_flush", Kind.LOST, "the vCPU's own flush on the way into the guest", "A.11, H.4"
)
PML_LOG: Final = _cause(
    "pml_log", Kind.USEFUL, "extra time of writes that the processor logs", "H.1"
)
PML_DRAIN: Final = _cause(
    "pml_drain", Kind.LOST,
    "emptying the PML buffer at exits, and the exits that a full buffer forces", "H.1",
)  # fmt: skip
RING_FULL: Final = _cause(
    "ring_full", Kind.LOST, "stopped until the full dirty ring is harvested and reset", "A.11, K.2"
)
IDLE: Final = _cause("idle", Kind.IDLE, "nothing to do until the next request arrives", "G.5")
HALT: Final = _cause(
    "halt", Kind.LOST, "exit, waking up and entry of a guest that halts until the next request",
    "A.11",
)  # fmt: skip
TLB_REFILL: Final = _cause(
    "tlb_refill", Kind.LOST, "walking again for the mappings that a flush took from the TLB",
    "A.9, H.1",
)  # fmt: skip
INTERFERENCE: Final = _cause(
    "interference", Kind.LOST, "other work of the host on the vCPU's processor", "H"
)
USER_EXIT: Final = _cause(
    "user_exit", Kind.LOST,
    "going to user space and back, for port I/O or because the VMM asks for it", "A.11, F.6",
)  # fmt: skip
BQL_WAIT: Final = _cause(
    "bql_wait", Kind.LOST, "queueing for the big lock of the VMM in user space", "A.11, F.6"
)
THROTTLE: Final = _cause(
    "throttle", Kind.LOST, "sleep that the throttle of a migration imposes", "A.11, F.5"
)
PAUSED: Final = _cause(
    "paused", Kind.LOST, "stopped for the switch-over of a migration, a checkpoint or a snapshot",
    "A.11, F.1",
)  # fmt: skip
POSTCOPY_WAIT: Final = _cause(
    "postcopy_wait", Kind.LOST, "waiting for a page that has not reached the destination", "F.9"
)
MMAP_WAIT: Final = _cause(
    "mmap_wait", Kind.LOST,
    "queueing for the count of mmap_lock's readers, to find host memory at a first touch", "H",
)  # fmt: skip
CLEAR_WAIT: Final = _cause(
    "clear_wait", Kind.LOST,
    "waiting for the host's memory, which others clear, at a first touch", "H",
)  # fmt: skip
STEAL: Final = _cause(
    "steal", Kind.LOST,
    "waiting for the vCPU's processor, which the host thread has (steal time, run_delay)", "A.11",
)  # fmt: skip
SNAPSHOT_WAIT: Final = _cause(
    "snapshot_wait", Kind.LOST,
    "waiting for the copy of a page that a snapshot has write-protected", "QEMU poll_fault_page",
)  # fmt: skip


def _of(kind: Kind) -> tuple[str, ...]:
    return tuple(name for name, cause in CAUSES.items() if cause.kind is kind)


USEFUL_CAUSES: Final = _of(Kind.USEFUL)
IDLE_CAUSES: Final = _of(Kind.IDLE)
LOST_CAUSES: Final = _of(Kind.LOST)
"""Names of the causes of each kind; every cause is of one kind."""
FAULT_WORK: Final = tuple(name for name, cause in CAUSES.items() if cause.is_fault_work)
"""Names of the causes that are the work of faults, without waits for locks."""
