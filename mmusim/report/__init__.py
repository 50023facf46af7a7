"""Pages for people: a report of an experiment, and an index over a folder of them.

May import ``plots``, ``analysis`` and what is below.
"""

from mmusim.report.answers import answers, stories
from mmusim.report.index import write_index
from mmusim.report.page import render, write_report
from mmusim.report.tables import every_run, mean_ledger, mean_operation_times

__all__ = [
    "answers",
    "every_run",
    "mean_ledger",
    "mean_operation_times",
    "render",
    "stories",
    "write_index",
    "write_report",
]
