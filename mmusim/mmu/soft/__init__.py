"""The soft MMU: shadow paging with guest page tables (paging_tmpl.h; domain C.6, C.7 and D).

A guest is a :class:`GuestMemory` with tables that :class:`GuestTables` builds. A :class:`SoftMmu`
shadows them with the behaviours of :class:`Options`. :func:`attempt` lets the CPU try an access
once, and :func:`run` repeats it until it makes progress. :func:`load_cr3` and :func:`invlpg` are
the sync points. Nothing here knows time: ``mmu.events`` lists what happened.
"""

from mmusim.mmu.soft.emulate import Outcome, attempt, run, translate
from mmusim.mmu.soft.guest import GuestMemory, GuestTables, GuestWalk, gpte, walk_addr
from mmusim.mmu.soft.options import KERNELS, Access, Instruction, LargeLeaf, Options, Retry
from mmusim.mmu.soft.pages import (
    invlpg,
    kvm_mmu_unprotect_page,
    kvm_mmu_zap_all,
    load_cr3,
)
from mmusim.mmu.soft.predicate import loops
from mmusim.mmu.soft.rmap import protect_slot
from mmusim.mmu.soft.scenario import PageTableWrite
from mmusim.mmu.soft.state import SoftMmu
from mmusim.mmu.soft.story import tell

__all__ = [
    "KERNELS",
    "Access",
    "GuestMemory",
    "GuestTables",
    "GuestWalk",
    "Instruction",
    "LargeLeaf",
    "Options",
    "Outcome",
    "PageTableWrite",
    "Retry",
    "SoftMmu",
    "attempt",
    "gpte",
    "invlpg",
    "kvm_mmu_unprotect_page",
    "kvm_mmu_zap_all",
    "load_cr3",
    "loops",
    "protect_slot",
    "run",
    "tell",
    "translate",
    "walk_addr",
]
