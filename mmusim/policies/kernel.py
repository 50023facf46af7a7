"""What else about dirty logging changed from kernel to kernel, beside the policy."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from mmusim.errors import ConfigError, nearest


class Disable(Enum):
    """What switching logging off does to the small sptes."""

    KEEP_SMALL = "nothing: a later fault that may map large replaces them"
    ZAP_COLLAPSIBLE = "zap them where a large one is allowed (3ea3b7fa9af0, 4.1)"


class EnableWalk(Enum):
    """How the slot is walked when logging is switched on; decides what the walk costs."""

    ACTIVE_TABLES = "512 entries of every shadow page of the slot"
    RMAP = "one rmap head per gfn and level (3.9)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """The behaviour of one release's legacy MMU under dirty logging."""

    name: str
    disable: Disable
    enable_walk: EnableWalk
    flush_under_lock: bool
    """Flush before mmu_lock is dropped; after it since 198c74f43f0f (3.16)."""
    fast_fault_at_target_level_only: bool
    """The lockless walk stops at the level a new mapping would have. So a small read-only spte
    where a large one is allowed takes the slow path, which is how large sptes come back in
    kernels before 4.1. Modern kernels walk down to the leaf."""
    manual_protect: bool
    """KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 (d7547c55cbe7, 5.2)."""
    initially_all_set: bool
    """3c9bd4006bfc, 5.7."""


KERNELS: Final = {
    kernel.name: kernel
    for kernel in (
        Kernel(
            name="linux-3.7",
            disable=Disable.KEEP_SMALL,
            enable_walk=EnableWalk.ACTIVE_TABLES,
            flush_under_lock=True,
            fast_fault_at_target_level_only=True,
            manual_protect=False,
            initially_all_set=False,
        ),
        Kernel(
            name="linux-3.16",
            disable=Disable.KEEP_SMALL,
            enable_walk=EnableWalk.RMAP,
            flush_under_lock=False,
            fast_fault_at_target_level_only=True,
            manual_protect=False,
            initially_all_set=False,
        ),
        Kernel(
            name="linux-6.1",
            disable=Disable.ZAP_COLLAPSIBLE,
            enable_walk=EnableWalk.RMAP,
            flush_under_lock=False,
            fast_fault_at_target_level_only=False,
            manual_protect=True,
            initially_all_set=True,
        ),
    )
}


def kernel_named(name: str) -> Kernel:
    """Return the kernel called `name`.

    Raises
    ------
    ConfigError
        If there is none; with the nearest known name.
    """
    if name not in KERNELS:
        raise ConfigError.of(
            "vm", "kernel", name, "is not a kernel mmusim models", nearest(name, KERNELS)
        )
    return KERNELS[name]
