"""The accesses of a run of hits that are complete while the run goes on."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmusim.engine.state.vm import Vcpu, Vm
from mmusim.mmu.spte import STALE


class RunUnderWay:
    """What others may ask of a run before it is committed."""

    __slots__ = ("_arrays", "_ends", "_marked", "_v", "_vm", "count", "k", "start_ns")

    _vm: Vm
    _v: Vcpu
    _arrays: Any
    _ends: Any  # of the planned accesses, in ns from the start of the run
    _marked: int  # accesses of the run whose pages are marked; -1: none is under way
    k: int
    count: int
    start_ns: int

    def completed(self, now: int) -> int:
        """Return how many accesses of the run under way are complete by `now`."""
        if self._marked < 0:
            return 0
        return int(np.searchsorted(self._ends[: self.count], now - self.start_ns, side="right"))

    def settle(self) -> None:
        """Mark the pages that the run under way has touched by now; another actor reads them."""
        if self._marked >= 0:
            passed = self._vm.now - self.start_ns
            self._mark(int(np.searchsorted(self._ends[: self.count], passed)))

    def _mark(self, done: int) -> None:
        """Mark the pages of the first `done` accesses of the run, each once."""
        if done > self._marked:
            gfn, write = (a[self.k + self._marked : self.k + done] for a in self._arrays[:2])
            self._marked = done
            self._vm.table.page[gfn[write]] |= np.uint8(STALE)
            if self._v.recorder.touched is not None:
                self._v.recorder.touched[gfn] = 1
