"""Whether the runs of an experiment will have the metrics that it asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from mmusim.base.errors import Complaint
from mmusim.config.checkpoint import Checkpoint
from mmusim.config.driver import Driver, Run
from mmusim.config.experiment import Experiment
from mmusim.config.migrate import Migrate
from mmusim.config.page_table_write import WritePageTable
from mmusim.config.phase import BusyPhase
from mmusim.config.snapshot import Snapshot
from mmusim.vocabulary import METRICS
from mmusim.vocabulary.metrics import Scope
from mmusim.workload.requests import OpenLoopRequests

_OPERATIONS: Final = {
    "enable_time": ("enable-logging",),
    "get_time": ("get-dirty-log", "sync-dirty-log", "harvest-ring"),
    "clear_time": ("clear-dirty-log",),
    "disable_time": ("disable-logging",),
}
_LAPS: Final = ("laps", "progress", "faults_until_progress")


def lacks(experiment: Experiment, metric: str) -> str:
    """Say why no run of a setting will have a metric; empty if runs may have it.

    `experiment` is that of a setting, whose workloads are no references to files.
    """
    driver = experiment.driver
    if not isinstance(
        driver, Driver
    ):  # the selftest: vCPUs touch memory, and the host reads the log
        odd = metric.endswith("_request") or metric in ("request_count", *_LAPS)
        odd = odd or METRICS[metric].scope in (Scope.MIGRATION, Scope.CHECKPOINTS, Scope.SNAPSHOT)
        return "the selftest has none" if odd else ""
    if metric in _OPERATIONS:
        wanted = _OPERATIONS[metric]
        there = any(phase.do in wanted for phase in driver.phases)
        return "" if there else f"there is no phase {' or '.join(wanted)}"
    if driver.measure != "last" and all(driver.measure != p.name for p in driver.phases):
        return ""  # a window has the values of everything that happens in it
    phase = driver.phases[driver.measured]
    if METRICS[metric].scope is Scope.MIGRATION and not isinstance(phase, Migrate):
        return "the measured phase is not a migration"
    if METRICS[metric].scope is Scope.CHECKPOINTS and not isinstance(phase, Checkpoint):
        return "the measured phase makes no checkpoints"
    if METRICS[metric].scope is Scope.SNAPSHOT and not isinstance(phase, Snapshot):
        return "the measured phase takes no snapshot"
    if metric in _LAPS and not isinstance(phase, WritePageTable):
        return "the measured phase is not a write-page-table"
    if metric.endswith("_request") or metric == "request_count":
        name = phase.workload if isinstance(phase, Run | BusyPhase) else ""
        if not isinstance(experiment.workloads.get(name), OpenLoopRequests):
            return "the measured phase serves no requests (pattern open-loop-requests)"
    return ""


def unanswerable(
    experiment: Experiment, settings: Sequence[tuple[Mapping[str, Any], Experiment]], source: str
) -> Iterator[Complaint]:
    """Yield what leaves nothing to compare, and every metric asked for that no run will have.

    `settings` are labels and experiment of each; `source` names the file.
    """
    everyone = [setting for _, setting in settings]
    if not experiment.policies.compare:
        if len(everyone) < 2:
            yield Complaint(
                source, "policies.compare", [],
                "leaves nothing to compare: one policy, one setting",
                "name another policy, or add variants or a sweep",
            )  # fmt: skip
        if experiment.replications.precision is not None:
            yield Complaint(
                source, "replications.precision", None, "is of ratios between policies",
                "leave it out, or name another policy in policies.compare",
            )  # fmt: skip
    asked = [("answer_by", experiment.answer_by, everyone)]
    asked.append(("replications.precise", experiment.replications.precise, everyone))
    for number, claim in enumerate(experiment.claims, 1):
        about = [setting for labels, setting in settings if claim.concerns(dict(labels))]
        asked.append((f"claims[{number}].metric", claim.metric, about))
    for key, metric, about in asked:
        reasons = [lacks(setting, metric) for setting in about]
        if reasons and all(reasons):
            rule = f"no run has it: {reasons[0]}"
            yield Complaint(source, key, metric, rule, "ask for another, or measure another phase")
