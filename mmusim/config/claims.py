"""Claims: sentences with numbers that the runs support, refute or leave open."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from mmusim.base.errors import nearest
from mmusim.base.quantities import Share, Strict, Time
from mmusim.vocabulary import METRICS


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
    metric: MetricName = "phase_time"
    ratio: str | None = None
    difference: str | None = None
    order: str | None = None
    best: str | None = None
    expect: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
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
        known = [name for name, metric in METRICS.items() if metric.has_closed_form]
        if self.theory and (self.metric not in known or self.policy is None):
            raise ValueError(
                f"theory needs a policy and a metric with a closed form; choose {', '.join(known)}"
            )
        if self.expect is not None:
            lowest, highest = self.expect
            if lowest > highest or (lowest == highest and self.ratio is not None):
                raise ValueError("expect must ascend; write [lowest, highest]")
        for key, (_, example) in _SIDES.items():
            if getattr(self, key) is not None and len(self.sides) != 2:
                raise ValueError(f'{key} must name two policies; write e.g. "{example}"')
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
