"""A number of rounds or a time, after which the guest is stopped whatever is left."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mmusim.base.errors import MisfitError
from mmusim.base.quantities import Count, Time, shown
from mmusim.base.units import NS
from mmusim.vmm.switch_over.base import Seen, SwitchOver, Then


class AfterRounds(SwitchOver, name="after-rounds"):
    """QEMU's estimate; and after `rounds` rounds or `time`, do `then` whatever is left.

    Source: Cloud Hypervisor ends pre-copy after five passes (vmm/src/lib.rs,
    `MAX_DIRTY_MIGRATIONS`), later by a timeout, after which it stops the guest or cancels
    (`TimeoutStrategy`). KubeVirt cancels, stops the guest or goes to post-copy after
    `completionTimeoutPerGiB`, 150 s by default, times the memory in GiB. Xen stops the guest after
    five iterations (`SPP_MAX_ITERATIONS`).
    """

    rule: Annotated[Literal["after-rounds"], shown("after-rounds")]
    """Name of the rule."""
    rounds: Annotated[Count | None, shown(5, "rounds")] = None
    """Number of rounds. Without it, only the time counts."""
    time: Annotated[Annotated[Time, Field(gt=0)] | None, shown("30s")] = None
    """Time of the migration. Without it, only the rounds count."""
    then: Annotated[Literal["switch-over", "post-copy", "give-up"], shown("give-up")] = (
        "switch-over"
    )
    """What to do then: stop the guest and send the rest, post-copy, or give up."""

    @model_validator(mode="after")
    def _has_an_end(self) -> Self:
        if self.rounds is None and self.time is None:
            raise MisfitError("rounds", None, "is missing, and so is time", "write one of the two")
        return self

    def may_be_left(self, seen: Seen) -> float:
        """Return bandwidth times downtime limit."""
        return seen.bandwidth * seen.downtime_limit / NS["s"]

    def is_due(self, seen: Seen) -> bool:
        """Tell whether the time is over."""
        return self.time is not None and seen.now_ns >= self.time

    def after_sync(self, seen: Seen) -> Then:
        """Do what was asked, once the rounds or the time are over."""
        enough = self.rounds is not None and seen.rounds >= self.rounds
        return Then(self.then) if enough or self.is_due(seen) else Then.GO_ON
