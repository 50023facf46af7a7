"""A virtual CPU: its registers, its run, and the measurements of its guest."""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import time
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmusim.base.errors import MmusimError
from mmusim.base.units import PAGE
from mmusim.kvm import abi
from mmusim.kvm.guest_code import ASK, START
from mmusim.kvm.vm import CODE, DATA, INDEX, PML4, RESULT, Vm

CR0: Final = 0x80050033  # paging, write protection, protected mode
CR4: Final = 0x620  # PAE, SSE
EFER: Final = 0x501  # long mode, syscall
RFLAGS: Final = 0x3002  # IOPL 3: out of user mode straight to user space
STACK: Final = 0x20000  # never used

Ints = NDArray[np.int64]


class Timed(NamedTuple):
    """The measurements of one run of a guest; arrays have shape (accesses,)."""

    cycles: NDArray[np.uint32]  # latency of each access, the clock's own cost included
    starts: NDArray[np.uint64]  # time-stamp counter before each
    wall_ns: int  # from before the first KVM_RUN to after the last
    fulls: tuple[int, ...]  # accesses before whose completion the dirty ring was full
    laps: tuple[tuple[int, int], ...]  # of each: begin and end of `wall_ns` by the host's clock

    @property
    def span(self) -> int:
        """Cycles from the first start to the last end."""
        return int(self.starts[-1]) - int(self.starts[0]) + int(self.cycles[-1])


class GuestError(MmusimError):
    """The guest stopped where it never should."""


