"""Auto-converge with a thread that reads the log for it while a pass over memory takes long."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mmusim.base.quantities import Time, shown
from mmusim.vmm.qemu import Qemu
from mmusim.vmm.throttle.auto_converge import SYNC_EVERY_NS, AutoConverge


class BackgroundWatcher(AutoConverge, name="background-watcher"):
    """Auto-converge with a thread that reads the log for it, once the last sync is `every` ago.

    The thread looks every second from the second pass over memory on, and ends when the throttle
    takes its most. What it reads counts for the throttle alone and is sent after the pass.

    Source: Huang, migration: auto-converge refinements for huge VM v1, 2/7 and 4/7 (background
    sync), qemu-devel, 16 September 2024. QEMU merged a timer in its place: `background-sync`.
    """

    rule: Annotated[Literal["background-watcher"], shown("background-watcher")]  # type: ignore[assignment]
    """Name of the throttle."""
    every: Annotated[Time, Field(ge=1e6), shown("2s")] = SYNC_EVERY_NS
    """Time after a sync after which the thread reads the log."""

    def sync_every(self, qemu: Qemu) -> int:
        """Return 0: the thread is in the place of the timer."""
        del qemu
        return 0

    def overdue_after(self, share: float) -> int:
        """Return `every` until the throttle takes its most."""
        return 0 if share >= self.most else round(self.every)
