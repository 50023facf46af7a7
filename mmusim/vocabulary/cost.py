"""What a cost is, and the vocabulary that :mod:`mmusim.vocabulary.costs` fills."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mmusim.vocabulary.terms import Better, Term, Vocabulary

Written = str | Mapping[str, Any]
"""A distribution of times, as a host profile writes it: ``"450ns"`` or a table with one shape."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost(Term):
    """An operation that takes time."""

    per: str  # the thing for which it is paid once: an access, a fault, a leaf
    default: Written  # the default where a profile lacks the cost; its provenance is then "assumed"
    by_vcpu: bool  # vCPUs draw it from streams of their own
    plausible: tuple[str, str] | None = None  # least and largest mean, where the default is assumed


COSTS: Final[Vocabulary[Cost]] = Vocabulary("cost of the model")


def cost(
    name: str,
    per: str,
    meaning: str,
    default: Written,
    source: str,
    *,
    by_vcpu: bool = False,
    plausible: tuple[str, str] | None = None,
) -> int:
    """Add a cost in nanoseconds and return its number."""
    return COSTS.add(
        Cost(
            name=name, unit="ns", better=Better.LOWER, meaning=meaning, source=source, per=per,
            default=default, by_vcpu=by_vcpu, plausible=plausible,
        )
    )  # fmt: skip


def vcpu_cost(name: str, per: str, meaning: str, default: Written, source: str) -> int:
    """Add a cost that vCPUs draw from streams of their own, and return its number."""
    return cost(name, per, meaning, default, source, by_vcpu=True)


def lognormal(median: str, p99: str) -> Written:
    """Write a lognormal distribution by two of its quantiles."""
    return {"lognormal": {"median": median, "p99": p99}}
