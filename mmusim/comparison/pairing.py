"""One value of each run, and runs that pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from mmusim.base.errors import MmusimError
from mmusim.metrics.measure import Metrics
from mmusim.metrics.undefined import why_undefined

Runs = Mapping[str, Sequence[Metrics]]
"""Runs of one setting by policy, each sorted by seed."""


MIN_SEEDS: Final = 2
"""With fewer there is no variance, and so no interval."""


class UnlikeRunsError(MmusimError):
    """The runs cannot be compared, because they differ in more than the policy."""


def values_of(runs: Sequence[Metrics], metric: str) -> list[float]:
    """Return a metric of each run, in its unit.

    Parameters
    ----------
    runs : sequence of Metrics
        Runs of one policy.
    metric : str
        Name of the metric.

    Raises
    ------
    UnlikeRunsError
        If a run does not have the metric.
    """
    for run in runs:
        if metric not in run.values:
            raise UnlikeRunsError(
                f"{metric} is not defined in the run of {run.policy!r} with seed {run.seed}, which "
                f"has {why_undefined(metric)}; compare a metric that every run has"
            )
    return [run.values[metric] for run in runs]


def paired(baseline: Sequence[Metrics], candidate: Sequence[Metrics]) -> None:
    """Check that two policies ran on equal seeds, in the same order.

    Parameters
    ----------
    baseline, candidate : sequence of Metrics
        Runs of two policies.

    Raises
    ------
    UnlikeRunsError
        If the seeds differ.
    """
    seeds = [run.seed for run in baseline], [run.seed for run in candidate]
    if seeds[0] != seeds[1]:
        odd = sorted(set(seeds[0]) ^ set(seeds[1]))
        raise UnlikeRunsError(
            f"{baseline[0].policy!r} and {candidate[0].policy!r} ran on different seeds: {odd} "
            "are missing on one side; run them on the same"
        )


def on_shared_seeds(runs: Runs) -> dict[str, list[Metrics]]:
    """Return of each policy the runs whose seeds every policy has, in their order.

    There must be one policy at least.
    """
    shared = set.intersection(*({run.seed for run in rows} for rows in runs.values()))
    return {name: [run for run in rows if run.seed in shared] for name, rows in runs.items()}
