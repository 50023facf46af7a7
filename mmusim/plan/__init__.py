"""Stage 2, Plan: a run, decided. All chance is in it.

May import ``config`` and what is below.
"""

from mmusim.plan.make import Plan, make_plan

__all__ = ["Plan", "make_plan"]
