"""QEMU's rule: what is left can be sent within the downtime limit, by the measured bandwidth."""

from __future__ import annotations

from typing import Annotated, Literal

from mmusim.base.quantities import shown
from mmusim.base.units import NS
from mmusim.vmm.switch_over.base import Seen, SwitchOver


class QemuEstimate(SwitchOver, name="qemu-estimate"):
    """Stop when what is left takes at most `downtime-limit` at the bandwidth of the last window.

    Source: QEMU `migration_update_counters`, `migration_iteration_run`.
    """

    rule: Annotated[Literal["qemu-estimate"], shown("qemu-estimate")] = "qemu-estimate"
    """Name of the rule."""

    def may_be_left(self, seen: Seen) -> float:
        """Return bandwidth times downtime limit."""
        return seen.bandwidth * seen.downtime_limit / NS["s"]
