"""How a VMM answers requests for missing pages in post-copy: ways, one a file, by name.

A package of your own may add ways with the entry point group ``mmusim.postcopies``.
"""

from mmusim.base.entry_points import load_group
from mmusim.vmm.postcopy.base import Postcopy, postcopies
from mmusim.vmm.postcopy.plain import Plain
from mmusim.vmm.postcopy.preempt import Preempt

load_group("mmusim.postcopies", Postcopy, Postcopy._registry)

__all__ = ["Plain", "Postcopy", "Preempt", "postcopies"]
