"""The distance between simulator and machine: counts, times, and how many targets are met."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from mmusim.metrics.few_beyond import too_few_beyond
from mmusim.validation.live_grid import GridSetting
from mmusim.validation.live_runs import RunOf
from mmusim.validation.sceptic import Sceptic, sceptic

QUANTILES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}
METRICS: Final = ("total", *QUANTILES)
TOLERANCES: Final = {"total": 0.05, "p50": 0.10, "p90": 0.15, "p99": 0.25, "p99.9": 0.25}
"""How far the median of simulated runs may lie from that of measured runs, relatively."""
TARGETS: Final = ("total", "p50", "p99")
SHARE: Final = 0.90
"""Of the passes that should meet a target."""


class Compared(NamedTuple):
    """One metric of one pass."""

    metric: str
    measured: float  # median over runs, ns
    low: float  # smallest and largest measured run
    high: float
    simulated: float
    tolerance: float
    few: bool = False  # a quantile beyond which fewer than ten times of some run lie

    @property
    def ratio(self) -> float:
        """Simulated by measured."""
        return self.simulated / self.measured if self.measured else float("inf")

    @property
    def close(self) -> bool:
        """Within the tolerance."""
        return abs(self.ratio - 1) <= self.tolerance

    @property
    def own_spread(self) -> bool:
        """Between the machine's own smallest and largest run."""
        return self.low <= self.simulated <= self.high

    @property
    def met(self) -> bool:
        """Within the tolerance or the machine's own spread."""
        return self.close or self.own_spread


@dataclass(frozen=True, slots=True)
class PassScore:
    """One pass of one setting."""

    setting: str
    which: str
    repeats: int
    compared: tuple[Compared, ...]
    exact: bool | None  # counts; None: they depend on timing
    differences: tuple[str, ...]  # counts that differ
    sceptic: Sceptic
    log_measured: float  # log operations beside and after the pass, ns
    log_simulated: float

    def of(self, metric: str) -> Compared:
        """Return one metric."""
        return next(c for c in self.compared if c.metric == metric)


def score_all(settings: Sequence[GridSetting], runs: Iterable[RunOf]) -> list[PassScore]:
    """Score every pass that was both measured and simulated."""
    groups: dict[tuple[str, str, str], list[RunOf]] = {}
    for run in runs:
        groups.setdefault((run.setting, run.which, run.kind), []).append(run)
    out = []
    for setting in settings:
        for which in ("first", "steady"):
            measured = groups.get((setting.name, which, "measured"), [])
            simulated = groups.get((setting.name, which, "simulated"), [])
            if measured and simulated:
                out.append(_score(setting, which, measured, simulated))
    return out


def value(run: RunOf, metric: str) -> float:
    """Return a metric of a run in ns."""
    return run.latencies.quantile(QUANTILES[metric]) if metric in QUANTILES else run.total_ns


def _score(
    setting: GridSetting, which: str, measured: list[RunOf], simulated: list[RunOf]
) -> PassScore:  # fmt: skip
    compared = []
    for metric in METRICS:
        theirs, mine = ([value(run, metric) for run in runs] for runs in (measured, simulated))
        least = min(run.latencies.count for run in [*measured, *simulated])
        compared.append(
            Compared(
                metric, statistics.median(theirs), min(theirs), max(theirs),
                statistics.median(mine), TOLERANCES[metric],
                too_few_beyond(least, QUANTILES.get(metric, 0.0)),
            )
        )  # fmt: skip
    exact, differences = counts(setting, which, measured, simulated)
    return PassScore(
        setting.name, which, len(measured), tuple(compared), exact, differences,
        sceptic(measured, simulated),
        statistics.median(run.log_ns for run in measured),
        statistics.median(run.log_ns for run in simulated),
    )  # fmt: skip


