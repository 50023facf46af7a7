"""KVM's binary statistics: the kernel's own counters of a VM and of a vCPU."""

from __future__ import annotations

import fcntl
import os
from typing import NamedTuple

from mmusim.kvm import abi


class _Counter(NamedTuple):
    name: str
    offset: int


class Statistics:
    """An open statistics file (KVM_GET_STATS_FD)."""

    def __init__(self, owner: int) -> None:
        """Read the descriptors of the file of a VM or vCPU; histograms are left out."""
        self._fd = fcntl.ioctl(owner, abi.GET_STATS_FD, 0)
        head = os.pread(self._fd, abi.STATS_HEADER.size, 0)
        _, name_size, count, _, descriptors, self._data = abi.STATS_HEADER.unpack(head)
        size = abi.STATS_DESCRIPTOR.size + name_size
        blob = os.pread(self._fd, size * count, descriptors)
        self._counters = []
        for at in range(0, size * count, size):
            _, _, values, offset, _ = abi.STATS_DESCRIPTOR.unpack_from(blob, at)
            raw = blob[at + abi.STATS_DESCRIPTOR.size : at + size]
            if values == abi.READ_ONCE_PER_VALUE:
                name = raw.split(b"\0", 1)[0].decode()
                self._counters.append(_Counter(name, offset))
        self._length = max(counter.offset for counter in self._counters) + 8

    def read(self) -> dict[str, int]:
        """Return every counter by its name."""
        data = os.pread(self._fd, self._length, self._data)
        return {
            name: int.from_bytes(data[offset : offset + 8], "little")
            for name, offset in self._counters
        }

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)
