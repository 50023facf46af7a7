"""The parts of a page fault."""

from __future__ import annotations

from mmusim.costs.machine import rmap_entry_ns
from mmusim.plan.make import Plan
from mmusim.policies import Mmu


class FaultShares:
    """How one draw of a whole fault is divided into handler, locked section and entry.

    The exit has a draw of its own, because it is paid before the path is known. The other parts
    share the rest in proportion to the means of the profile.
    """

    __slots__ = ("after_exit", "entry", "locked", "restored")

    def __init__(self, plan: Plan, whole: str, locked: str | None) -> None:
        """Divide the cost `whole`; `locked` is the cost under mmu_lock, if there is one.

        `restored` is the same share of a fault that finds its small leaf, and only gives W back.
        """
        costs = plan.costs

        def share(*names: str) -> float:
            total = costs[whole].mean()
            return sum(costs[name].mean() for name in names) / total if total else 0.0

        self.after_exit = 1 - share("c_exit")
        self.entry = share("c_entry")
        self.locked = share(locked) if locked else 0.0
        self.restored = self.locked
        longer = plan.machine is not None and plan.machine.follows("indirect")
        if locked and longer and plan.choices.mmu in (Mmu.SHADOW, Mmu.NESTED):
            self.locked = share(locked, "c_lock_indirect")
            fewer = added_leaf_ns(plan) / costs[whole].mean() if self.locked else 0.0
            self.restored = max(self.restored, self.locked - fewer)


def added_leaf_ns(plan: Plan) -> float:
    """Return what a fault does for a leaf that was not there, in ns: ``!was_rmapped`` of
    mmu_set_spte.

    It adds the leaf to the rmap. Since 5.15 it changes a count of the VM, whose cache line another
    vCPU has changed last.
    """
    costs = plan.costs
    counts = plan.vcpus > 1 and plan.kernel.counts_mappings()
    added = rmap_entry_ns(costs["c_split_2M"].mean(), costs["c_tdp_split_2M"].mean())
    return added + (costs["c_lock_count"].mean() if counts else 0.0)
