"""Two ways in which Linux tells which pages a process has written since it was last asked.

* ``PAGEMAP_SCAN`` (Linux 6.7) reads and write-protects in one step the pages that were written. The
  memory must belong to a userfaultfd of the process that protects asynchronously: the kernel lets a
  write to a protected page through by itself and notes it. Nobody waits for user space.
* Soft-dirty bits (CONFIG_MEM_SOFT_DIRTY) are cleared through ``clear_refs`` and read from
  ``pagemap``. A write between reading and clearing is lost.

Sources: Documentation/admin-guide/mm/pagemap.rst, soft-dirty.rst and userfaultfd.rst;
include/uapi/linux/fs.h and userfaultfd.h.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import struct
from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from mmusim.base.errors import ConfigError
from mmusim.base.units import PAGE
from mmusim.process_memory.mappings import Mapping
from mmusim.process_memory.remote_calls import inside

Pages = NDArray[np.int64]

_UFFDIO_API, _UFFDIO_REGISTER = 0xC018AA3F, 0xC020AA00
_API: Final = 0xAA
_FEATURES: Final = 1 << 12 | 1 << 13 | 1 << 15  # shared memory, unpopulated pages, asynchronous
_MODE_WP: Final = 1 << 1
_USER_MODE_ONLY: Final = 1
_SYS_MMAP, _SYS_MUNMAP, _SYS_CLOSE, _SYS_IOCTL, _SYS_USERFAULTFD = 9, 11, 3, 16, 323
_PAGEMAP_SCAN: Final = 0xC0606610
_WP_MATCHING, _CHECK_ASYNC = 1, 2
_IS_WRITTEN: Final = 1 << 1
_SOFT_DIRTY: Final = 55
_REGIONS: Final = 4096  # of one call


class Written(Protocol):
    """A way to ask which pages a process has written."""

    name: str
    covered: list[Mapping]

    def take(self) -> Pages:
        """Return the numbers of the pages written since the last call, each once; begin anew."""

    def close(self) -> None:
        """Leave the process as it was."""


class PagemapScan:
    """Pages written, by PAGEMAP_SCAN."""

    name = "PAGEMAP_SCAN"

    def __init__(self, pid: int, mappings: Sequence[Mapping]) -> None:
        """Let the process make a userfaultfd for those mappings that can have one.

        Raises
        ------
        ConfigError
            If it may not be traced, or its kernel cannot do it.
        """
        self._pid = pid
        self.covered = []
        with inside(pid) as it:
            room = it.call(_SYS_MMAP, 0, PAGE, 3, 0x22, (1 << 64) - 1, 0)
            self._fd = it.call(_SYS_USERFAULTFD, os.O_CLOEXEC | _USER_MODE_ONLY)
            if room < 0 or self._fd < 0:
                raise _cannot(pid, os.strerror(-min(room, self._fd)))
            it.write(room, struct.pack("<QQQ", _API, _FEATURES, 0))
            if (error := it.call(_SYS_IOCTL, self._fd, _UFFDIO_API, room)) < 0:
                it.call(_SYS_CLOSE, self._fd)
                raise _cannot(pid, os.strerror(-error))
            for one in mappings:
                size = one.end - one.start
                it.write(room, struct.pack("<QQQQ", one.start, size, _MODE_WP, 0))
                if it.call(_SYS_IOCTL, self._fd, _UFFDIO_REGISTER, room) == 0:
                    self.covered.append(one)
            it.call(_SYS_MUNMAP, room, PAGE)
        self._pagemap = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)

    def take(self) -> Pages:
        """Return the numbers of the pages written since the last call, and protect them.

        The kernel may end a walk before what it has told already (6.18). A page that is written
        between two calls is told twice then.
        """
        found = [self._of(one) for one in self.covered]
        return np.concatenate(found) if found else np.zeros(0, np.int64)

    def _of(self, one: Mapping) -> Pages:
        room = (ctypes.c_uint64 * (3 * _REGIONS))()
        at, pages = one.start, [np.zeros(0, np.int64)]
        while at < one.end:
            asked = bytearray(struct.pack(
                "<12Q", 96, _WP_MATCHING | _CHECK_ASYNC, at, one.end, 0, ctypes.addressof(room),
                _REGIONS, 0, 0, _IS_WRITTEN, 0, _IS_WRITTEN,
            ))  # fmt: skip
            try:
                count = fcntl.ioctl(self._pagemap, _PAGEMAP_SCAN, asked)
            except OSError as error:
                raise _cannot(self._pid, f"PAGEMAP_SCAN: {error.strerror}") from None
            rows = np.array(room[: 3 * count], np.int64).reshape(-1, 3)
            pages += [np.arange(start // PAGE, end // PAGE) for start, end in rows[:, :2]]
            at = max(struct.unpack_from("<Q", asked, 32)[0], at + PAGE)
        return np.unique(np.concatenate(pages))

    def close(self) -> None:
        """Close the userfaultfd, which ends all protection."""
        os.close(self._pagemap)
        with inside(self._pid) as it:
            it.call(_SYS_CLOSE, self._fd)


class SoftDirty:
    """Pages written, by soft-dirty bits."""

    name = "soft-dirty"

    def __init__(self, pid: int, mappings: Sequence[Mapping]) -> None:
        """Nothing is needed in the process.

        Raises
        ------
        ConfigError
            If the kernel has no such bits, or the process may not be looked at.
        """
        if not has_soft_dirty():
            raise _cannot(pid, "this kernel has no CONFIG_MEM_SOFT_DIRTY")
        self._pid = pid
        self.covered = list(mappings)
        self._pagemap = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)

    def take(self) -> Pages:
        """Return the numbers of the pages written since the last call, and clear the bits."""
        found = [np.zeros(0, np.int64)]
        for one in self.covered:
            first, count = one.start // PAGE, (one.end - one.start) // PAGE
            found.append(first + _soft_dirty(self._pagemap, first, count))
        _clear(self._pid)
        return np.concatenate(found)

    def close(self) -> None:
        """Close the file."""
        os.close(self._pagemap)


def _soft_dirty(pagemap: int, first: int, count: int) -> Pages:
    entries = np.frombuffer(os.pread(pagemap, 8 * count, 8 * first), np.uint64)
    return np.flatnonzero(entries >> np.uint64(_SOFT_DIRTY) & np.uint64(1)).astype(np.int64)


def _clear(pid: int) -> None:
    with open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as file:  # noqa: PTH123
        file.write("4")


def has_soft_dirty() -> bool:
    """Tell whether the kernel keeps soft-dirty bits, by a trial on a page of our own."""
    with mmap.mmap(-1, 2 * PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory[0], memory[PAGE] = 1, 1
        hold = ctypes.c_char.from_buffer(memory)
        first = ctypes.addressof(hold) // PAGE
        pagemap = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _clear(os.getpid())
            before = _soft_dirty(pagemap, first, 2).tolist()
            memory[PAGE] = 2
            after = _soft_dirty(pagemap, first, 2).tolist()
        except OSError:
            return False
        finally:
            os.close(pagemap)
            del hold
    return bool(before == [] and after == [1])


def has_pagemap_scan() -> bool:
    """Tell whether the kernel can protect asynchronously, by a userfaultfd of our own."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(_SYS_USERFAULTFD, os.O_CLOEXEC | _USER_MODE_ONLY)
    if fd < 0:
        return False
    try:
        fcntl.ioctl(fd, _UFFDIO_API, bytearray(struct.pack("<QQQ", _API, _FEATURES, 0)))
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def ways() -> list[type[PagemapScan] | type[SoftDirty]]:
    """Return the ways that this kernel has, the better first."""
    has = ((PagemapScan, has_pagemap_scan()), (SoftDirty, has_soft_dirty()))
    return [way for way, there in has if there]


def _cannot(pid: int, why: str) -> ConfigError:
    return ConfigError.of(
        "workload watch", "PID", pid, f"cannot be watched ({why})",
        "use Linux 6.7 or later with CONFIG_USERFAULTFD, or a kernel with CONFIG_MEM_SOFT_DIRTY; "
        "or record a program with valgrind: mmusim workload record",
    )  # fmt: skip
