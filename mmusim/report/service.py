"""The open-loop service beside migrations, and the waits of post-copy, as tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mmusim.base.histogram import Histogram, bin_start
from mmusim.base.units import show_ns, show_number
from mmusim.experiment.run import Outcome
from mmusim.metrics.measure import Metrics
from mmusim.report.tables import NOTHING, Cell, Table, number

SHARES: Final = ("served_before", "served_during", "served_after")
EDGES: Final = (0, 10**5, 10**6, 10**7, 10**8)
"""Classes of waits in ns: the last one has no end."""


def service_table(outcome: Outcome) -> Table:
    """Return how services fared, a row a setting and policy; no row: none was followed."""
    columns: list[tuple[str, str, Callable[[float], str]]] = [
        *((name, name.replace("_", " "), _share) for name in SHARES),
        ("most_waiting", "most waiting", lambda n: show_number(round(n))),
        ("service_recovery", "recovered after", _time),
        ("p99_request", "p99 of requests", _time),
        ("max_request", "longest request", _time),
    ]
    rows = [
        [Cell(setting), Cell(policy), *(_mean(runs, name, show) for name, _, show in columns)]
        for setting, policy, runs in _each(outcome)
        if any(run.service for run in runs)
    ]
    return Table(
        id="service-table", caption="The service before, during and after the migration",
        columns=[("setting", False), ("policy", False), *((head, True) for _, head, _ in columns)],
        rows=rows,
        note="Mean over the seeds that have the value. Served is the share of the requests that "
        "arrived in that period: a backlog that is worked off makes it more than 100 %. Recovered "
        "is counted from the end of the migration until no more requests wait than before it.",
    )  # fmt: skip


def blocktime_table(outcome: Outcome) -> Table:
    """Return the waits of faults in post-copy by length; no row: there was no post-copy."""
    ends = [show_ns(edge) for edge in EDGES[1:]]
    heads = [f"under {ends[0]}", *(f"to {end}" for end in ends[1:]), "longer"]
    rows = []
    for setting, policy, runs in _each(outcome):
        own = [run.blocked for run in runs if run.blocked is not None]
        if own:
            counts = np.mean([by_length(one) for one in own], axis=0).tolist()
            rows.append(
                [
                    Cell(setting), Cell(policy), _mean(runs, "postcopy_blocktime", _time),
                    _mean(runs, "postcopy_vcpu_blocktime", _time),
                    *(number(n, show_number(round(n))) for n in counts),
                ]
            )  # fmt: skip
    return Table(
        id="blocktime-table", caption="What vCPUs waited for in post-copy",
        columns=[
            ("setting", False), ("policy", False), ("all vCPUs blocked", True),
            ("a vCPU blocked", True), *((f"waits {head}", True) for head in heads),
        ],
        rows=rows,
        note="Mean over seeds. The last columns count the faults by how long each waited for its "
        "page of the source.",
    )  # fmt: skip


def by_length(waits: Histogram) -> NDArray[np.float64]:
    """Return how many values lie in each class of :data:`EDGES`, shape (classes,)."""
    filled = np.flatnonzero(waits.counts)
    classes = np.searchsorted(EDGES, bin_start(filled), side="right") - 1
    weights = waits.counts[filled].astype(np.float64)
    return np.bincount(classes, weights, len(EDGES)).astype(np.float64)


def _each(outcome: Outcome) -> list[tuple[str, str, Sequence[Metrics]]]:
    return [
        (result.setting.name or "all", policy, runs)
        for result in outcome.settings
        for policy, runs in result.runs.items()
    ]


def _mean(runs: Sequence[Metrics], name: str, show: Callable[[float], str]) -> Cell:
    values = [run.values[name] for run in runs if name in run.values]
    if not values:
        return NOTHING
    mean = sum(values) / len(values)
    return number(mean, show(mean))


def _share(value: float) -> str:
    return f"{value:.1%}"


def _time(ns: float) -> str:
    return show_ns(ns) if ns else "0"
