"""Auto-converge that also looks at the trend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Final, Literal

from mmusim.base.quantities import shown
from mmusim.vmm.throttle.auto_converge import AutoConverge
from mmusim.vmm.throttle.base import Period

RISES: Final = 2
"""Bad syncs without a falling ratio, after which it slows the guest down."""


class Responsive(AutoConverge, name="responsive"):
    """Auto-converge that also acts when the ratio of dirty to sent does not fall for the second
    time.

    Source: Huang, migration: Support responsive CPU throttle, qemu-devel, 16 September 2024. It was
    never merged. The ratio is looked at where the rule of auto-converge itself does not act.
    """

    rule: Annotated[Literal["responsive"], shown("responsive")]  # type: ignore[assignment]
    """Name of the throttle."""

    def steps(self, periods: Sequence[Period], bad_syncs: int) -> Iterator[bool]:
        """Yield for each period whether its end slows the guest down."""
        before, rising = 0.0, 0
        for period, slow_down in zip(periods, super().steps(periods, bad_syncs), strict=True):
            if not slow_down:
                ratio = period.dirty / period.sent if period.sent else 0.0
                rising += before > 0 and ratio > self.threshold and ratio >= before
                before = ratio
            rises = rising >= RISES
            if rises:
                rising = 0
            yield slow_down or rises
