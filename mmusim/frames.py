"""Run directories as pandas frames, units in the column names."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmusim.metrics import UNITS
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
        cells = {
            key: (name, tomllib.loads(toml)["vm"]) for key, (name, toml) in store.cells().items()
        }
        rows: list[dict[str, Any]] = []
        for key, policy, seed, record in store.results():
            name, vm = cells[key]
            row: dict[str, Any] = {"setting": name, "memory": vm["memory"], "vcpus": vm["vcpus"]}
            row |= {"policy": policy, "seed": seed}
            for metric, unit in UNITS.items():
                column = f"{metric}_{unit}" if unit else metric
                row[column] = record["values"].get(metric)
            row |= {f"ledger_{cause}_ns": record["ledger"][cause] for cause in CAUSES}
            rows.append(row)
    finally:
        store.close()
    return pd.DataFrame(rows).sort_values(["setting", "policy", "seed"], ignore_index=True)
