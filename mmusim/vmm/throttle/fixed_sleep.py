"""The first auto-converge of QEMU: one sleep of a fixed length in each cycle, until the end."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from mmusim.base.quantities import Share, shown
from mmusim.base.units import NS
from mmusim.vmm.throttle.auto_converge import dirty_rate_high
from mmusim.vmm.throttle.base import Throttle, Watched

SLEEP_NS: Final = 30 * NS["ms"]
"""mig_sleep_cpu: g_usleep(30*1000)."""
CYCLE_NS: Final = 41 * NS["ms"]
"""check_guest_throttling: again after more than 40 whole milliseconds."""
BAD_SYNCS: Final = 6
"""dirty_rate_high_cnt++ > 4: the sixth bad sync."""


class FixedSleep(Throttle, name="fixed-sleep"):
    """QEMU's first auto-converge: after the sixth bad sync all vCPUs sleep 30 ms of each 41 ms.

    It has one step and is not turned off before the migration ends. Everything else of the
    migration is that of `vmm.qemu`.

    Source: QEMU commit 7ca1dfad952d, 2013 (mig_sleep_cpu, check_guest_throttling and
    migration_bitmap_sync of arch_init.c), releases 1.6 to 2.4; `domain` K.2 Q4 and Q6.
    """

    rule: Annotated[Literal["fixed-sleep"], shown("fixed-sleep")]
    """Name of the throttle."""
    threshold: Annotated[Share, Field(gt=0), shown("70%")] = 0.5
    """Share of what was sent that may become dirty in the same time."""

    def share(self, watched: Watched) -> float:
        """Return the share of a cycle that the sleep takes once six syncs were bad, else 0."""
        if any(dirty_rate_high(watched.periods, BAD_SYNCS, self.threshold)):
            return SLEEP_NS / CYCLE_NS
        return watched.share

    def cycle(self, share: float) -> tuple[int, int]:
        """Return the sleep and the cycle, in ns."""
        del share
        return SLEEP_NS, CYCLE_NS
