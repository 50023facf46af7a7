"""The VMM as an axis of its own: what each release of QEMU does in a migration, and rules.

May import ``base``.
"""

from mmusim.vmm.qemu import DEFAULT_QEMU, NEWEST_QEMU, RELEASES, Qemu, qemu_named

__all__ = ["DEFAULT_QEMU", "NEWEST_QEMU", "RELEASES", "Qemu", "qemu_named"]
