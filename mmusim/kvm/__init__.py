"""The machine's own KVM, driven over ioctl and mmap: a VM, a tiny guest, clocks and counters."""