class Vcpu:
    """One vCPU of a VM. Close it before the VM."""

    def __init__(self, vm: Vm, number: int) -> None:
        """Make the vCPU and put it into long mode at user privilege."""
        self.vm, self.number = vm, number
        self.fd = fcntl.ioctl(vm.fd, abi.CREATE_VCPU, number)
        size = fcntl.ioctl(vm.kvm, abi.GET_VCPU_MMAP_SIZE, 0)
        self._run = mmap.mmap(self.fd, size)
        self._set_cpuid()
        sregs = bytearray(fcntl.ioctl(self.fd, abi.GET_SREGS, bytes(abi.SREGS_BYTES)))
        abi.SEGMENT.pack_into(sregs, 0, 0, ~0 & 0xFFFFFFFF, 0x33, 11, 1, 3, 0, 1, 1, 1, 0, 0, 0)
        for at in range(1, 6):  # data segments: ds, es, fs, gs, ss
            abi.SEGMENT.pack_into(
                sregs, at * abi.SEGMENT.size, 0, ~0 & 0xFFFFFFFF, 0x2B, 3, 1, 3, 1, 1, 0, 1, 0, 0, 0
            )  # fmt: skip
        struct.pack_into("<6Q", sregs, abi.SREGS_CR0, CR0, 0, PML4, CR4, 0, EFER)
        fcntl.ioctl(self.fd, abi.SET_SREGS, bytes(sregs))
        self._index = vm.index.words(number * vm.index_bytes // 1, vm.max_accesses)
        base = number * vm.result_bytes
        self._starts = vm.result.words(base, vm.max_accesses)
        at = base + 8 * vm.max_accesses
        self._cycles = vm.result.bytes[at : at + 4 * vm.max_accesses].view(np.uint32)
        self._ring: NDArray[np.void] | None = None
        self._fetch = 0
        if vm.ring_bytes:
            ring = mmap.mmap(self.fd, vm.ring_bytes, offset=abi.RING_OFFSET)
            self._ring = np.frombuffer(ring, np.dtype(abi.RING_ENTRY))

    def _set_cpuid(self) -> None:
        """Give the vCPU all that KVM supports (KVM_SET_CPUID2).

        Kernels from 6.12 on refuse control registers with features that the vCPU does not have.
        """
        most = abi.MOST_CPUID_ENTRIES
        cpuid = bytearray(abi.CPUID.size + most * abi.CPUID_ENTRY_BYTES)
        abi.CPUID.pack_into(cpuid, 0, most, 0)
        fcntl.ioctl(self.vm.kvm, abi.GET_SUPPORTED_CPUID, cpuid)
        fcntl.ioctl(self.fd, abi.SET_CPUID2, cpuid)

    def tsc_khz(self) -> int:
        """Return the frequency of the guest's time-stamp counter in kHz."""
        return fcntl.ioctl(self.fd, abi.GET_TSC_KHZ, 0)

    def access(
        self,
        gfns: Ints,
        write: NDArray[np.bool_],
        *,
        think: int = 0,
        timed: bool = True,
        when_full: Callable[[], object] | None = None,
    ) -> Timed:
        """Let the guest touch pages of the slot in order.

        Parameters
        ----------
        gfns, write : ndarray, shape (accesses,)
            Page of the slot, and whether it is written.
        think : int
            Cycles of guest work before each access.
        timed : bool
            Without, nothing is measured and nothing but the pages is written.
        when_full : callable, optional
            Called when the dirty ring is full; must empty it.

        Raises
        ------
        ValueError
            If there is no access, or there are more than the VM has room for.
        """
        count = len(gfns)
        if not 0 < count <= self.vm.max_accesses:
            raise ValueError(f"{count} accesses; give 1 to {self.vm.max_accesses}")
        addresses = np.asarray(gfns, np.uint64) * np.uint64(PAGE) + np.uint64(DATA)
        self._index[:count] = addresses + np.asarray(write, np.uint64)
        return self._go(START, count, think, timed, when_full)

    def touch_own(self) -> None:
        """Map the pages that the guest's code and accesses lie on, and nothing else."""
        self._index[0] = np.uint64(INDEX + self.number * self.vm.index_bytes + 8)
        self._go(START, 1, 0, False, None)

    def ask(self, count: int) -> Timed:
        """Let the guest execute cpuid `count` times: exits that the kernel handles."""
        return self._go(ASK, count, 0, True, None)

    def clock(self, count: int, *, think: int = 0) -> Timed:
        """Time accesses to one word that stays in the first-level cache: the clock's own cost."""
        self._index[:count] = np.uint64(INDEX + self.number * self.vm.index_bytes)
        return self._go(START, count, think, True, None)

    def _go(
        self,
        entry: int,
        count: int,
        think: int,
        timed: bool,
        when_full: Callable[[], object] | None,
    ) -> Timed:
        index = INDEX + self.number * self.vm.index_bytes
        starts = RESULT + self.number * self.vm.result_bytes
        cycles = starts + 8 * self.vm.max_accesses
        # rax rbx rcx rdx rsi rdi rsp rbp r8 r9 r10 r11 r12 r13 r14 r15 rip rflags
        registers = (
            0, 0, 0, 0, count, index, STACK, 0, 0, think, 0, 0, cycles if timed else 0, starts,
            0, 0, CODE + entry, RFLAGS,
        )  # fmt: skip
        fcntl.ioctl(self.fd, abi.SET_REGS, abi.REGS.pack(*registers))
        fulls: list[int] = []
        began = time.perf_counter_ns()
        while True:
            try:
                fcntl.ioctl(self.fd, abi.RUN, 0)
            except InterruptedError:
                continue
            (reason,) = struct.unpack_from("<I", self._run, abi.EXIT_REASON)
            if reason == abi.EXIT_IO:
                break
            if reason != abi.EXIT_DIRTY_RING_FULL or when_full is None:
                raise GuestError(
                    f"vCPU {self.number} left the guest with exit reason {reason}; "
                    "this KVM cannot run the measuring guest"
                )
            fulls.append(self._access_now())
            when_full()
        ended = time.perf_counter_ns()
        if not timed:
            count = 0
        latencies, begun = self._cycles[:count].copy(), self._starts[:count].copy()
        return Timed(latencies, begun, ended - began, tuple(fulls), ((began, ended),))

    def _access_now(self) -> int:
        """Return the number of the access that the guest is at: rcx."""
        held = abi.REGS.unpack(fcntl.ioctl(self.fd, abi.GET_REGS, bytes(abi.REGS.size)))
        return int(held[2])

    def harvest(self) -> int:
        """Collect the entries of this vCPU's ring and mark them for reset; return their number."""
        assert self._ring is not None, "the VM was made with rings"
        flags, size, total = self._ring["flags"], len(self._ring), 0
        while True:
            at = self._fetch % size
            ahead = flags[at : at + 256] & abi.RING_DIRTY  # up to the end of the array
            count = len(ahead) if ahead.all() else int(np.argmin(ahead))
            flags[at : at + count] = abi.RING_RESET
            self._fetch += count
            total += count
            if count < len(ahead) or total >= size:
                return total

    def close(self) -> None:
        """Close the vCPU's file."""
        self._ring = None
        os.close(self.fd)
