"""QEMU's dirty limit: a vCPU that dirties more than its quota sleeps when its ring is full."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from mmusim.base.quantities import Rate, Share, shown
from mmusim.vmm.qemu import Qemu
from mmusim.vmm.throttle.auto_converge import dirty_rate_high
from mmusim.vmm.throttle.base import Throttle, Watched


class DirtyLimit(Throttle, name="dirty-limit"):
    """QEMU's dirty limit: each vCPU that dirties more than `limit` sleeps when its ring is full.

    It begins where auto-converge would slow the guest down for the first time, and needs dirty
    rings. vCPUs that only read go on at full speed.

    Source: QEMU `migration_dirty_limit_guest`, `dirtylimit_adjust_throttle`; `domain` K.2 Q1, Q2.
    """

    needs_rings: ClassVar[bool] = True
    rule: Annotated[Literal["dirty-limit"], shown("dirty-limit")]
    """Name of the throttle."""
    limit: Annotated[Rate, Field(gt=0), shown("20MB/s")] = 1 << 20
    """Memory that each vCPU may dirty in a second."""
    threshold: Annotated[Share, Field(gt=0), shown("70%")] = 0.5
    """Share of what was sent that may become dirty in the same time."""

    def quota(self, watched: Watched) -> int:
        """Return the limit, once the guest has dirtied too much often enough."""
        bad_syncs = watched.qemu.bad_syncs()
        began = any(dirty_rate_high(watched.periods, bad_syncs, self.threshold))
        return self.limit if began else 0

    def beyond(self, qemu: Qemu) -> str:
        """Say that it came in 8.1."""
        return "" if qemu.has_dirty_limit() else "came in QEMU 8.1"
