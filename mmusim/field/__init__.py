"""From the field: logs of real migrations become experiments, and stand beside what is simulated.

May import ``config``, ``metrics`` and what is below.
"""

from mmusim.field.experiment_file import experiment_text
from mmusim.field.log import MigrationLog
from mmusim.field.recognise import read_log

__all__ = ["MigrationLog", "experiment_text", "read_log"]
