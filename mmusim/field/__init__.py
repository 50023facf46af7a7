"""Logs of real migrations: turned into experiments, and compared with simulations.

May import ``config``, ``metrics`` and what is below.
"""

from mmusim.field.experiment_file import experiment_text
from mmusim.field.log import MigrationLog
from mmusim.field.recognise import read_log

__all__ = ["MigrationLog", "experiment_text", "read_log"]
