"""When a VMM stops the guest: rules, one a file, registered by name.

A package of your own may add rules with the entry point group ``mmusim.switch_over``.
"""

from mmusim.base.entry_points import load_group
from mmusim.vmm.switch_over import after_rounds as after_rounds
from mmusim.vmm.switch_over import downtime_ramp as downtime_ramp
from mmusim.vmm.switch_over import fixed_limit as fixed_limit
from mmusim.vmm.switch_over import qemu_estimate as qemu_estimate
from mmusim.vmm.switch_over import stall as stall
from mmusim.vmm.switch_over.base import Seen, SwitchOver, Then, switch_overs
from mmusim.vmm.switch_over.qemu_estimate import QemuEstimate

load_group("mmusim.switch_over", SwitchOver, SwitchOver._registry)

__all__ = ["QemuEstimate", "Seen", "SwitchOver", "Then", "switch_overs"]
