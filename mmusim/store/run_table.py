"""Run directories as pandas frames, units in the column names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mmusim.base.errors import ConfigError
from mmusim.metrics.few_beyond import all_few_beyond
from mmusim.store import Store
from mmusim.vocabulary import METRICS
from mmusim.vocabulary.causes import CAUSES

if TYPE_CHECKING:
    import pandas as pd


def frame(folder: Path) -> pd.DataFrame:
    """Return one row a run: setting, policy, seed, metrics and the ledger.

    Columns: ``setting``, ``memory`` and ``vcpus`` of the setting; ``policy``, ``seed``; each metric
    with its unit (``phase_time_ns``); each cause of the measured phase's ledger
    (``ledger_hits_ns``); ``few_beyond``, the metrics that are quantiles beyond which fewer than ten
    times of the run lie, separated by spaces. Attributes of the frame: ``unfinished`` is how many
    runs are still to be made, ``failed`` how many failed.

    Raises
    ------
    ConfigError
        If the folder is not a run directory, or has no finished runs of this model version.
    """
    import pandas as pd

    store = Store.open(folder)
    try:
        settings = {
            key: (name, config["vm"]) for key, (name, config) in store.configurations().items()
        }
        left, failed = store.unfinished(), store.states()["failed"]
        rows: list[dict[str, Any]] = []
        for key, policy, seed, record in store.results(summary_only=True):
            name, vm = settings[key]
            row: dict[str, Any] = {"setting": name, "memory": vm["memory"], "vcpus": vm["vcpus"]}
            row |= {"policy": policy, "seed": seed}
            few = {"few_beyond": " ".join(all_few_beyond(record["values"]))}
            rows.append(row | metric_columns(record["values"], record["ledger"]) | few)
    finally:
        store.close()
    if not rows:
        raise ConfigError.of(
            str(folder), "runs", None, "there are none that finished", "run `mmusim run`"
        )
    made = pd.DataFrame(rows).sort_values(["setting", "policy", "seed"], ignore_index=True)
    made.attrs |= {"unfinished": left, "failed": failed}
    return made


def metric_columns(
    values: Mapping[str, float], ledger: Mapping[str, int]
) -> dict[str, float | None]:
    """Return a run's metrics and its ledger by column: ``phase_time_ns``, ``ledger_hits_ns``."""
    row: dict[str, float | None] = {column: values.get(name) for name, column in _METRICS}
    row.update((column, ledger.get(cause, 0)) for cause, column in _CAUSES)
    return row


def in_column(metric: str) -> str:
    """Return the column of a metric: its name, and its unit if the name does not end with it."""
    unit = METRICS[metric].unit
    return metric if not unit or metric.endswith(f"_{unit}") else f"{metric}_{unit}"


_METRICS: Final = [(name, in_column(name)) for name in METRICS]
_CAUSES: Final = [(cause, f"ledger_{cause}_ns") for cause in CAUSES]
