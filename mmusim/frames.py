"""Run directories as pandas frames, units in the column names."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmusim.metrics import UNITS
from mmusim.provenance import model_version
from mmusim.store import Store
from mmusim.trace import CAUSES

if TYPE_CHECKING:
    import pandas as pd


def frame(folder: Path) -> pd.DataFrame:
    """Return one row a run: setting, policy, seed, metrics and the ledger.

    Columns: ``setting``, ``memory`` and ``vcpus`` of the cell; ``policy``, ``seed``; each metric
    with its unit (``phase_time_ns``); each cause of the measured phase's ledger
    (``ledger_hits_ns``).

    Raises
    ------
    ConfigError
        If the folder is no run directory.
    """
    import pandas as pd

    store = Store.open(folder)
    try:
        cells = store.cells()
        rows: list[dict[str, Any]] = []
        for key, policy, seed, record in store.results(model_version()):
            name, config = cells[key]
            vm = tomllib.loads(config)["vm"]
            row: dict[str, Any] = {"setting": name, "memory": vm["memory"], "vcpus": vm["vcpus"]}
            row |= {"policy": policy, "seed": seed}
            rows.append(row | figures(record["values"], record["ledger"]))
    finally:
        store.close()
    return pd.DataFrame(rows).sort_values(["setting", "policy", "seed"], ignore_index=True)


def figures(values: Mapping[str, float], ledger: Mapping[str, int]) -> dict[str, float | None]:
    """Return a run's metrics and its ledger by column: ``phase_time_ns``, ``ledger_hits_ns``."""
    row: dict[str, float | None] = {in_column(metric): values.get(metric) for metric in UNITS}
    return row | {f"ledger_{cause}_ns": ledger.get(cause, 0) for cause in CAUSES}


def in_column(metric: str) -> str:
    """Return the column of a metric: its name, and its unit if the name does not end with it."""
    unit = UNITS[metric]
    return metric if not unit or metric.endswith(f"_{unit}") else f"{metric}_{unit}"
