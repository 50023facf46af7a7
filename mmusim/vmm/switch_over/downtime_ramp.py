"""A downtime limit that grows while the migration does not end."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mmusim.base.errors import MisfitError
from mmusim.base.quantities import Time, shown
from mmusim.base.units import NS, show_ns
from mmusim.vmm.switch_over.base import Seen, SwitchOver


class DowntimeRamp(SwitchOver, name="downtime-ramp"):
    """QEMU's estimate with a limit that grows by `step` every `every`, from `least` to `most`.

    The first step is taken `every` after the beginning, or when `after` rounds are over if that is
    later.

    Source: KubeVirt's VEP 291 as it was merged (`tuneDowntime`): `initialMs` 150, `steps` 7 up to
    `maxDowntimeMs` 1,050 (900 / 7 = 128 ms in whole milliseconds, so the last of them is the
    eighth), `cooldownSeconds` 10, `startAfterIteration` 3. It counts iterations by
    `dirty-sync-count`, which is 3 when two rounds are over. It looks every 400 ms; here a step is
    taken at once. Proxmox VE ("auto-increased downtime to continue migration") has a ramp of its
    own. OpenStack Nova goes to `live_migration_downtime` in equal steps
    (nova/virt/libvirt/migration.py, `downtime_steps`); with its defaults of 500 ms, 10 steps and
    75 s per GiB that is `least` 50 ms, `most` 500 ms, `step` 45 ms, `after` 0, and `every` 75 s
    times the memory in GiB.
    """

    rule: Annotated[Literal["downtime-ramp"], shown("downtime-ramp")]
    """Name of the rule."""
    least: Annotated[Time, Field(gt=0), shown("150ms")] = 150e6
    """Downtime limit at the beginning."""
    most: Annotated[Time, Field(gt=0), shown("1050ms")] = 1050e6
    """Largest downtime limit."""
    step: Annotated[Time, shown("100ms")] = 128e6
    """What is added each time."""
    every: Annotated[Time, Field(ge=1e6), shown("10s")] = 10e9
    """Time from one step to the next."""
    after: Annotated[int, Field(ge=0, le=100_000), shown(0, "rounds")] = 2
    """Number of rounds that must be over before the first step."""

    @model_validator(mode="after")
    def _grows(self) -> Self:
        if self.most < self.least:
            raise MisfitError(
                "most", show_ns(self.most), f"is less than least = {show_ns(self.least)}",
                "raise it, or lower least",
            )  # fmt: skip
        return self

    def limit(self, seen: Seen) -> float:
        """Return the downtime limit of now in ns."""
        if seen.rounds < self.after:
            return self.least
        over_ns = seen.syncs[self.after - 1][0] if self.after else 0
        since_first = seen.now_ns - max(over_ns, self.every)
        steps = since_first // self.every + 1 if since_first >= 0 else 0
        return max(self.least, min(self.most, self.least + self.step * steps))

    def may_be_left(self, seen: Seen) -> float:
        """Return bandwidth times the limit of now."""
        return seen.bandwidth * self.limit(seen) / NS["s"]
