"""The folders of stored runs and of their reports."""

from __future__ import annotations

from pathlib import Path

from mmusim.base.errors import ConfigError
from mmusim.config.settings import LoadedFile, load_file
from mmusim.experiment.run import Outcome
from mmusim.store import StoreError


def default_folder(experiment: Path | LoadedFile) -> Path:
    """Return the default folder of an experiment's runs: ``results/ID``."""
    return Path("results") / load_file(experiment).experiment.id


def written_report(outcome: Outcome, out: Path) -> Path:
    """Write the report of an outcome into its run directory.

    Raises
    ------
    StoreError
        If the file cannot be written.
    """
    from mmusim.report import write_report

    try:
        return write_report(outcome, out)
    except ConfigError as error:
        raise StoreError(f"{error}; the runs are stored: then run `mmusim report`") from None
