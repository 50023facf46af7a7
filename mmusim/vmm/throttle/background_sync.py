"""Auto-converge with a timer that reads the log while a pass over memory takes long."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mmusim.base.quantities import Time, shown
from mmusim.vmm.qemu import Qemu
from mmusim.vmm.throttle.auto_converge import SYNC_EVERY_NS, AutoConverge


class BackgroundSync(AutoConverge, name="background-sync"):
    """Auto-converge that is judged at least `every` so often, whatever the release of QEMU.

    Source: Huang, migration: Support periodic RAMBlock dirty bitmap sync, QEMU 52ac968ab2. QEMU has
    it since 9.2, every 5 s, from the second pass over memory on.
    """

    rule: Annotated[Literal["background-sync"], shown("background-sync")]  # type: ignore[assignment]
    """Name of the throttle."""
    every: Annotated[Time, Field(ge=1e6), shown("2s")] = SYNC_EVERY_NS
    """Time after which the timer reads the log, if nobody did in the meantime."""

    def sync_every(self, qemu: Qemu) -> int:
        """Return `every`."""
        del qemu
        return round(self.every)
