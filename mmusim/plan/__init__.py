"""Stage 2, Plan: a run before it is simulated. It holds all random decisions.

May import ``config`` and what is below.
"""

from mmusim.plan.make import Plan, make_plan

__all__ = ["Plan", "make_plan"]
