"""The inside of an experiment's runs: latencies, ledgers, log operations, migrations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmusim.analysis.labels import Row, every_run, frame
from mmusim.base.errors import ConfigError
from mmusim.base.histogram import Histogram, bin_start
from mmusim.experiment.run import Outcome
from mmusim.metrics.few_beyond import too_few_beyond
from mmusim.metrics.measure import Metrics
from mmusim.vocabulary.causes import CAUSES

if TYPE_CHECKING:
    import pandas as pd

QUANTILES = (0.5, 0.9, 0.99, 0.999, 0.9999)


def latencies(outcome: Outcome, of: str = "latency") -> pd.DataFrame:
    """Return the distribution of latencies, one row a run and bin that is not empty.

    Columns: ``setting``, labels, ``policy``, ``seed``, ``latency_ns`` (smallest of the bin, which
    is 1 ns or at most 1/64 of it wide), ``count`` of the bin, ``share_longer`` (of those that took
    longer than the bin) and ``share_up_to`` (the others: the ECDF).

    Parameters
    ----------
    outcome : Outcome
        An experiment's runs.
    of : {"latency", "request"}
        Of single accesses, or of requests; a run that has none has no row.
    """
    import pandas as pd

    parts = []
    for where, run in every_run(outcome):
        starts, counts = bins(histogram(run, of))
        if not len(counts):
            continue
        up_to = np.cumsum(counts) / counts.sum()
        parts.append(
            pd.DataFrame(
                where
                | {
                    "latency_ns": starts,
                    "count": counts,
                    "share_longer": 1 - up_to,
                    "share_up_to": up_to,
                }
            )
        )
    columns = ["setting", "policy", "seed", "latency_ns", "count", "share_longer", "share_up_to"]
    return pd.concat(parts, ignore_index=True) if parts else frame([], columns)


def histogram(run: Metrics, of: str) -> Histogram:
    """Return the latencies of a run's accesses ("latency"), of its requests ("request"), or the
    waits of its faults in post-copy ("postcopy_fault"); may be empty.

    Raises
    ------
    ConfigError
        If `of` is none of them.
    """
    found = {"latency": run.latency, "request": run.requests, "postcopy_fault": run.blocked}
    if of not in found:
        raise ConfigError.of(
            "analysis", "of", of, f"is not one of {', '.join(found)}", "choose one of them"
        )
    return found[of] or Histogram()


def bins(histogram: Histogram) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return starts in ns and counts of the bins that are not empty."""
    filled = np.flatnonzero(histogram.counts)
    return bin_start(filled), histogram.counts[filled]


def quantiles(
    outcome: Outcome, p: Sequence[float] = QUANTILES, of: str = "latency"
) -> pd.DataFrame:
    """Return quantiles of latencies, one row a run and quantile; `of` as in :func:`latencies`.

    Columns: ``setting``, labels, ``policy``, ``seed``, ``p``, ``latency_ns`` (off by at most 1/128
    and a nanosecond), ``few_beyond`` (fewer than ten times of the run lie beyond).

    Raises
    ------
    ValueError
        If a `p` does not lie between 0 and 1.
    """
    rows: list[Row] = [
        where
        | {
            "p": share,
            "latency_ns": histogram(run, of).quantile(share),
            "few_beyond": too_few_beyond(histogram(run, of).count, share),
        }
        for where, run in every_run(outcome)
        if histogram(run, of).count
        for share in p
    ]
    return frame(rows, ["setting", "policy", "seed", "p", "latency_ns", "few_beyond"])


def ledger(outcome: Outcome) -> pd.DataFrame:
    """Return where the vCPUs' time in the measured phase went, one row per run and cause.

    Columns: ``setting``, labels, ``policy``, ``seed``, ``cause``, ``kind`` (useful, idle, lost),
    ``time_ns`` of all vCPUs. The times of a run sum exactly to the time of its vCPUs. Causes that
    no run has are left out.
    """
    runs = list(every_run(outcome))
    causes = [c for c in dict.fromkeys(c for _, r in runs for c in r.ledger)
              if any(r.ledger.get(c) for _, r in runs)]  # fmt: skip
    rows: list[Row] = [
        where | {"cause": cause, "kind": kind(cause), "time_ns": run.ledger.get(cause, 0)}
        for where, run in runs
        for cause in causes
    ]
    return frame(rows, ["setting", "policy", "seed", "cause", "kind", "time_ns"])


def kind(cause: str) -> str:
    """Return whether time spent on a cause is useful, idle or lost."""
    return CAUSES[cause].kind.value


def operation_times(outcome: Outcome) -> pd.DataFrame:
    """Return the times of log operations, one row per run, operation and part.

    Columns: ``setting``, labels, ``policy``, ``seed``, ``operation``, ``part`` (a cost of the host
    profile, or a wait), ``time_ns``. Each row sums all operations of a kind in a run.
    """
    rows: list[Row] = [
        where | {"operation": operation, "part": part, "time_ns": time_ns}
        for where, run in every_run(outcome)
        for operation, spent in run.operation_times.items()
        for part, time_ns in spent.items()
    ]
    return frame(rows, ["setting", "policy", "seed", "operation", "part", "time_ns"])


def rounds(outcome: Outcome) -> pd.DataFrame:
    """Return the rounds of migrations, one row a run and round.

    Columns: ``setting``, labels, ``policy``, ``seed``, ``outcome``, ``round`` (from 1),
    ``start_ns`` and ``end_ns`` of the run, ``sent_pages``, ``zero_pages``, ``sent_bytes``,
    ``dirty_pages`` (to be sent after the sync that ends the round), ``in_vain`` (sent in it and to
    be sent again), ``reported`` by syncs in it, ``false_dirty`` (of these, not written since they
    were last sent) and ``bandwidth_bytes_per_s`` as the migration thread measured it last.
    """
    rows: list[Row] = [
        where
        | {"outcome": run.outcome, "round": number}
        | {k: v for k, v in r._asdict().items() if k != "bandwidth"}
        | {"bandwidth_bytes_per_s": r.bandwidth}
        for where, run in every_run(outcome)
        for number, r in enumerate(run.rounds, 1)
    ]
    return frame(rows, ["setting", "policy", "seed", "outcome", "round", "start_ns", "end_ns"])
