"""What a metric is, and the vocabulary that :mod:`mmusim.vocabulary.metrics` fills."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from mmusim.vocabulary.terms import Better, Term, Vocabulary


class Scope(Enum):
    """Which part of a run a metric is about."""

    PHASE = "the measured phase"
    MIGRATION = "a phase that migrates the VM"
    CHECKPOINTS = "a phase that makes checkpoints"
    SNAPSHOT = "a phase that takes a snapshot"
    RUN = "the whole run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric(Term):
    """A value of one run. A run that has no such thing has no value."""

    scope: Scope
    formula: str
    has_closed_form: bool
    yes_or_no: bool  # 0 or 1 of a run, so its mean is a share of seeds

    @property
    def higher_is_better(self) -> bool:
        """Whether a policy with the higher value is the better one."""
        return self.better is Better.HIGHER


METRICS: Final[Vocabulary[Metric]] = Vocabulary("metric")
USUAL: Final = ("phase_time", "p99_latency", "max_latency", "faults", "protect_time")
"""Metrics that are compared by default."""

QUANTILES: Final = {"p50": 0.5, "p99": 0.99, "p999": 0.999, "p9999": 0.9999, "p99999": 0.99999}
"""Quantiles of distributions, by the first part of their names."""
WINDOWS: Final = {"100us": 100_000, "1ms": 1_000_000, "10ms": 10_000_000, "100ms": 100_000_000}
"""Windows of the worst utilisation in ns, by the last part of their names."""
LATENCY: Final = ("mean", *QUANTILES, "max")
"""What is given of latencies, by the first part of the names."""
STALL_STATISTICS: Final = tuple(part for part in LATENCY if part != "p99999")
"""What is given of stalls, by the first part of the names."""
LOWEST: Final = 0.0
"""No metric is negative: each is a time, a count or a share."""
MIN_BEYOND: Final = 10
"""Fewer times beyond a quantile say little of it: p99.9 of 150 requests is their maximum."""
SLOW_SECONDS: Final = (90, 50, 1)
"""Percentages of a second that the guest runs, below which the second is counted."""
POSTCOPY_FAULTS: Final = tuple(f"{part}_postcopy_fault" for part in ("mean", "p50", "p99", "max"))
"""How long faults of post-copy waited for their pages."""


SNAPSHOT_WAITS: Final = tuple(f"{part}_snapshot_wait" for part in ("mean", "p50", "p99", "max"))
"""How long writes waited for the copies of their pages to a snapshot."""


def metric(
    names: str, unit: str, better: Better, scope: Scope, formula: str, meaning: str,
    source: str = "G.5", *, closed_form: bool = False, yes_or_no: bool = False,
) -> None:  # fmt: skip
    """Add the metrics in `names`, separated by spaces, that one formula describes."""
    for name in names.split():
        METRICS.add(
            Metric(
                name=name, unit=unit, better=better, meaning=meaning, source=source, scope=scope,
                formula=formula, has_closed_form=closed_form, yes_or_no=yes_or_no,
            )
        )  # fmt: skip


def distribution(of: str, formula: str, meaning: str, statistics: tuple[str, ...]) -> None:
    """Add mean, quantiles and maximum of a distribution of times in ns."""
    metric(
        " ".join(f"{s}_{of}" for s in statistics), "ns", Better.LOWER, Scope.PHASE, formula, meaning
    )
