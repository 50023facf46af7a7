"""The machine's own KVM over ioctl and mmap: measurements, live runs of a plan, kernel counters.

May import ``calibration``, ``conformance``, ``plan`` and what is below.
"""
