"""Experiments: run them, decide how many seeds, select, judge claims, find the costs that matter.

May import ``comparison``, ``execution``, ``store`` and what is below.
"""

from mmusim.experiment.run import Outcome, run_experiment

__all__ = ["Outcome", "run_experiment"]
