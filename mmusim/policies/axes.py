"""The five axes of a dirty-logging policy (domain, B.1).

Every value stands here once, with its meaning. ``policies/choices.py`` says which go together.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple, Self


class Axis(Enum):
    """A choice: its value is how people write it."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> Axis:
        """Keep what the value means beside it."""
        member = object.__new__(cls)
        member._value_ = value
        member.meaning = meaning
        return member

    @classmethod
    def of(cls, value: str) -> Self:
        """Return the member that is written `value`."""
        return next(member for member in cls if member.value == value)


class Large(Axis):
    """What happens to large sptes when the log is armed, and to those that block a fault."""

    ZAP = "zap", "arming the log destroys them"
    READ_ONLY = "read-only", "they stay, read-only, and the first write drops them"
    SPLIT_ON_FAULT = "split-on-fault", "they stay, read-only, and the first write splits them"
    EAGER_SPLIT = "eager_page_split", "arming the log splits them into 512 small ones"
    DEFERRED = "deferred", "they stay writable until the first clear makes them read-only"


class Tracking(Axis):
    """How the kernel notices the next write of a small page."""

    WRITE_PROTECT = "write-protect", "W is cleared; the write faults"
    PML = "pml", "D is cleared; the processor logs the write in a buffer of 512 pages"


class Reporting(Axis):
    """How user space learns which pages are dirty."""

    GET_CLEARS = "get-clears", "KVM_GET_DIRTY_LOG reports, clears and re-arms"
    MANUAL_CLEAR = "manual-clear", "get reports; KVM_CLEAR_DIRTY_LOG clears and re-arms in chunks"
    ALL_SET = "initially-all-set", "manual-clear, and enabling only fills the bitmap with ones"
    DIRTY_RING = "dirty-ring", "each vCPU pushes pages to a ring that user space harvests"


class Mmu(Axis):
    """Which MMU code runs."""

    LEGACY = "legacy", "direct paging (EPT, NPT) with an rmap"
    TDP = "tdp", "direct paging in the TDP MMU: no rmap, page faults share mmu_lock"
    SHADOW = "shadow", "no EPT or NPT; the guest's own tables map memory in large pages"
    NESTED = "nested", "the guest is an L2: its L1's EPT or NPT is shadowed through the rmap"


class Lock(Axis):
    """What mmu_lock is."""

    SPINLOCK = "spinlock", "one holder"
    RWLOCK = "rwlock", "many readers or one writer"


class Choices(NamedTuple):
    """A value on every axis."""

    large: Large
    tracking: Tracking
    reporting: Reporting
    mmu: Mmu
    lock: Lock

    def __str__(self) -> str:
        return ", ".join(f"{name} = {value.value}" for name, value in self._asdict().items())


AXES: dict[str, type[Axis]] = {
    "large": Large, "tracking": Tracking, "reporting": Reporting, "mmu": Mmu, "lock": Lock,
}  # fmt: skip
