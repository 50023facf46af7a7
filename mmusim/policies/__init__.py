"""Dirty-logging policies, one per file.

A new file in this folder is found by itself; an installed package adds policies through the
entry point group ``mmusim.policies``. Neither needs a line changed here.
"""

import importlib
import pkgutil
from importlib.metadata import entry_points

from mmusim.policies.base import Policy, Tables, policies, policy_named, tabulate
from mmusim.policies.kernel import KERNELS, Disable, EnableWalk, Kernel, kernel_named

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
for _entry in entry_points(group="mmusim.policies"):
    _entry.load()

__all__ = [
    "KERNELS",
    "Disable",
    "EnableWalk",
    "Kernel",
    "Policy",
    "Tables",
    "kernel_named",
    "policies",
    "policy_named",
    "tabulate",
]
