"""Auto-converge that also looks at the trend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Final, Literal

from mmusim.base.quantities import shown
from mmusim.vmm.throttle.background_watcher import BackgroundWatcher
from mmusim.vmm.throttle.base import Period

RISES: Final = 2
"""Syncs at which the ratio did not fall, after which a bad sync slows the guest down at once."""


class Responsive(BackgroundWatcher, name="responsive"):
    """Auto-converge with a thread that reads the log, which also acts at a bad sync when the ratio
    of dirty to sent has not fallen for the second time.

    Source: Huang, migration: auto-converge refinements for huge VM v1, 7/7 (responsive CPU
    throttle, migration_dirty_ratio_high), qemu-devel, 16 September 2024; never merged. Ratios are
    whole percent. A step that the ratio brings leaves the count of bad syncs as it is.
    """

    rule: Annotated[Literal["responsive"], shown("responsive")]  # type: ignore[assignment]
    """Name of the throttle."""

    def steps(self, periods: Sequence[Period], bad_syncs: int) -> Iterator[bool]:
        """Yield for each period whether its end slows the guest down."""
        before = bad = rises = 0
        for period in periods:
            if period.sent:
                ratio = 100 * period.dirty // period.sent
                rises += 0 < before <= ratio and ratio > 100 * self.threshold
                before = ratio
            rose = rises >= RISES
            if rose:
                rises = 0
            is_bad = period.dirty > period.sent * self.threshold
            bad += is_bad
            enough = is_bad and bad >= bad_syncs
            if enough:
                bad = 0
            yield enough or (is_bad and rose)
