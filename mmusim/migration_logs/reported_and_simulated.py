"""Reported values of a migration beside simulated ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

from mmusim.base.units import PAGE, show_ns
from mmusim.config.reported import Reported
from mmusim.experiment.run import Outcome
from mmusim.metrics.measure import Metrics

Row = dict[str, Any]


def _megabytes(size: float) -> str:
    return f"{size / 1e6:,.1f} MB"


_PAIRS: Final[tuple[tuple[str, str, str, Callable[[float], str]], ...]] = (
    ("total time", "total_time", "migration_time", show_ns),
    ("downtime", "downtime", "downtime", show_ns),
    ("rounds", "rounds", "rounds", lambda n: f"{n:.4g}"),
    ("syncs", "dirty_sync_count", "dirty_sync_count", lambda n: f"{n:.4g}"),
    ("sent", "transferred", "sent_bytes", _megabytes),
    ("throttle", "throttle", "highest_throttle", lambda share: f"{share:.0%}"),
    ("post-copy blocktime", "postcopy_blocktime", "postcopy_blocktime", show_ns),
)
_ENDS: Final = {"did-not-converge": "still active", "postcopy": "completed by post-copy"}
"""Outcomes of runs in the words of logs."""
_STATES: Final = {"active": "still active", "postcopy-active": "in post-copy"}
"""States of logs in the words of outcomes."""


def reported_rows(outcome: Outcome) -> list[Row]:
    """Return a row for each quantity that was reported: reported, simulated, and their ratio.

    The first row is the outcome, where the log has it: how many runs ended in which way. Simulated
    is the baseline's mean over seeds. There is a row for each round too, where the log has rounds.
    An experiment without `[reported]` has no rows.
    """
    report = outcome.experiment.reported
    if report is None:
        return []
    policy = outcome.experiment.policies.baseline
    rows: list[Row] = []
    for result in outcome.settings:
        runs = result.runs.get(policy, ())
        if runs:
            rows += _of_one(report, runs, result.setting.name, policy)
    return rows


def _of_one(report: Reported, runs: Sequence[Metrics], setting: str, policy: str) -> list[Row]:
    def row(what: str, reported: float, simulated: float | None, show: Any) -> Row:
        ratio = f"{simulated / reported:.3g}" if simulated is not None and reported else ""
        made = "none" if simulated is None else show(simulated)
        return {
            "setting": setting, "policy": policy, "what": what, "reported": show(reported),
            "simulated": made, "ratio": ratio,
        }  # fmt: skip

    rows: list[Row] = []
    if report.status:
        ends = Counter(_ENDS.get(run.outcome, run.outcome) for run in runs)
        made = ", ".join(f"{end} ({n} of {len(runs)})" for end, n in ends.most_common())
        state = _STATES.get(report.status, report.status)
        said = f"{state}: {report.reason}" if report.reason else state
        rows.append(row("outcome", 0.0, 0.0, str) | {"reported": said, "simulated": made})
    for what, name, metric, show in _PAIRS:
        reported = getattr(report, name)
        if reported is not None:
            values = [run.values[metric] for run in runs if metric in run.values]
            mean = sum(values) / len(values) if values else None
            rows.append(row(what, float(reported), mean, show))
    for one in report.round:
        times = [
            (run.rounds[one.number].end_ns - run.rounds[one.number].start_ns)
            for run in runs
            if one.number < len(run.rounds)
        ]
        if one.time is not None:
            mean = sum(times) / len(times) if times else None
            rows.append(row(f"round {one.number}: time", one.time, mean, show_ns))
        sent = [
            run.rounds[one.number - 1].dirty_pages * PAGE
            for run in runs
            if 0 < one.number <= len(run.rounds)
        ]
        if one.to_send is not None and one.number:
            mean = sum(sent) / len(sent) if sent else None
            rows.append(row(f"round {one.number}: to send", one.to_send, mean, _megabytes))
    return rows


def assumptions(outcome: Outcome) -> list[str]:
    """Return the assumptions, a sentence each."""
    report = outcome.experiment.reported
    return (
        [] if report is None else [f"assumed {key}: {why}" for key, why in report.assumed.items()]
    )
