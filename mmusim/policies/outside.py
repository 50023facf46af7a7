"""Policies of other packages, found through their entry points.

A package that fails to load causes a warning. Everything that does not need it goes on. A request
for a missing policy names the package.
"""

from __future__ import annotations

import logging
import multiprocessing
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Final

from mmusim.policies.base import Policy
from mmusim.policies.packages import described, note_failure, note_package

GROUP: Final = "mmusim.policies"
_LOG = logging.getLogger("mmusim")


def load_outside() -> None:
    """Load every installed policy; record and report each failure."""
    for entry in entry_points(group=GROUP):
        package = "a package" if entry.dist is None else f"package {entry.dist.name!r}"
        source = f"{package}, entry point {entry.name!r} ({entry.value})"
        note_package(entry.module, source)
        problem = _load(entry)
        if problem:
            note_failure(f"{source}: {problem}")
            if (
                multiprocessing.parent_process() is None
            ):  # worker processes would repeat the warning
                _LOG.warning("%s: %s; its policies are left out", source, problem)


def _load(entry: EntryPoint) -> str:
    """Load an entry point; return the error, or nothing."""
    try:
        loaded = entry.load()
    except (Exception, SystemExit) as error:
        return f"cannot be loaded: {described(error)}"
    if isinstance(loaded, ModuleType):
        modules = (f"{cls.__module__}." for cls in Policy._registry.values())
        if not any(module.startswith(f"{loaded.__name__}.") for module in modules):
            file = getattr(loaded, "__file__", None) or loaded.__name__
            return f"has no Policy with a name ({file}); write class P(Policy, name=...)"
        return ""
    if isinstance(loaded, type) and issubclass(loaded, Policy):
        if loaded.name in Policy._registry:
            return ""
        return f"its class {loaded.__name__} has no name; write class P(Policy, name=...)"
    return f"is a {type(loaded).__name__} and no Policy; name a module or a subclass of Policy"
