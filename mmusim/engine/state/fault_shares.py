"""The parts of a page fault."""

from __future__ import annotations

from mmusim.plan.make import Plan
from mmusim.policies import Mmu


class FaultShares:
    """How one draw of a whole fault is divided into handler, locked section and entry.

    The exit has a draw of its own, because it is paid before the path is known. The other parts
    share the rest in proportion to the means of the profile.
    """

    __slots__ = ("after_exit", "entry", "locked")

    def __init__(self, plan: Plan, whole: str, locked: str | None) -> None:
        """Divide the cost `whole`; `locked` is the cost under mmu_lock, if there is one."""

        def share(*names: str) -> float:
            total = plan.costs[whole].mean()
            return sum(plan.costs[name].mean() for name in names) / total if total else 0.0

        self.after_exit = 1 - share("c_exit")
        self.entry = share("c_entry")
        self.locked = 0.0
        if locked:
            longer = plan.machine is not None and plan.machine.follows("indirect")
            indirect = longer and plan.choices.mmu in (Mmu.SHADOW, Mmu.NESTED)
            self.locked = share(locked, "c_lock_indirect") if indirect else share(locked)
