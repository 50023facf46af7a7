"""Claims: sentences with numbers that the runs support, refute or leave open."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from mmusim.base.quantities import Share, Strict, Time

Metric = Literal[
    "phase_time",
    "mean_latency",
    "p50_latency",
    "p99_latency",
    "p999_latency",
    "p9999_latency",
    "p99999_latency",
    "max_latency",
    "faults",
    "mean_request",
    "p50_request",
    "p99_request",
    "p999_request",
    "p9999_request",
    "p99999_request",
    "max_request",
    "request_count",
    "reported_dirty",
    "false_dirty",
    "protect_time",
    "enable_time",
    "get_time",
    "clear_time",
    "disable_time",
    "fault_free_pages",
    "laps",
    "faults_until_progress",
    "progress",
    "migration_time",
    "downtime",
    "rounds",
    "sent_bytes",
    "resent_pages",
    "migrated",
    "log_time",
    "limited_time",
    "highest_throttle",
    "guest_share",
    "mean_read",
    "p50_read",
    "p99_read",
    "p999_read",
    "p9999_read",
    "p99999_read",
    "max_read",
    "mean_write",
    "p50_write",
    "p99_write",
    "p999_write",
    "p9999_write",
    "p99999_write",
    "max_write",
    "lost_time",
    "stalls",
    "mean_stall",
    "p50_stall",
    "p99_stall",
    "p999_stall",
    "p9999_stall",
    "max_stall",
    "worst_utilisation_100us",
    "worst_utilisation_1ms",
    "worst_utilisation_10ms",
    "worst_utilisation_100ms",
    "fault_work",
    "protect_work",
    "moved_work",
    "lock_breaks",
    "lock_shared_count",
    "lock_shared_hold",
    "lock_shared_wait",
    "max_shared_hold",
    "max_shared_wait",
    "lock_shared_utilisation",
    "lock_shared_queue",
    "lock_exclusive_count",
    "lock_exclusive_hold",
    "lock_exclusive_wait",
    "max_exclusive_hold",
    "max_exclusive_wait",
    "lock_exclusive_utilisation",
    "lock_exclusive_queue",
]
"""Figures of a run that can be compared; defined in :mod:`mmusim.metrics.measure`."""

THEORIES: tuple[Metric, ...] = ("fault_free_pages",)
"""Metrics for which :mod:`mmusim.metrics.measure` has a closed form."""


Origin = Literal["published", "theory", "mechanism", "hypothesis", "observed"]
"""Why a claim is made.

`published`: somebody else said it, and `source` says who and where. `theory`: a closed form.
`mechanism`: it follows from what the model does or pays. `hypothesis`: ours, written down before
the runs. `observed`: ours, written down after looking at runs; it pins what was found.
"""

KINDS: Final = {
    "ratio and expect": {"ratio", "expect"},
    "difference and expect": {"difference", "expect"},
    "order": {"order"},
    "best": {"best"},
    "best and within": {"best", "within"},
    "policy and expect": {"policy", "expect"},
    "policy, published and within": {"policy", "published", "within"},
    "policy and theory": {"policy", "theory"},
    "theory": {"theory"},  # refused with words of its own
}
_SIDES: Final = {
    "ratio": (r"/", "lazy-drop / eager-drop"),
    "difference": (r"\s-\s", "lazy-drop - eager-drop"),
    "order": (r"[<>]", "lazy-drop < eager-drop"),
}


def _no_nan(bound: float) -> float:
    if math.isnan(bound):
        raise ValueError("is not a number; write lowest or highest, or inf for no bound")
    return bound


Bound = Annotated[float, Field(allow_inf_nan=True), AfterValidator(_no_nan)]


class Claim(Strict):
    """A sentence with numbers, to be supported or refuted by the runs.

    One of: a `ratio` or a `difference` of two policies that must lie within `expect`; an `order`,
    one policy lower than another; a `best` of all policies, or of no more than a share `within`
    worse than the best; a `policy` whose mean must lie within `expect`, in the metric's unit, or
    come `within` a share of a `published` value; a `policy` whose mean must agree with `theory`.
    """

    says: str
    origin: Origin = "hypothesis"
    source: str = ""
    """Who said it where; of a published claim it is required."""
    refuted: str = ""
    """The runs are known to refute it, and why. It stays, is reported, and is no failure."""
    metric: Metric = "phase_time"
    ratio: str | None = None
    difference: str | None = None
    order: str | None = None
    best: str | None = None
    expect: Annotated[list[Bound], Field(min_length=2, max_length=2)] | None = None
    """Lowest and highest; either may be infinite, not both."""
    policy: str | None = None
    published: Time | None = None
    within: Share | None = None
    theory: bool = False
    where: dict[str, list[Any]] = Field(default_factory=dict)
    """Cells it is about: label (`variant` or a swept key) -> values; empty: all."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        keys = set().union(*KINDS.values())
        if {key for key in keys if getattr(self, key) not in (None, False)} not in KINDS.values():
            kinds = [kind for kind in KINDS if kind != "theory"]
            raise ValueError(
                f"must be of one kind; give either {', or '.join(kinds[:-1])}, or {kinds[-1]}"
            )
        if self.theory and (self.metric not in THEORIES or self.policy is None):
            raise ValueError(
                f"theory needs a policy and a metric with a closed form; choose {THEORIES[0]}"
            )
        if self.expect is not None:
            lowest, highest = self.expect
            if lowest > highest or (lowest == highest and self.ratio is not None):
                raise ValueError("expect must ascend; write [lowest, highest]")
            if math.isinf(lowest) and math.isinf(highest):
                raise ValueError("expect bounds nothing; give one finite number at least")
        for key, (_, example) in _SIDES.items():
            if getattr(self, key) is not None and len(self.sides) != 2:
                raise ValueError(f'{key} must name two policies; write e.g. "{example}"')
            if getattr(self, key) is not None and self.sides[0] == self.sides[1]:
                raise ValueError(f"{key} holds a policy against itself; name two policies")
        if self.origin == "published" and not self.source:
            raise ValueError("a published claim needs a source; say who said it where")
        return self

    @property
    def sides(self) -> list[str]:
        """The policies the claim is about: two, first the one that is named first, or the one."""
        for key, (separator, _) in _SIDES.items():
            text = getattr(self, key)
            if text is not None:
                return [side.strip() for side in re.split(separator, text) if side.strip()]
        return [self.policy or self.best or ""]

    def concerns(self, labels: dict[str, Any]) -> bool:
        """Tell whether the claim is about the setting with these labels."""
        return all(labels.get(key) in values for key, values in self.where.items())
