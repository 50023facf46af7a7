"""Logs of real migrations: turned into experiments, and compared with simulations.

May import ``config``, ``metrics`` and what is below.
"""

from mmusim.migration_logs.experiment_file import experiment_text
from mmusim.migration_logs.formats import read_log
from mmusim.migration_logs.log import MigrationLog

__all__ = ["MigrationLog", "experiment_text", "read_log"]
