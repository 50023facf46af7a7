"""Dirty-logging policies, one idea per file.

This package finds a new file in its folder by itself. An installed package adds policies through
the entry point group ``mmusim.policies``. Neither needs a change here.

May import ``base`` and ``mmu``.
"""

import importlib
import pkgutil

from mmusim.policies.axes import AXES, Choices, Large, Lock, Mmu, Reporting, Tracking
from mmusim.policies.base import Policy, load_outside, policies, policy_named
from mmusim.policies.choices import ASSUMED, Chosen, choose, legal, nearest_legal
from mmusim.policies.kernel import (
    DEFAULT_KERNEL,
    PRESETS,
    RELEASES,
    Disable,
    EnableWalk,
    GetWalk,
    Kernel,
    kernel_named,
)
from mmusim.policies.tables import Tables, tabulate

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
load_outside()

__all__ = [
    "ASSUMED",
    "AXES",
    "DEFAULT_KERNEL",
    "PRESETS",
    "RELEASES",
    "Choices",
    "Chosen",
    "Disable",
    "EnableWalk",
    "GetWalk",
    "Kernel",
    "Large",
    "Lock",
    "Mmu",
    "Policy",
    "Reporting",
    "Tables",
    "Tracking",
    "choose",
    "kernel_named",
    "legal",
    "nearest_legal",
    "policies",
    "policy_named",
    "tabulate",
]
