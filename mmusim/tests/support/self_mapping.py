"""The test case that the thread asked for, "similar in size to rmap_chain": a self-mapped table.

Low memory is mapped with 2 MiB pages, and the page directory that does so lies in it. The guest
writes to an unused entry of that directory, with an instruction that KVM cannot emulate. The test
succeeds if the guest goes on or user space gets an internal error, within a limit of faults.

    python -m mmusim.tests.support.self_mapping linux-3.7
"""

from __future__ import annotations

import sys

from mmusim.mmu.soft import KERNELS, Access, GuestMemory, GuestTables, Instruction, SoftMmu, run

PML4, PDPT, PAGE_DIRECTORY = 2, 3, 4  # gfns, all in the first 2 MiB
UNUSED_ENTRY = 400
LIMIT = 100  # faults


def self_mapping(kernel: str) -> tuple[str, int]:
    """Return how the write ended under a kernel, and after how many faults."""
    memory = GuestMemory()
    tables = GuestTables(memory, PML4, spare=(PDPT, PAGE_DIRECTORY))
    for gfn in range(0, 8 * 512, 512):
        tables.map(gfn << 12, gfn, level=2)  # identity

    mmu = SoftMmu(memory, PML4, KERNELS[kernel])
    unknown = Instruction(rip=0x20_0000, emulatable=False)
    target = (PAGE_DIRECTORY << 12) + 8 * UNUSED_ENTRY
    outcome, faults = run(mmu, Access(target, True, 0, unknown), LIMIT)
    return str(outcome), faults


if __name__ == "__main__":
    outcome, faults = self_mapping(sys.argv[1])
    passed = outcome in ("progress", "internal-error")
    print(f"{'PASS' if passed else 'FAIL'}: {outcome} after {faults} faults")
    sys.exit(not passed)