def counts(
    setting: GridSetting, which: str, measured: list[RunOf], simulated: list[RunOf]
) -> tuple[bool | None, tuple[str, ...]]:
    """Compare the kernel's counters of runs of one seed, which make the same accesses.

    Everything beside a pass at intervals depends on timing, and so does the rest in the rings of
    two vCPUs.
    """
    if setting.every is not None and which == "steady":
        return None, ()
    mine = {run.seed: run for run in simulated}
    pairs = [(run, mine[run.seed]) for run in measured if run.seed in mine]
    if not pairs:
        return None, ()
    asks = setting.reporting != "dirty-ring" or setting.vcpus == 1
    asks = asks and not (setting.every is not None)
    found = []
    for theirs, ours in pairs:
        found += [
            f"seed {theirs.seed}: {key} {theirs.counters[key]}, simulated {ours.counters[key]}"
            for key in theirs.counters
            if theirs.counters[key] != ours.counters[key]
        ]
        if asks and theirs.dirty != ours.dirty:
            found.append(f"seed {theirs.seed}: dirty {theirs.dirty}, simulated {ours.dirty}")
    return not found, tuple(found)


class Summary(NamedTuple):
    """The grid in a few numbers."""

    passes: int
    exact: int
    countable: int
    met: dict[str, tuple[int, int]]  # metric -> within the tolerance; within it or own spread
    indistinguishable: int
    indistinguishable_within: int  # if times may be off by SCALES
    runs: int  # of each pass on each side of the sceptic's test, at least

    def reached(self, metric: str) -> bool:
        """Whether a target is met by enough passes."""
        return self.met[metric][1] >= SHARE * self.passes


def summarise(scores: Sequence[PassScore]) -> Summary:
    """Count what was met."""
    countable = [s for s in scores if s.exact is not None]
    return Summary(
        passes=len(scores),
        exact=sum(bool(s.exact) for s in countable),
        countable=len(countable),
        met={
            metric: (
                sum(s.of(metric).close for s in scores),
                sum(s.of(metric).met for s in scores),
            )
            for metric in METRICS
        },
        indistinguishable=sum(not s.sceptic.can_tell for s in scores),
        indistinguishable_within=sum(not s.sceptic.can_tell_beyond for s in scores),
        runs=min((s.sceptic.runs for s in scores), default=0),
    )


def misses(scores: Sequence[PassScore]) -> list[tuple[PassScore, Compared]]:
    """Return the misses: outside the tolerance and outside the machine's own spread."""
    return [(s, c) for s in scores for c in s.compared if not c.met]


def cause(score: PassScore, miss: Compared) -> str:
    """Name the most likely cause of a miss, by its place."""
    fast = miss.measured < 2_000 and miss.metric in ("p50", "p90", "p99", "p99.9", "total")
    if miss.metric == "total" and score.of("p50").measured < 2_000 and score.of("p50").met:
        return "rare interruptions: a short pass has none or some, and each is as long as the pass"
    if fast and miss.metric != "total":
        return (
            "hits: caches and TLBs hold what the accesses before left there; the model draws each "
            "access by order, footprint and mapping only"
        )
    if miss.metric in ("p99", "p99.9") and miss.ratio < 1 and "vCPUs" in score.setting:
        return (
            "flushes: what one waits for a vCPU on its way into the guest or out of it was "
            "measured beside one vCPU; two that wait for each other take longer"
        )
    if miss.metric in ("p99", "p99.9") and miss.ratio < 1 and "log read" in score.setting:
        return (
            "reads of the log hold mmu_lock longer: what a word and a page of the bitmap take "
            "grows with the memory, as caches hold less of it; the model has one price for each"
        )
    if miss.metric in ("p99", "p99.9"):
        return (
            "interference: its rate was measured in the minute of the probe, and the tail is what "
            "the host did in the minutes of the validation"
        )
    if "ring" in score.setting:
        return "exits of full rings: user space, which is this program, is timed with them"
    if "vCPUs" in score.setting:
        return (
            "a vCPU beside another is slow at times, by a third, for longer or shorter than a "
            "pass; in a run its level lasts to the end"
        )
    return "the machine drifted between probe and validation: the same faults took longer or less"
