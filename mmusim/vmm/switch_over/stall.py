"""Rounds that no longer leave less: the migration has stalled, and waiting does not help."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from mmusim.base.quantities import Share, Time, shown
from mmusim.base.units import NS
from mmusim.vmm.switch_over.base import Seen, SwitchOver, Then


class StallDetection(SwitchOver, name="stall-detection"):
    """QEMU's estimate; and once nothing improves for `window`, do `then` at the next minimum.

    A migration has stalled when a sync does not leave less than the least of all syncs that are
    `window` old or older, by more than `margin`. So steps that are small each but add up within a
    window are an improvement. The target is the least so far. The first sync that leaves at most
    the target, or up to `margin` more, is the minimum at which `then` is done. If none does within
    a window, the target rises to the least since the stall that has not been a target yet, and the
    patience is multiplied by `decay`.

    Source: KubeVirt's VEP 248 as it was merged (`stallDetector`): `stallProgressTimeout` 40 s,
    `stallMargin` 4 %, `patienceWindowDecayFactor` 0.5. What it does then depends on what the policy
    allows: post-copy, or a limit without bound, which stops the guest at once. Not modelled is what
    it does where neither is allowed: it raises the limit to `maxDowntimeMs`, 900 ms, and aborts
    after 60 s.
    """

    rule: Annotated[Literal["stall-detection"], shown("stall-detection")]
    """Name of the rule."""
    window: Annotated[Time, Field(gt=0), shown("40s")] = 40e9
    """Time without an improvement after which the migration has stalled."""
    margin: Annotated[Share, Field(lt=1), shown("4%")] = 0.04
    """Share by which a sync must leave less to be an improvement."""
    decay: Annotated[Share, Field(gt=0), shown("70%")] = 0.5
    """What the patience is multiplied by each time that the target rises."""
    then: Annotated[Literal["switch-over", "post-copy", "give-up"], shown("post-copy")] = (
        "switch-over"
    )
    """What to do then: stop the guest and send the rest, post-copy, or give up."""

    def may_be_left(self, seen: Seen) -> float:
        """Return bandwidth times downtime limit."""
        return seen.bandwidth * seen.downtime_limit / NS["s"]

    def after_sync(self, seen: Seen) -> Then:
        """Do what was asked, at a minimum after a stall."""
        target = self.target(seen.syncs)
        if target is None or seen.left > target * (1 + self.margin):
            return Then.GO_ON
        return Then(self.then)

    def target(self, syncs: Sequence[tuple[int, int]]) -> int | None:
        """Return how many bytes a minimum leaves, after the last of some syncs; None: no stall.

        `syncs` are (time in ns, bytes left), in the order of time.
        """
        stalled = self._stall(syncs)
        if stalled is None:
            return None
        least = min(left for _, left in syncs[: stalled + 1])
        patience = self.window
        deadline, since = syncs[stalled][0] + patience, list[int]()
        for now, left in syncs[stalled + 1 :]:
            heapq.heappush(since, left)
            if now >= deadline:
                least = heapq.heappop(since)
                patience *= self.decay
                deadline = now + patience
        return least

    def _stall(self, syncs: Sequence[tuple[int, int]]) -> int | None:
        """Return the index of the sync at which the migration has stalled, if it has."""
        old, least = 0, math.inf  # how many syncs are a window old, and the least of them
        for index, (now, left) in enumerate(syncs):
            while syncs[old][0] <= now - self.window:
                least = min(least, syncs[old][1])
                old += 1
            if left >= least * (1 - self.margin):
                return index
        return None
