"""Claims: sentences with numbers that the runs support, refute or leave open."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from mmusim.base.errors import nearest
from mmusim.base.quantities import Share, Strict, Time, shown
from mmusim.vocabulary import METRICS
from mmusim.vocabulary.metrics import Scope


def _metric(name: str) -> str:
    if name not in METRICS:
        raise ValueError(f"is not one of the choices; {nearest(name, METRICS)}")
    return name


MetricName = Annotated[
    str,
    AfterValidator(_metric),
    WithJsonSchema({"enum": list(METRICS), "type": "string"}),
]
"""A metric of :data:`mmusim.vocabulary.METRICS`."""


Origin = Literal["published", "calibrated", "theory", "mechanism", "hypothesis", "observed"]
"""The reason for a claim.

`published`: a publication makes it, and `source` names that. `calibrated`: the same, but costs were
fitted to it, so that meeting it is consistent and no evidence. `theory`: a closed form.
`mechanism`: it follows from what the model does or pays. `hypothesis`: written before the runs.
`observed`: written after looking at runs; it pins what was found.
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
    """A sentence with numbers, which the runs support or refute.

    One of: a `ratio` or a `difference` of two policies that must lie within `expect`; an `order`,
    one policy lower than another; a `best` of all policies, or no more than a share `within` worse
    than the best; a `policy` whose mean must lie within `expect`, in the metric's unit, or come
    `within` a share of a `published` value; a `policy` whose mean must agree with `theory`.
    """

    says: Annotated[str, shown("Reads are twice as fast with lazy-drop")]
    """The sentence that the runs judge."""
    origin: Annotated[Origin, shown("published")] = "hypothesis"
    """Why the claim is made. `published`: a publication makes it, and `source` names that.
    `calibrated`: the same, but costs were fitted to it; meeting it is no evidence. `theory`: a
    closed form. `mechanism`: it follows from what the model does. `hypothesis`: written before the
    runs. `observed`: written after looking at runs.
    """
    source: Annotated[str, shown("linux-kernel, 14 November 2012")] = ""
    """Who said it, and where. A published or calibrated claim needs it."""
    refuted: Annotated[str, shown("The model has no NUMA.")] = ""
    """The reason, if the runs are known to refute the claim. The claim stays in the report and is
    no failure.
    """
    metric: Annotated[MetricName, shown("p99_latency")] = "phase_time"
    """The metric that the claim is about."""
    window: Annotated[str, shown("first pass")] = ""
    """The window of the driver that the claim is about. Without it, what the driver measures."""
    ratio: Annotated[str | None, shown("lazy-drop / eager-drop")] = None
    """Two policies; the first mean divided by the second must lie within `expect`. Without it, the
    claim is of another kind.
    """
    difference: Annotated[str | None, shown("lazy-drop - eager-drop")] = None
    """Two policies; the first mean minus the second must lie within `expect`. Without it, the claim
    is of another kind.
    """
    order: Annotated[str | None, shown("lazy-drop < eager-drop")] = None
    """Two policies; the first must be lower than the second. Without it, the claim is of another
    kind.
    """
    best: Annotated[str | None, shown("lazy-drop")] = None
    """The policy that must be the best of all, or no more than `within` worse than the best.
    Without it, the claim is of another kind.
    """
    expect: Annotated[
        Annotated[list[Bound], Field(min_length=2, max_length=2)] | None,
        shown([0.4, 0.6], "a ratio, or the unit of the metric"),
    ] = None
    """Lowest and highest value that supports the claim. Without it, the claim has no range."""
    policy: Annotated[str | None, shown("lazy-drop")] = None
    """The policy whose mean must lie within `expect`, near `published`, or agree with `theory`.
    Without it, the claim compares policies.
    """
    published: Annotated[Time | None, shown("11404197ns")] = None
    """The published time that the mean must come near. Without it, the claim has no published
    value.
    """
    within: Annotated[Share | None, shown("1%")] = None
    """How far the mean may be from `published`, or from the best policy. Without it, `best` allows
    no distance.
    """
    theory: Annotated[bool, shown(True)] = False
    """The mean must agree with the closed form of the metric."""
    where: Annotated[dict[str, list[Any]], shown({"variant": ["R1", "R3"]})] = Field(
        default_factory=dict
    )
    """Settings that the claim is about: label (`variant` or a swept key) and its values. An empty
    table means all.
    """

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        keys = set().union(*KINDS.values())
        if {key for key in keys if getattr(self, key) not in (None, False)} not in KINDS.values():
            kinds = [kind for kind in KINDS if kind != "theory"]
            raise ValueError(
                f"must be of one kind; give either {', or '.join(kinds[:-1])}, or {kinds[-1]}"
            )
        known = [name for name, metric in METRICS.items() if metric.has_closed_form]
        if self.theory and (self.metric not in known or self.policy is None):
            raise ValueError(
                f"theory needs a policy and a metric with a closed form; choose {', '.join(known)}"
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
                raise ValueError(f"{key} compares a policy with itself; name two policies")
        if self.window and METRICS[self.metric].scope is not Scope.PHASE:
            raise ValueError(
                f"has a window, and {self.metric} is of the whole run or of a migration; leave "
                "window out, or claim something that the guest notices, e.g. p99_request"
            )
        if self.window and self.theory:
            raise ValueError("has a window, and a closed form is of a phase; leave window out")
        if self.origin in ("published", "calibrated") and not self.source:
            raise ValueError(f"a {self.origin} claim needs a source; say who said it where")
        return self

    @property
    def sides(self) -> list[str]:
        """The policies of the claim: two in the order of their names in the text, or one."""
        for key, (separator, _) in _SIDES.items():
            text = getattr(self, key)
            if text is not None:
                return [side.strip() for side in re.split(separator, text) if side.strip()]
        return [self.policy or self.best or ""]

    def concerns(self, labels: dict[str, Any]) -> bool:
        """Tell whether the claim is about the setting with these labels."""
        return all(labels.get(key) in values for key, values in self.where.items())
