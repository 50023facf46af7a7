"""The record of a run that a ledger stores: its metrics as plain data, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmusim.base.histogram import Histogram
from mmusim.metrics.exposure import Exposure, to_plain
from mmusim.metrics.measure import Metrics, WindowCosts
from mmusim.trace.records import Round, Served


def to_record(metrics: Metrics) -> dict[str, Any]:
    """Return plain data for storage: numbers, strings, lists and mappings, times in ns.

    :func:`from_record` reads it. Histograms are sparse (:meth:`Histogram.sparse`).
    """
    return {
        "values": dict(metrics.values),
        "ledger": dict(metrics.ledger),
        "operation_times": {
            operation: dict(spent) for operation, spent in metrics.operation_times.items()
        },
        "latency": metrics.latency.sparse(),
        "fingerprint": metrics.fingerprint,
        "outcome": metrics.outcome,
        "story": metrics.story,
        "rounds": metrics.rounds,
        "windows": {name: dict(values) for name, values in metrics.windows.items()},
        "exposures": {name: to_plain(one) for name, one in metrics.exposures.items()},
        "window_costs": {
            name: [dict(side) for side in one] for name, one in metrics.window_costs.items()
        },
    } | _where_there(metrics)


def _where_there(metrics: Metrics) -> dict[str, Any]:
    """Return the data that only some runs have."""
    found: dict[str, Any] = {}
    for name in ("requests", "blocked"):
        histogram = getattr(metrics, name)
        if histogram is not None:
            found[name] = histogram.sparse()
    return found | ({"service": metrics.service} if metrics.service else {})


def from_record(policy: str, seed: int, record: Mapping[str, Any]) -> Metrics:
    """Rebuild what :func:`to_record` wrote.

    Parameters
    ----------
    policy, seed : str, int
        Those of the run; they stand beside the record in a ledger.
    record : mapping
        Data of the present schema. Keys that only some runs have may be missing.

    Raises
    ------
    KeyError
        If a key that every run has is missing. Readers check the schema of a ledger before
        (:mod:`mmusim.store.schema`).
    """
    return Metrics(
        policy=policy,
        seed=seed,
        values=record["values"],
        ledger=record["ledger"],
        operation_times=record["operation_times"],
        latency=Histogram.from_sparse(record["latency"]),
        fingerprint=record["fingerprint"],
        outcome=record["outcome"],
        story=tuple(record["story"]),
        rounds=tuple(Round(*row) for row in record["rounds"]),
        requests=Histogram.from_sparse(record["requests"]) if "requests" in record else None,
        service=tuple(Served(*row) for row in record.get("service", ())),
        blocked=Histogram.from_sparse(record["blocked"]) if "blocked" in record else None,
        windows=record.get("windows", {}),
        exposures={name: Exposure(**one) for name, one in record.get("exposures", {}).items()},
        window_costs={
            name: WindowCosts(*sides) for name, sides in record.get("window_costs", {}).items()
        },
    )
