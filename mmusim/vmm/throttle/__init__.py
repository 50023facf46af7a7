"""How a VMM slows a guest down so that its migration ends: rules, one a file, by name.

A package of your own may add rules with the entry point group ``mmusim.throttles``.
"""

from mmusim.base.entry_points import load_group
from mmusim.vmm.throttle import background_sync as background_sync
from mmusim.vmm.throttle import background_watcher as background_watcher
from mmusim.vmm.throttle import cloud_hypervisor as cloud_hypervisor
from mmusim.vmm.throttle import fixed_sleep as fixed_sleep
from mmusim.vmm.throttle.auto_converge import AutoConverge, ThrottleShare
from mmusim.vmm.throttle.base import Period, Throttle, Watched, throttles
from mmusim.vmm.throttle.dirty_limit import DirtyLimit
from mmusim.vmm.throttle.responsive import Responsive

load_group("mmusim.throttles", Throttle, Throttle._registry)

__all__ = [
    "AutoConverge", "DirtyLimit", "Period", "Responsive", "Throttle", "ThrottleShare", "Watched",
    "throttles",
]  # fmt: skip
