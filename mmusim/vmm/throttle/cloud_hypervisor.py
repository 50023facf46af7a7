"""The throttle of Cloud Hypervisor: a step every second pass, whatever the guest dirties."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from mmusim.base.quantities import Count, shown
from mmusim.base.units import NS
from mmusim.vmm.throttle.auto_converge import ThrottleShare
from mmusim.vmm.throttle.base import Throttle, Watched

CYCLE_NS: Final = 500 * NS["ms"]
"""TIMESLICE_MS: time in which the vCPUs are paused once and run once."""


class CloudHypervisor(Throttle, name="cloud-hypervisor"):
    """Cloud Hypervisor's rule: after `delay` passes, and every `passes` after that, one more step.

    All vCPUs pause for the share of each cycle of 500 ms. The rule does not ask whether the guest
    dirties much: a migration that goes on is slowed down.

    Source: `vmm/src/vcpu_throttling.rs` (TIMESLICE_MS 500) and the constants AUTO_CONVERGE_* of
    `vmm/src/lib.rs` (2 passes, 10 %, 2 passes, 99 %) of Cyberus Technology's branch, 2025.
    """

    least_period_ns: ClassVar[int] = 0
    rule: Annotated[Literal["cloud-hypervisor"], shown("cloud-hypervisor")]
    """Name of the throttle."""
    delay: Annotated[Count, shown(3, "passes")] = 2
    """Number of passes after which it takes its first step."""
    passes: Annotated[Count, shown(1, "passes")] = 2
    """Number of passes from one step to the next."""
    step: Annotated[ThrottleShare, shown("20%")] = 0.1
    """Share of time that each step adds."""
    most: Annotated[ThrottleShare, shown("80%")] = 0.99
    """Largest share that it takes."""

    def share(self, watched: Watched) -> float:
        """Return the next step at its pass. The first period is the set-up, which is no pass."""
        over = len(watched.periods) - 1 - self.delay
        if over < 0 or over % self.passes:
            return watched.share
        return round(min(watched.share + self.step, self.most), 6)

    def cycle(self, share: float) -> tuple[int, int]:
        """Return the paused part of a cycle, and the cycle, in ns."""
        return int(share * CYCLE_NS), CYCLE_NS
