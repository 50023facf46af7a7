"""A virtual machine: slots of memory, capabilities, the dirty log.

Guest-physical layout: code and page tables from 0, the accesses that vCPUs are to make from 1 GiB,
where they write what they measured from 2 GiB, and the slot under study from 4 GiB. Guest memory is
mapped one to one by 2 MiB entries.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from mmusim.base.units import BYTES, PAGE, REGION
from mmusim.kvm import abi
from mmusim.kvm.device import DEVICE, capability, open_kvm
from mmusim.kvm.guest_code import GUEST_CODE
from mmusim.kvm.memory import Memory
from mmusim.kvm.stats_fd import Statistics

GIB: Final = BYTES["GiB"]
CODE: Final = 0x10000
PML4, PDPT, PAGE_DIRECTORIES = 0x1000, 0x2000, 0x100000
LOW: Final = 4 * BYTES["MiB"]
INDEX, RESULT, DATA = 1 * GIB, 2 * GIB, 4 * GIB
MAX_VCPUS: Final = 64
LOG_SLOT: Final = 1

Words = NDArray[np.uint64]


class Vm:
    """A VM with one slot that can log; a context manager.

    Parameters
    ----------
    memory : int
        Bytes of the slot, in whole 2 MiB.
    max_accesses : int
        Most accesses that one run of a vCPU may have.
    vcpus : int
    huge : bool
        Whether the host's own pages behind the slot are of 2 MiB or of 4 KiB.
    manual : int
        Argument of KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2: 0 off, 1 on, 3 with initially-all-set.
    ring_bytes : int
        Size of each vCPU's dirty ring; 0 is a bitmap.

    Raises
    ------
    ConfigError
        If KVM cannot be used, lacks what is asked for, or there is too little memory.
    """

    def __init__(
        self,
        memory: int,
        max_accesses: int,
        *,
        vcpus: int = 1,
        huge: bool = True,
        manual: int = 0,
        ring_bytes: int = 0,
        device: Path = DEVICE,
    ) -> None:
        """Create VM, slots and page tables; vCPUs are made by :class:`mmusim.kvm.vcpu.Vcpu`."""
        needs = ["binary statistics"]
        needs += ["manual dirty-log protect"] * bool(manual) + ["dirty ring"] * bool(ring_bytes)
        self.memory, self.pages, self.vcpus = memory, memory // PAGE, vcpus
        self.max_accesses, self.ring_bytes = max_accesses, ring_bytes
        self._fds: list[int] = []
        self._memories: list[Memory] = []
        try:
            self.kvm = self._keep(open_kvm(device, needs))
            self.fd = self._keep(fcntl.ioctl(self.kvm, abi.CREATE_VM, 0))
            if manual:
                self._enable(abi.CAPABILITIES["manual dirty-log protect"], manual)
            if ring_bytes:
                most = capability(self.kvm, "dirty ring")
                self._enable(abi.CAPABILITIES["dirty ring"], min(ring_bytes, most))
            self.index_bytes = -(-8 * max_accesses // REGION) * REGION
            self.result_bytes = -(-12 * max_accesses // REGION) * REGION
            self.low = self._add(0, 0, LOW)
            self.index = self._add(2, INDEX, self.index_bytes * vcpus)
            self.result = self._add(3, RESULT, self.result_bytes * vcpus)
            self.data = self._add(LOG_SLOT, DATA, memory, huge=huge)
            self._write_tables()
            self.low.bytes[CODE : CODE + len(GUEST_CODE)] = np.frombuffer(GUEST_CODE, np.uint8)
            self.statistics = Statistics(self.fd)
        except BaseException:
            self.close()
            raise

    def _keep(self, fd: int) -> int:
        self._fds.append(fd)
        return fd

    def _enable(self, what: int, argument: int) -> None:
        fcntl.ioctl(self.fd, abi.ENABLE_CAP_VM, abi.ENABLE_CAP.pack(what, 0, argument, 0, 0, 0))

    def _add(self, slot: int, gpa: int, size: int, *, huge: bool = True) -> Memory:
        memory = Memory(size, huge=huge)
        self._memories.append(memory)
        self._set(slot, 0, gpa, size, memory)
        return memory

    def _set(self, slot: int, flags: int, gpa: int, size: int, memory: Memory) -> None:
        region = abi.REGION.pack(slot, flags, gpa, size, memory.address)
        fcntl.ioctl(self.fd, abi.SET_USER_MEMORY_REGION, region)

    def _write_tables(self) -> None:
        """Identity map by 2 MiB entries: present, writable, user, and PS where they are leaves."""
        gib = -(-(DATA + self.memory) // GIB)
        self.low.words(PML4, 1)[0] = PDPT | 7
        self.low.words(PDPT, gib)[:] = PAGE_DIRECTORIES + PAGE * np.arange(gib) + 7
        entries = np.arange(gib * 512, dtype=np.uint64) * np.uint64(REGION) + np.uint64(0x87)
        self.low.words(PAGE_DIRECTORIES, gib * 512)[:] = entries

    def log(self, on: bool) -> int:
        """Switch dirty logging of the slot; return what that took in nanoseconds."""
        flags = abi.LOG_DIRTY_PAGES if on else 0
        region = abi.REGION.pack(LOG_SLOT, flags, DATA, self.memory, self.data.address)
        began = time.perf_counter_ns()
        fcntl.ioctl(self.fd, abi.SET_USER_MEMORY_REGION, region)
        return time.perf_counter_ns() - began

    def recreate(self, *, logging: bool) -> int:
        """Delete the slot and make it again; return what that took in nanoseconds."""
        began = time.perf_counter_ns()
        self._set(LOG_SLOT, 0, DATA, 0, self.data)
        self._set(LOG_SLOT, abi.LOG_DIRTY_PAGES * logging, DATA, self.memory, self.data)
        return time.perf_counter_ns() - began

    def get_dirty(self, bitmap: Words) -> int:
        """KVM_GET_DIRTY_LOG into `bitmap`, shape (ceil(pages / 64),); return nanoseconds."""
        request = abi.DIRTY_LOG.pack(LOG_SLOT, 0, bitmap.ctypes.data)
        began = time.perf_counter_ns()
        fcntl.ioctl(self.fd, abi.GET_DIRTY_LOG, request)
        return time.perf_counter_ns() - began

    def clear_dirty(self, bitmap: Words, first: int, pages: int) -> int:
        """KVM_CLEAR_DIRTY_LOG over a range of whole words of the bitmap; return nanoseconds."""
        at = bitmap.ctypes.data + first // 8
        request = bytearray(abi.CLEAR_LOG.pack(LOG_SLOT, pages, first, at))
        began = time.perf_counter_ns()
        fcntl.ioctl(self.fd, abi.CLEAR_DIRTY_LOG, request)
        return time.perf_counter_ns() - began

    def reset_rings(self) -> int:
        """KVM_RESET_DIRTY_RINGS; return nanoseconds."""
        began = time.perf_counter_ns()
        fcntl.ioctl(self.fd, abi.RESET_DIRTY_RINGS, 0)
        return time.perf_counter_ns() - began

    def bitmap(self) -> Words:
        """Return an empty bitmap for the slot."""
        return np.zeros(-(-self.pages // 64), np.uint64)

    def close(self, more: Iterable[int] = ()) -> None:
        """Close all files and give all memory back."""
        statistics = getattr(self, "statistics", None)
        if statistics is not None:
            statistics.close()
            del self.statistics
        for fd in [*more, *reversed(self._fds)]:
            os.close(fd)
        self._fds.clear()
        for memory in self._memories:
            memory.close()
        self._memories.clear()

    def __enter__(self) -> Self:
        """Return the VM."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()


def count_bits(bitmap: Words) -> int:
    """Return how many bits of a bitmap are set."""
    return int(np.bitwise_count(bitmap).sum())
