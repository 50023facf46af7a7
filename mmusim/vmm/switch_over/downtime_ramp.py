"""A downtime limit that grows while the migration does not end."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mmusim.base.quantities import Time, shown
from mmusim.base.units import NS
from mmusim.vmm.switch_over.base import Seen, SwitchOver


class DowntimeRamp(SwitchOver, name="downtime-ramp"):
    """QEMU's estimate with a limit that grows by `step` every `every`, from `least` to `most`.

    Source: the ramps that managers put on top of QEMU: KubeVirt's proposals VEP 248 and 291 go
    from 150 to 1,050 ms; Proxmox VE ("auto-increased downtime to continue migration") has a
    ramp of its own. OpenStack Nova goes to `live_migration_downtime` in equal steps
    (nova/virt/libvirt/migration.py, `downtime_steps`); with its defaults of 500 ms, 10 steps and
    75 s per GiB that is `least` 50 ms, `most` 500 ms, `step` 45 ms, and `every` 75 s times the
    memory in GiB.
    """

    rule: Annotated[Literal["downtime-ramp"], shown("downtime-ramp")]
    """Name of the rule."""
    least: Annotated[Time, Field(gt=0), shown("150ms")] = 150e6
    """Downtime limit at the beginning."""
    most: Annotated[Time, Field(gt=0), shown("1050ms")] = 1050e6
    """Largest downtime limit."""
    step: Annotated[Time, shown("100ms")] = 100e6
    """What is added each time."""
    every: Annotated[Time, Field(ge=1e6), shown("10s")] = 10e9
    """Time from one step to the next."""

    def limit(self, now_ns: int) -> float:
        """Return the downtime limit at a time of the migration, both in ns."""
        return max(self.least, min(self.most, self.least + self.step * (now_ns // self.every)))

    def may_be_left(self, seen: Seen) -> float:
        """Return bandwidth times the limit of now."""
        return seen.bandwidth * self.limit(seen.now_ns) / NS["s"]
