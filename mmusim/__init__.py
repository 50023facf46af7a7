"""mmusim: which dirty-logging policy gives a KVM guest the least jitter, by how much, and why.

The public names below are imported when they are first used, so ``import mmusim`` stays cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmusim.comparison import Comparison, compare, judge
    from mmusim.config.cells import Cell, load_cells
    from mmusim.conform import conform
    from mmusim.engine.simulate import simulate
    from mmusim.errors import ConfigError, MmusimError
    from mmusim.experiment import Outcome, run_experiment
    from mmusim.likeness import compare_folders
    from mmusim.metrics import Metrics, measure
    from mmusim.plan import Plan, make_plan
    from mmusim.policies import Policy
    from mmusim.publication import publish
    from mmusim.trace import Probe, Trace

_HOME = {
    "Cell": "config.cells", "load_cells": "config.cells",
    "Plan": "plan", "make_plan": "plan", "Policy": "policies",
    "Trace": "trace", "Probe": "trace", "simulate": "engine",
    "Metrics": "metrics", "measure": "metrics",
    "Comparison": "comparison", "compare": "comparison", "judge": "comparison",
    "Outcome": "experiment", "run_experiment": "experiment", "conform": "conform",
    "publish": "publication", "compare_folders": "likeness",
    "ConfigError": "errors", "MmusimError": "errors",
}  # fmt: skip

__all__ = [
    "Cell",
    "Comparison",
    "ConfigError",
    "Metrics",
    "MmusimError",
    "Outcome",
    "Plan",
    "Policy",
    "Probe",
    "Trace",
    "compare",
    "compare_folders",
    "conform",
    "judge",
    "load_cells",
    "make_plan",
    "measure",
    "publish",
    "run_experiment",
    "simulate",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'mmusim' has no attribute {name!r}")
    return getattr(importlib.import_module(f"mmusim.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
