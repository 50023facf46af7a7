"""The ways in which user space learns which pages are dirty, and when pages are re-armed."""

from typing import ClassVar

from mmusim.policies.axes import Large, Reporting
from mmusim.policies.base import Policy
from mmusim.policies.lazy_drop import LazyDrop


class GetClears(Policy, name="get-clears", choices=(Reporting.GET_CLEARS,)):
    """KVM_GET_DIRTY_LOG reports, clears the bitmap and re-arms, all under one hold of mmu_lock.

    The only way before 5.2. A page is re-armed long before it is sent. A write in between makes the
    page go twice.
    """

    commits = ("2.6.28 and before", "95d4c16ce78c (3.3, by rmap)")


class ManualClear(Policy, name="manual-clear", choices=(Reporting.MANUAL_CLEAR,)):
    """Get only copies the bitmap. KVM_CLEAR_DIRTY_LOG clears and re-arms in chunks.

    A chunk is a multiple of 64 pages. Each chunk is one hold of mmu_lock, bounded by its size, and
    is cleared just before its pages are sent.
    """

    commits = ("2a31b9db1535 (5.0)", "d7547c55cbe7 (5.2)")


class InitAllSet(Policy, name="initially-all-set", choices=(Reporting.ALL_SET,)):
    """As manual-clear, but enabling fills the bitmap with ones and does nothing else.

    Nothing is armed before the first clear of a range, which makes large sptes read-only or splits
    them. Nothing is lost, because the first pass sends everything anyway. A large spte that the
    first clear makes read-only loses mmu_writable. So small sptes that a fault splits from it take
    the slow path once (driver.all_set_keeps_mmu_writable = true shows the cost of that).
    Before 5.14 enabling itself makes large sptes read-only, and the first clear leaves them.
    """

    commits = ("3c9bd4006bfc (5.7)", "cb00a70bd4b7 (5.18, splits at clear)")


class Deferred(LazyDrop, name="deferred", choices=(Large.DEFERRED, Reporting.ALL_SET)):
    """With initially-all-set: large sptes stay writable until the first clear of their range.

    Then they are read-only, and the first write drops them, or splits them (6.2, TDP MMU).
    """

    commits: ClassVar[tuple[str, ...]] = ("3c9bd4006bfc (5.7)",)


class DirtyRing(Policy, name="dirty-ring", choices=(Reporting.DIRTY_RING,)):
    """Each vCPU pushes the pages it dirties to a ring that user space harvests; no bitmap.

    A ring stops its vCPU when only its reserve of 64 entries is free (512 more under PML). The vCPU
    waits until user space has harvested and KVM_RESET_DIRTY_RINGS has re-armed the pages. The reset
    works by masks of up to 64 neighbouring pages, each with its own hold of mmu_lock, and flushes
    once at the end. The work depends on the written pages and not on the size of memory.
    """

    commits = ("fb04a1eddb1a (5.11)",)
