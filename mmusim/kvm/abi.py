"""Numbers and layouts of the KVM interface: ``include/uapi/linux/kvm.h``, x86-64."""

from __future__ import annotations

import struct
from typing import Final

KVMIO: Final = 0xAE
NONE, WRITE, READ = 0, 1, 2


def _ioctl(direction: int, number: int, size: int = 0) -> int:
    """Encode a request (``asm-generic/ioctl.h``)."""
    return direction << 30 | size << 16 | KVMIO << 8 | number


SEGMENT: Final = struct.Struct("<QIHBBBBBBBBBB")  # kvm_segment
REGS: Final = struct.Struct("<18Q")  # kvm_regs
SREGS_BYTES: Final = 312  # kvm_sregs
SREGS_CR0: Final = 224  # offset of cr0, cr2, cr3, cr4, cr8, efer
REGION: Final = struct.Struct("<IIQQQ")  # kvm_userspace_memory_region
DIRTY_LOG: Final = struct.Struct("<IIQ")  # kvm_dirty_log
CLEAR_LOG: Final = struct.Struct("<IIQQ")  # kvm_clear_dirty_log
ENABLE_CAP: Final = struct.Struct("<IIQQQQ64x")  # kvm_enable_cap
CPUID: Final = struct.Struct("<II")  # kvm_cpuid2: number of entries, padding; entries follow
CPUID_ENTRY_BYTES: Final = 40  # kvm_cpuid_entry2
MOST_CPUID_ENTRIES: Final = 256  # KVM_MAX_CPUID_ENTRIES
STATS_HEADER: Final = struct.Struct("<IIIIII")  # kvm_stats_header
STATS_DESCRIPTOR: Final = struct.Struct("<IhHII")  # kvm_stats_desc, name apart

GET_API_VERSION: Final = _ioctl(NONE, 0x00)
CREATE_VM: Final = _ioctl(NONE, 0x01)
CHECK_EXTENSION: Final = _ioctl(NONE, 0x03)
GET_VCPU_MMAP_SIZE: Final = _ioctl(NONE, 0x04)
GET_SUPPORTED_CPUID: Final = _ioctl(READ | WRITE, 0x05, CPUID.size)
CREATE_VCPU: Final = _ioctl(NONE, 0x41)
GET_DIRTY_LOG: Final = _ioctl(WRITE, 0x42, DIRTY_LOG.size)
SET_USER_MEMORY_REGION: Final = _ioctl(WRITE, 0x46, REGION.size)
RUN: Final = _ioctl(NONE, 0x80)
GET_REGS: Final = _ioctl(READ, 0x81, REGS.size)
SET_REGS: Final = _ioctl(WRITE, 0x82, REGS.size)
GET_SREGS: Final = _ioctl(READ, 0x83, SREGS_BYTES)
SET_SREGS: Final = _ioctl(WRITE, 0x84, SREGS_BYTES)
ENABLE_CAP_VM: Final = _ioctl(WRITE, 0xA3, ENABLE_CAP.size)
SET_CPUID2: Final = _ioctl(WRITE, 0x90, CPUID.size)
GET_TSC_KHZ: Final = _ioctl(NONE, 0xA3)
CLEAR_DIRTY_LOG: Final = _ioctl(READ | WRITE, 0xC0, CLEAR_LOG.size)
RESET_DIRTY_RINGS: Final = _ioctl(NONE, 0xC7)
GET_STATS_FD: Final = _ioctl(NONE, 0xCE)

API_VERSION: Final = 12

CAPABILITIES: Final = {
    "user memory": 3, "manual dirty-log protect": 168, "dirty ring": 192, "binary statistics": 203,
}  # fmt: skip
"""KVM_CAP_USER_MEMORY, _MANUAL_DIRTY_LOG_PROTECT2, _DIRTY_LOG_RING, _BINARY_STATS_FD."""

LOG_DIRTY_PAGES: Final = 1  # flag of a memory region

EXIT_IO: Final = 2
EXIT_DIRTY_RING_FULL: Final = 31
EXIT_REASON: Final = 8  # offset in kvm_run

RING_OFFSET: Final = 64 * 4096  # KVM_DIRTY_LOG_PAGE_OFFSET pages into the vCPU's file
RING_ENTRY: Final = [("flags", "<u4"), ("slot", "<u4"), ("offset", "<u8")]  # kvm_dirty_gfn
RING_DIRTY, RING_RESET = 1, 2  # flags of an entry

READ_ONCE_PER_VALUE: Final = 1  # size of a statistic that is one number
