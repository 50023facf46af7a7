"""QEMU's auto-converge: after some bad syncs, all vCPUs sleep for a share of their time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from mmusim.base.errors import MisfitError
from mmusim.base.quantities import Share, shown
from mmusim.base.units import NS
from mmusim.vmm.qemu import Qemu
from mmusim.vmm.throttle.base import Period, Throttle, Watched

ThrottleShare = Annotated[Share, Field(gt=0, le=0.99)]
SYNC_EVERY_NS: Final = 5 * NS["s"]
"""CPU_THROTTLE_DIRTY_SYNC_TIMER_PERIOD_MS."""


def dirty_rate_high(periods: Sequence[Period], bad_syncs: int, threshold: float) -> Iterator[bool]:
    """Yield for each period whether it is the last of some bad ones (migration_dirty_rate_high)."""
    bad = 0
    for period in periods:
        bad += period.dirty > period.sent * threshold
        slow_down = bad >= bad_syncs
        if slow_down:
            bad = 0
        yield slow_down


class AutoConverge(Throttle, name="auto-converge"):
    """QEMU's rule: after some bad syncs all vCPUs sleep for a larger share of their time.

    A sync is bad if more became dirty than the threshold's share of what was sent. The count of
    bad syncs goes on over good ones and begins again when the guest is slowed down.

    Source: QEMU `migration_trigger_throttle`, `mig_throttle_guest_down`; `domain` K.2 Q6 to Q8.
    How many bad syncs it takes, and a timer that reads the log every 5 s, depend on the release.
    """

    rule: Annotated[Literal["auto-converge"], shown("auto-converge")]
    """Name of the throttle."""
    initial: Annotated[ThrottleShare, shown("30%")] = 0.2
    """First share of time that it takes."""
    increment: Annotated[ThrottleShare, shown("5%")] = 0.1
    """Share that each later step adds."""
    most: Annotated[ThrottleShare, shown("80%")] = 0.99
    """Largest share that it takes."""
    tailslow: Annotated[bool, shown(True)] = False
    """A step adds no more than the excess of what became dirty over what is allowed."""
    threshold: Annotated[Share, Field(gt=0), shown("70%")] = 0.5
    """Share of what was sent that may become dirty in the same time."""

    @model_validator(mode="after")
    def _grows(self) -> Self:
        if self.most < self.initial:
            raise MisfitError(
                "most", f"{self.most:.0%}", f"is less than initial = {self.initial:.0%}",
                "raise it, or lower initial",
            )  # fmt: skip
        return self

    def share(self, watched: Watched) -> float:
        """Return the next step if the last period asks for one, else the share of now."""
        *_, slow_down = self.steps(watched.periods, watched.qemu.bad_syncs())
        if not slow_down:
            return watched.share
        if not watched.share:
            return round(self.initial, 6)
        step = self.increment
        if self.tailslow:
            last = watched.periods[-1]
            step = min(step, (1 - watched.share) * (1 - self.threshold * last.sent / last.dirty))
        return round(min(watched.share + step, self.most), 6)

    def steps(self, periods: Sequence[Period], bad_syncs: int) -> Iterator[bool]:
        """Yield for each period whether its end slows the guest down."""
        return dirty_rate_high(periods, bad_syncs, self.threshold)

    def sync_every(self, qemu: Qemu) -> int:
        """Return 5 s since QEMU 9.2 (52ac968ab2)."""
        return SYNC_EVERY_NS if qemu.has_sync_timer() else 0

    def beyond(self, qemu: Qemu) -> str:
        """Sleeping for a share of the time came in 2.5, tailslow in 5.1."""
        if not qemu.has_auto_converge():
            return "came in QEMU 2.5"
        return "has tailslow since QEMU 5.1" if self.tailslow and not qemu.has_tailslow() else ""
