"""Published migrations and log operations of whole guests, predicted: nothing is fitted to them."""

from __future__ import annotations

import copy
import math
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from mmusim.base.units import show_ns
from mmusim.config.settings import Setting, settings_of
from mmusim.engine import simulate
from mmusim.execution.beats import report
from mmusim.execution.parallel import in_parallel
from mmusim.execution.progress import Progress, Watch
from mmusim.execution.workers import Job
from mmusim.metrics.measure import measure
from mmusim.plan.make import make_plan

TABLE: Final = Path(__file__).with_name("migrations.toml")
DELETION: Final = "recreate-slot"
METRICS: Final = {
    "migration_time": 1e9, "downtime": 1e9, "dirty_sync_count": 1.0, "highest_throttle": 1.0,
    "rounds": 1.0, "sent_bytes": 1.0, "disable_time": 1e9, "deletion_time": 1e9,
    "mean_postcopy_fault": 1e9, "false_share": 1.0,
}  # fmt: skip
"""What postings give, and the unit of the table in that of the metric. Beside metrics of runs:
``deletion_time`` is that of deleting a slot, ``false_share`` the share of the pages that the log
reports in the rounds of a migration and that were not written since they were sent.
"""
CLOSE: Final = 1.5
"""Ratio within which a time counts as predicted."""
NEAR: Final = 2.0
"""Ratio that is asked of log operations of unknown hosts."""
UNKNOWN: Final = "unknown"
"""The cause of a miss that nobody has explained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One line of a posting: an experiment, and what was measured in it."""

    posting: str
    name: str
    data: dict[str, Any]  # of the experiment
    seeds: int
    published: dict[str, tuple[float, ...]]  # metric -> value of each run, in the metric's unit
    causes: dict[str, str] = field(default_factory=dict)  # metric -> why it is missed


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A published quantity beside the predicted one; both are the values of runs."""

    case: Case
    metric: str
    published: tuple[float, ...]
    predicted: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """Return predicted by published, each the geometric mean of its runs; nan for none."""
        if not self.predicted or not all((*self.published, *self.predicted)):
            return math.nan
        return math.exp(_log_mean(self.predicted) - _log_mean(self.published))

    @property
    def is_close(self) -> bool:
        """Tell whether the ratio is within 1.5."""
        return self.is_within(CLOSE)

    @property
    def is_time(self) -> bool:
        """Tell whether the quantity is a time."""
        return METRICS[self.metric] > 1

    def is_within(self, factor: float) -> bool:
        """Tell whether the ratio is at most `factor`, up or down."""
        return abs(math.log(self.ratio)) <= math.log(factor) if self.predicted else False


def _log_mean(values: tuple[float, ...]) -> float:
    return sum(map(math.log, values)) / len(values)


def table(path: Path = TABLE) -> dict[str, Any]:
    """Return the postings and what is left out, as data."""
    return tomllib.loads(path.read_text(encoding="utf-8"))


def cases(data: dict[str, Any], seeds: int | None = None) -> Iterator[Case]:
    """Yield the cases of a table; each with as many seeds as the table says, or `seeds`."""
    for posting in data["posting"]:
        for one in posting["case"]:
            experiment: dict[str, Any] = {
                "schema": 1,
                "id": "published-migration",
                "question": posting["setup"],
                "policies": {
                    "baseline": posting["experiment"]["vm"]["kernel"],
                    "compare": ["write-protect"],
                },
                "replications": {"seeds": seeds or posting["seeds"]},
                **copy.deepcopy(posting["experiment"]),
            }
            for key, value in one["change"].items():
                _set(experiment, key.split("."), value)
            yield Case(
                posting=posting["id"],
                name=one["name"],
                data=experiment,
                seeds=seeds or posting["seeds"],
                published={
                    metric: tuple(value * unit for value in one[metric])
                    for metric, unit in METRICS.items()
                    if metric in one
                },
                causes=posting.get("cause", {}),
            )


def _set(data: dict[str, Any], path: list[str], value: Any) -> None:
    """Set a key of nested tables."""
    for key in path[:-1]:
        data = data.setdefault(key, {})
    data[path[-1]] = value


def setting_of(case: Case) -> Setting:
    """Return the only setting of a case; its name is that of the case."""
    (setting,) = settings_of(case.data, str(TABLE), TABLE.parent)
    return replace(setting, labels={"variant": f"{case.posting} {case.name}".strip()})


def run_once(task: tuple[Job, Setting]) -> tuple[str, dict[str, float]]:
    """Simulate a case with a seed, and report the progress; return the outcome and its metrics."""
    job, setting = task
    plan = make_plan(setting, job.policy, job.seed)
    trace = simulate(plan, tell=lambda reached: report((job, reached)))
    found = measure(trace)
    values = dict(found.values) | {
        "deletion_time": sum(p.end_ns - p.start_ns for p in trace.phases if p.do == DELETION)
    }
    if reported := sum(one.reported for one in found.rounds):
        values["false_share"] = sum(one.false_dirty for one in found.rounds) / reported
    return found.outcome, values


def predict(
    which: list[Case],
    workers: int | None = None,
    progress: Progress | None = None,
) -> list[Line]:
    """Simulate all cases, each with its seeds; return a line for each published quantity.

    `progress` is told how many migrations have ended, and how far those in progress are.
    """
    settings = [setting_of(case) for case in which]
    jobs = [
        Job(number, settings[number].experiment.policies.baseline, seed)
        for number, case in enumerate(which)
        for seed in range(case.seeds)
    ]
    watch = Watch(settings, jobs, len(jobs), progress)
    tasks = [(job, settings[job.setting]) for job in jobs]
    ends = in_parallel(run_once, tasks, workers=workers, take=lambda beat: watch.beat(*beat))
    found = []
    for job, (_, values) in zip(jobs, ends, strict=True):
        watch.ended(job)
        found.append(values)
    lines = []
    for number, case in enumerate(which):
        runs = [done for job, done in zip(jobs, found, strict=True) if job.setting == number]
        for metric, published in case.published.items():
            predicted = tuple(values[metric] for values in runs if metric in values)
            lines.append(Line(case=case, metric=metric, published=published, predicted=predicted))
    return lines


def rows(lines: list[Line]) -> list[dict[str, Any]]:
    """Return lines as rows to print."""
    return [
        {
            "posting": f"{line.case.posting} {line.case.name}",
            "what": line.metric.replace("_", " "),
            "published": ", ".join(shown(line.metric, value) for value in line.published),
            "predicted": ", ".join(shown(line.metric, value) for value in line.predicted) or "none",
            "ratio": "" if math.isnan(line.ratio) else f"{line.ratio:.2f}",
            "cause": "" if line.is_close else line.case.causes.get(line.metric, UNKNOWN),
        }
        for line in lines
    ]


def shown(metric: str, value: float) -> str:
    """Return a value as text with its unit."""
    if metric.endswith(("throttle", "share")):
        return f"{value:.0%}"
    if metric.endswith("bytes"):
        return f"{value / 1e9:.1f} GB"
    return show_ns(value) if METRICS[metric] > 1 else f"{value:.0f}"


def _overlap(groups: list[tuple[float, ...]]) -> bool:
    """Tell whether two groups that follow each other by their means have runs in common range."""
    ordered = sorted(groups, key=_log_mean)
    return any(max(low) >= min(high) for low, high in pairwise(ordered))


def by_number(lines: list[Line]) -> list[list[Line]]:
    """Return the lines of each published number: one, or one for each case that may have been."""
    found: dict[tuple[str, str, tuple[float, ...]], list[Line]] = {}
    for line in lines:
        found.setdefault((line.case.posting, line.metric, line.published), []).append(line)
    return list(found.values())


def orders(lines: list[Line]) -> list[tuple[str, bool]]:
    """Return, for each metric of each posting with several cases, whether the order is right."""
    found = []
    for posting in dict.fromkeys(line.case.posting for line in lines):
        for metric in METRICS:
            own = [ln for ln in lines if ln.case.posting == posting and ln.metric == metric]
            own = [ln for ln in own if ln.predicted]
            if len(own) > 1 and len({round(_log_mean(ln.published), 3) for ln in own}) > 1:
                right = [ln.case.name for ln in sorted(own, key=lambda ln: _log_mean(ln.published))]
                made = [ln.case.name for ln in sorted(own, key=lambda ln: _log_mean(ln.predicted))]
                said = f"{posting} {metric.replace('_', ' ')}: {' < '.join(right)}"
                if _overlap([ln.predicted for ln in own]):
                    said += ", by means; the predicted runs of neighbours overlap"
                found.append((said, right == made))
    return found
