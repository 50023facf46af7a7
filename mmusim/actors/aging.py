"""Page aging: the host finds out which pages of the guest were accessed, beside the log."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from mmusim.actors.base import Actor, HostView, Steps
from mmusim.base.quantities import Count, Share, Time, shown

NEVER = math.inf


class PageAging(Actor, name="page-aging"):
    """Looks at a few pages of the guest again and again and clears their A bit, as kswapd does.

    A page of the host is one call of an MMU notifier: kvm_mmu_notifier_clear_flush_young with the
    classic LRU, kvm_mmu_notifier_clear_young with the multi-gen LRU (Linux 6.1, CONFIG_LRU_GEN).
    Each call takes mmu_lock for write up to Linux 6.14. The classic one also flushes the TLBs of
    all vCPUs, with mmu_lock held, if the page was accessed; up to 6.12. Pages are looked at in the
    order of their addresses, round and round. The processor sets A again by itself, so no access
    faults.
    """

    lru: Annotated[Literal["classic", "multi-gen"], shown("multi-gen")] = "classic"
    """Which lists the host keeps its pages in, ``classic`` or ``multi-gen``."""
    every: Annotated[Time, Field(ge=1_000), shown("10ms")] = 10e6
    """Mean time from the end of one batch of pages to the next."""
    jitter: Annotated[Share, Field(le=1), shown("100%")] = 0.0
    """Spread of that time, relative to its mean; 100% is a Poisson process."""
    batch: Annotated[Count, Field(ge=1, le=1_000_000), shown(32, "pages of the host")] = 32
    """Pages of the host that are looked at in a row (SWAP_CLUSTER_MAX)."""
    young: Annotated[Share, Field(gt=0, le=1), shown("50%")] = 1.0
    """Share of the mapped pages that were accessed since they were looked at last."""

    SPREAD: ClassVar[float] = 1e6  # ns; only the share of it counts

    def process(self, host: HostView) -> Steps:
        """Look at one batch after the other."""
        flushes, size = self.lru == "classic", host.host_page
        first, young = 0, host.times("young", self.SPREAD, 1.0)
        # An exponential time is shorter than this with the probability `young`.
        limit = NEVER if self.young == 1 else -self.SPREAD * math.log1p(-self.young)
        for gap in host.times("gap", self.every, self.jitter):
            yield from host.sleep(gap)
            for _ in range(self.batch):
                accessed = limit == NEVER or next(young) < limit
                pages = min(size, host.pages - first)
                yield from host.age(first, pages, flush=flushes and accessed)
                first = (first + pages) % host.pages
