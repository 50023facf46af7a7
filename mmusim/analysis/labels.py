"""The columns that identify the run of a row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from mmusim.experiment.run import Outcome, SettingResult
from mmusim.metrics.measure import Metrics

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]


def setting(result: SettingResult) -> Row:
    """Return the name of a setting and its labels, by their keys in the experiment file."""
    return {"setting": result.setting.name or "all", **result.setting.labels}


def every_run(outcome: Outcome) -> Iterator[tuple[Row, Metrics]]:
    """Yield each run with its setting, labels, policy and seed."""
    for result in outcome.settings:
        for policy, runs in result.runs.items():
            for run in runs:
                yield setting(result) | {"policy": policy, "seed": run.seed}, run


def frame(rows: Sequence[Row], columns: Sequence[str]) -> pd.DataFrame:
    """Make a frame that has its columns even if it has no rows."""
    import pandas as pd

    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=list(columns))
