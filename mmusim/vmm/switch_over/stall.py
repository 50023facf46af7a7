"""Rounds that no longer leave less: the migration has stalled, and waiting does not help."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mmusim.base.quantities import Share, Time, shown
from mmusim.base.units import NS
from mmusim.vmm.switch_over.base import Seen, SwitchOver, Then


class StallDetection(SwitchOver, name="stall-detection"):
    """QEMU's estimate; and once nothing improves for `window`, do `then` at the next minimum.

    A sync improves if it leaves less than the least so far by more than `margin`. After a window
    without an improvement the migration has stalled. The next sync that leaves at most the least so
    far, or up to `margin` more, is the minimum at which `then` is done.

    Source: KubeVirt's proposals VEP 248 and 291: a window of 40 s, a margin of 4 %.
    """

    rule: Annotated[Literal["stall-detection"], shown("stall-detection")]
    """Name of the rule."""
    window: Annotated[Time, Field(gt=0), shown("40s")] = 40e9
    """Time without an improvement after which the migration has stalled."""
    margin: Annotated[Share, Field(lt=1), shown("4%")] = 0.04
    """Share by which a sync must leave less to be an improvement."""
    then: Annotated[Literal["switch-over", "post-copy", "give-up"], shown("post-copy")] = (
        "switch-over"
    )
    """What to do then: stop the guest and send the rest, post-copy, or give up."""

    def may_be_left(self, seen: Seen) -> float:
        """Return bandwidth times downtime limit."""
        return seen.bandwidth * seen.downtime_limit / NS["s"]

    def after_sync(self, seen: Seen) -> Then:
        """Do what was asked, at a minimum after a stall."""
        improved, least = seen.syncs[0]
        for now, left in seen.syncs[1:]:
            if left < least * (1 - self.margin):
                improved = now
            least = min(least, left)
        if seen.now_ns - improved < self.window or seen.left > least * (1 + self.margin):
            return Then.GO_ON
        return Then(self.then)
