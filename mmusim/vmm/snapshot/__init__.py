"""How a VMM takes a snapshot of a guest's memory: ways, one a file, by name.

A package of your own may add ways with the entry point group ``mmusim.snapshots``.
"""

from mmusim.base.entry_points import load_group
from mmusim.vmm.snapshot.base import SnapshotWay, snapshot_ways
from mmusim.vmm.snapshot.in_order import InOrder
from mmusim.vmm.snapshot.stopped import Stopped
from mmusim.vmm.snapshot.write_protect import WriteProtect

load_group("mmusim.snapshots", SnapshotWay, SnapshotWay._registry)

__all__ = ["InOrder", "SnapshotWay", "Stopped", "WriteProtect", "snapshot_ways"]
