"""The MMUs and their lock."""

from mmusim.policies.axes import Lock, Mmu
from mmusim.policies.base import Policy


class Legacy(Policy, name="legacy", choices=(Mmu.LEGACY,)):
    """Direct paging with an rmap: slow faults and all walks hold mmu_lock exclusively.

    A fault on 4 KiB backing maps eight neighbours at once if the slot is not tracked. A table that
    a large spte replaced stays hashed and is linked again. In use with kvm.tdp_mmu=0.
    """

    commits = ("before 71ba3f3189c7 (5.15)",)


class Tdp(Policy, name="tdp", choices=(Mmu.TDP,)):
    """The TDP MMU: no rmap, walks visit only what is mapped, and page faults share mmu_lock.

    Faults, enabling and eager splitting hold the lock for read; get, clear and the reset of rings
    hold it for write and stop every slow fault. fast_page_fault works here since 5.15.
    """

    commits = (
        "5.10",
        "a2855afc7ee8 (parallel faults)",
        "71ba3f3189c7 (5.15, default)",
        "6e8eb2060cc7 (5.15, fast path)",
    )


class Shadow(Policy, name="shadow", choices=(Mmu.SHADOW,)):
    """Shadow paging, on a host without EPT or NPT: no lockless path, no PML, no eager splitting.

    Every fault holds mmu_lock exclusively. KVM shadows and write-protects guest page tables.
    experiments/unshadow-livelock shows a consequence.
    """

    commits = ("2.6.20 and before",)


class Nested(Policy, name="nested", choices=(Mmu.NESTED,)):
    """The guest is the guest of a guest: KVM shadows the EPT or NPT of L1 through the rmap.

    As shadow paging, but large sptes are split eagerly since 6.0.
    """

    commits = ("ada51a9de737 (6.0, eager split)",)


class SpinLock(Policy, name="spinlock", choices=(Lock.SPINLOCK,)):
    """mmu_lock is a spinlock, first come, first served: x86 before 5.12."""

    commits = ("before 531810caa9f4 (5.12)",)


class RwLock(Policy, name="rwlock", choices=(Lock.RWLOCK,)):
    """mmu_lock is a queued, fair rwlock: x86 since 5.12. Only the TDP MMU takes it for read."""

    commits = ("531810caa9f4 (5.12)",)
