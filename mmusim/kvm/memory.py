"""Memory for guests: anonymous, aligned to 2 MiB, present from the start."""

from __future__ import annotations

import ctypes
import mmap
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmusim.base.errors import ConfigError
from mmusim.base.units import BYTES, REGION, show_bytes


class Memory:
    """A part of this process's memory for a guest. Closing it returns the memory."""

    def __init__(self, size: int, *, huge: bool = True) -> None:
        """Map `size` bytes, in transparent huge pages or in none, and touch all of them.

        Raises
        ------
        ConfigError
            If the machine has not so much memory to spare.
        """
        spare = available()
        if size > spare * 3 // 4:
            raise ConfigError.of(
                "guest memory", "size", show_bytes(size),
                f"is more than three quarters of the {show_bytes(spare)} that are available",
                "choose a smaller guest, or free memory",
            )  # fmt: skip
        self.size = size
        self._map = mmap.mmap(-1, size + REGION, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        whole = np.frombuffer(self._map, np.uint8)
        start = -int(whole.ctypes.data) % REGION
        self._map.madvise(
            mmap.MADV_HUGEPAGE if huge else mmap.MADV_NOHUGEPAGE, start, size
        )  # fmt: skip
        self.bytes: NDArray[np.uint8] = whole[start : start + size]
        self.address = int(self.bytes.ctypes.data)
        self.bytes[:: mmap.PAGESIZE] = 0

    def words(self, offset: int, count: int) -> NDArray[np.uint64]:
        """Return `count` 64-bit words from a byte offset on, as a view."""
        return self.bytes[offset : offset + 8 * count].view(np.uint64)

    def huge_share(self) -> float:
        """Return the share of this memory that the host maps by 2 MiB pages."""
        kib = 0
        inside = False
        for line in Path("/proc/self/smaps").read_text().splitlines():
            head = line.split()[0]
            if not head.endswith(":"):
                first, last = (int(part, 16) for part in head.split("-"))
                inside = first < self.address + self.size and last > self.address
            elif inside and head == "AnonHugePages:":
                kib += int(line.split()[1])
        return min(1.0, kib * BYTES["KiB"] / self.size)

    def close(self) -> None:
        """Return the memory now. Views of it must not be used any more."""
        ctypes.CDLL(None).madvise(
            ctypes.c_void_p(self.address), ctypes.c_size_t(self.size), mmap.MADV_DONTNEED
        )


def available() -> int:
    """Return how many bytes can be allocated without swapping (MemAvailable)."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * BYTES["KiB"]
    return 1 << 62
