"""A fixed amount: the guest is stopped when no more than that is left."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mmusim.base.quantities import Size, shown
from mmusim.vmm.switch_over.base import Seen, SwitchOver


class FixedLimit(SwitchOver, name="fixed-limit"):
    """Stop when at most a fixed amount of memory is left.

    Source: Xen stops below 50 pages (tools/libs/saverestore/save.c, `SPP_TARGET_DIRTY_COUNT`), or
    after five iterations; QEMU before 1.5
    had a limit of this kind in effect, because its bandwidth was a constant.
    """

    rule: Annotated[Literal["fixed-limit"], shown("fixed-limit")]
    """Name of the rule."""
    left: Annotated[Size, Field(gt=0), shown("64MiB")]
    """Guest memory that may be left."""

    def may_be_left(self, seen: Seen) -> float:
        """Return the amount."""
        del seen
        return float(self.left)
