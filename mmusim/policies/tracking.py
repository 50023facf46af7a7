"""The two ways to notice the next write of a small page."""

from mmusim.policies.axes import Tracking
from mmusim.policies.base import Policy


class WriteProtect(Policy, name="write-protect", choices=(Tracking.WRITE_PROTECT,)):
    """W of small sptes is cleared, and the next write of the page faults.

    Every host does this, except Intel hosts with PML. The fault is lockless since 3.6.
    """

    commits = ("2.6.28 and before", "c7ba5b48cc8d (3.6, lockless)")


class Pml(Policy, name="pml", choices=(Tracking.PML,)):
    """Page-modification logging: D of small sptes is cleared, the processor logs the next write.

    There is no fault. The gpa goes into a buffer of 512 entries of the vCPU. Each exit drains it
    into the log, and the write after the 512th exits because the buffer is full. Get and clear
    first kick every vCPU so that buffers drain. Large sptes are write-protected and cost one fault
    each. Pages that a fault installs have D set, and software marks them dirty. Intel hosts since
    4.0. Shadow pages, also nested ones, are write-protected instead.
    """

    commits = ("843e4330573c (4.0)", "88178fd4f718 (4.0)")
