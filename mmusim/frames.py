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
    row: dict[str, float | None] = {
        f"{metric}_{unit}" if unit else metric: values.get(metric) for metric, unit in UNITS.items()
    }
    return row | {f"ledger_{cause}_ns": ledger.get(cause, 0) for cause in CAUSES}
