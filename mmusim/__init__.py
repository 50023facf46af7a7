"""mmusim: which dirty-logging policy gives a KVM guest the least jitter, by how much, and why.

The public names below are imported when they are first used, so ``import mmusim`` stays cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmusim.actors import Actor, HostView
    from mmusim.base.errors import ConfigError, MmusimError
    from mmusim.comparison.compare import Comparison, compare, judge
    from mmusim.config.settings import Setting, load_settings
    from mmusim.conformance.replay import conform
    from mmusim.engine.simulate import simulate
    from mmusim.experiment.compare_folders import compare_folders
    from mmusim.experiment.run import Outcome, run_experiment
    from mmusim.metrics.measure import Metrics, measure
    from mmusim.plan.make import Plan, make_plan
    from mmusim.policies import Policy
    from mmusim.store.publish import publish
    from mmusim.trace.records import Probe, Trace

_HOME = {
    "Actor": "actors", "HostView": "actors",
    "Setting": "config.settings", "load_settings": "config.settings",
    "Plan": "plan.make", "make_plan": "plan.make", "Policy": "policies",
    "Trace": "trace.records", "Probe": "trace.records", "simulate": "engine",
    "Metrics": "metrics.measure", "measure": "metrics.measure",
    "Comparison": "comparison.compare", "compare": "comparison.compare",
    "judge": "comparison.compare",
    "Outcome": "experiment.run", "run_experiment": "experiment.run",
    "conform": "conformance.replay",
    "publish": "store.publish", "compare_folders": "experiment.compare_folders",
    "ConfigError": "base.errors", "MmusimError": "base.errors",
}  # fmt: skip

__all__ = [
    "Actor",
    "Comparison",
    "ConfigError",
    "HostView",
    "Metrics",
    "MmusimError",
    "Outcome",
    "Plan",
    "Policy",
    "Probe",
    "Setting",
    "Trace",
    "compare",
    "compare_folders",
    "conform",
    "judge",
    "load_settings",
    "make_plan",
    "measure",
    "publish",
    "run_experiment",
    "simulate",
]


_RENAMED = {"Cell": "Setting", "load_cells": "load_settings"}
"""Names of version 0.1."""


def __getattr__(name: str) -> Any:
    if name in _RENAMED:
        import warnings

        new = _RENAMED[name]
        warnings.warn(f"mmusim.{name} is mmusim.{new} now", DeprecationWarning, stacklevel=2)
        name = new
    if name not in _HOME:
        raise AttributeError(f"module 'mmusim' has no attribute {name!r}")
    return getattr(importlib.import_module(f"mmusim.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
