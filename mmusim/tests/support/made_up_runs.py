"""Metrics of runs that never were, with figures that a test chooses."""

from __future__ import annotations

import numpy as np

from mmusim.base.histogram import Histogram
from mmusim.metrics.measure import Metrics


def run(policy: str, seed: int, **values: float) -> Metrics:
    return Metrics(
        policy=policy, seed=seed, values=values, ledger={}, operation_times={}, latency=Histogram(),
        fingerprint="",
    )  # fmt: skip


def runs(policy: str, figures: np.ndarray, metric: str = "phase_time") -> list[Metrics]:
    return [run(policy, seed, **{metric: float(x)}) for seed, x in enumerate(figures)]
