"""A vCPU whose accesses are given by rates: from one access that changes something to the next.

Between such accesses guest time passes, and nothing else happens. An access that finds its page
good changes nothing, so the engine does not search for it. Other actors cannot change that without
a flush, because a revoked right stays usable until the flush. At the flush every vCPU is kicked,
and :meth:`RateRun.look_at` searches for the accesses that matter from then on. A copy of pages to
the destination needs such a search too, because the next write to each page sets its STALE bit.

An access takes no time. An access that sets D of an spte armed for PML takes the time of logging.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mmusim.engine.state.run_charges import WAITING
from mmusim.engine.state.vm import Vcpu, Vm
from mmusim.mmu.fault import set_dirty
from mmusim.mmu.page_table import hit_level
from mmusim.mmu.spte import STALE
from mmusim.plan.make import Program
from mmusim.vocabulary.causes import PML_LOG, THINK
from mmusim.workload.points import BLOCK, INDEX_BITS, NEVER, index_of, next_point

BETWEEN: Final = 1 << INDEX_BITS
"""Costs of kicks between accesses are drawn by indices from here on, so that they do not depend on
the next access."""


class RateRun:
    """A vCPU's progress through a program of rates, as :class:`GuestRun` is for accesses."""

    __slots__ = (
        "_at", "_began", "_blocks", "_guest_ns", "_heap", "_index", "_law", "_leaf", "_next",
        "_past", "_points", "_under_way", "_v", "_vm", "access", "count", "halts_until", "k",
        "length", "logs", "start_ns", "total_ns",
    )  # fmt: skip

    def __init__(self, vm: Vm, v: Vcpu, program: Program) -> None:
        """Start at guest time 0."""
        assert program.points is not None
        self._vm, self._v, self._points = vm, v, program.points
        v.working_set, v.first = None, program.first
        self._law = program.points.rates.law
        self._blocks = self._law.shape[1]
        self._index = program.first  # of the access that comes next: the key of its costs
        self.k = 0  # accesses that changed something
        self.length = NEVER
        self.access = 0, True  # gfn and kind of the access that comes next
        self._guest_ns = 0
        self._past = -1  # the point that was passed last
        self._at, self._leaf = NEVER, -1  # the point that comes next, of which leaf
        self._began = -1  # when it was first tried, if it has been
        self._under_way = False  # the time to it passes
        self.logs = False  # it sets D and is being logged
        self.count = self.total_ns = self.start_ns = 0
        self.halts_until = 0  # it has no requests to wait for
        self._next = [NEVER] * self._law.size  # of each leaf
        self._heap: list[tuple[int, int]] = []
        for leaf in range(self._law.size):
            self._look(leaf, -1)

    @property
    def index(self) -> int:
        """Index by which costs are drawn: of the access at hand, or of the time between two."""
        return self._index

    @property
    def over_ns(self) -> int:
        """Start of the next lap: now."""
        return self._vm.now

    # --- which access comes next --------------------------------------------------------------

    def _look(self, leaf: int, after: int) -> None:
        """Find the next access to a leaf that changes something."""
        kind, block = divmod(leaf, self._blocks)
        law, points = int(self._law[kind, block]), self._points
        if not law:
            return
        first = points.base_gfn + block * BLOCK
        here = min(BLOCK, points.pages - block * BLOCK)
        write = not kind

        def armed(page: int) -> bool:
            return page < here and self._is_armed(first + page, write)

        at = next_point(points.key, leaf, block, points.rates.laws[law - 1], armed, after)
        if at != self._next[leaf]:
            self._next[leaf] = at
            if at != NEVER:
                heappush(self._heap, (at, leaf))

    def _is_armed(self, gfn: int, write: bool) -> bool:
        """Tell whether an access would fault, be logged, or set a bit that is kept."""
        vm, touched = self._vm, self._v.recorder.touched
        if vm.run_limit == 1:
            return True  # every access is an event
        if not hit_level(vm.view, gfn, write, False) or (write and not vm.view.page[gfn] & STALE):
            return True
        return touched is not None and not touched[gfn]

    def look_at(self, ranges: NDArray[np.int64]) -> None:
        """Search the pages of ranges of gfns, shape (ranges, 2), again: accesses may matter now."""
        points = self._points
        passed = self._guest_ns
        if self._under_way and not self.count:
            passed += self._vm.now - self.start_ns
        after = max(self._past, (passed << 6) - 1)
        end = points.base_gfn + points.pages
        for first, last in ranges.tolist():
            low, high = max(first, points.base_gfn), min(last, end)
            if low < high:
                low, high = low - points.base_gfn, high - points.base_gfn
                for block in range(low // BLOCK, (high - 1) // BLOCK + 1):
                    for leaf in range(block, self._law.size, self._blocks):
                        if leaf != self._leaf or not self._at_hand():
                            self._look(leaf, after)

    def _at_hand(self) -> bool:
        """Tell whether an access has been attempted and has not completed."""
        return self._began >= 0 or (self._under_way and self.count > 0)

    def _choose(self) -> None:
        """Choose the next access of all leaves."""
        heap = self._heap
        while heap and self._next[heap[0][1]] != heap[0][0]:
            heappop(heap)
        self._at, self._leaf = heap[0] if heap else (NEVER, -1)
        if self._leaf >= 0:
            kind, block = divmod(self._leaf, self._blocks)
            gfn = self._points.base_gfn + block * BLOCK + (self._at & BLOCK - 1)
            self.access = gfn, not kind

    # --- what vcpu.py asks for ------------------------------------------------------------------

    def plan(self) -> bool:
        """Let time pass up to the next access that matters; return False if it faults or is
        logged.
        """
        vm = self._vm
        self.count, self.logs = 0, False
        while self.k < self.length:
            if self._began < 0:
                self._choose()
            due = min(self._at >> 6, self._points.rates.lasts_ns)
            if due > self._guest_ns:
                self.total_ns = due - self._guest_ns
                break
            if not hit_level(vm.view, *self.access, bool(vm.taken_back)):
                self._index = self._v.first + index_of(self._leaf, self._at)
                return False
            self._complete()
        else:
            self.total_ns = 0
        self._index = self._v.first + BETWEEN + self.k
        return True

    def plan_logged(self) -> None:
        """Plan the access at hand: a write to an armed page, which the processor logs."""
        logs = self._vm.pml and self._vm.tracked
        self.logs, self.count = True, 1
        self.total_ns = self._v.c_pml_log.at(self._index) if logs else 0

    def begin(self) -> int:
        """Begin the planned part; return its start in ns."""
        self._under_way, self.start_ns = True, self._vm.now
        return self.start_ns

    def cut(self, offset: int) -> tuple[int, int]:
        """Return how many accesses complete, and when the vCPU can leave the guest.

        A kick arrives `offset` ns after the start of the planned part. A write that is being logged
        completes.
        """
        if self.count and offset > 0:
            return 1, self.total_ns
        return 0, offset

    def shorten(self, offset: int) -> None:
        """End the plan after the access that is in flight `offset` ns after its start."""
        self.count, self.total_ns = self.cut(offset)

    def stop(self, now: int) -> None:
        """End the program after the part under way; `now` is the time in ns."""
        done = self.cut(now - self.start_ns)[0] if self._under_way else int(self._began >= 0)
        self.length = min(self.length, self.k + done)

    def settle(self) -> None:
        """Do nothing: every access that would mark a page is an event."""

    def faulted(self, began_ns: int) -> None:
        """Note that the access at hand faulted; its latency counts from the earliest `began_ns`."""
        if self._began < 0:
            self._began = began_ns

    def commit(self, done: int, spent_ns: int) -> None:
        """Commit `spent_ns` of the planned part, with `done` logged accesses."""
        v, vm = self._v, self._vm
        self._under_way = False
        recorder = v.recorder.at(self.start_ns)
        v.charged_ns += spent_ns
        cause = PML_LOG if done else THINK
        recorder.ledger[cause] += spent_ns
        if vm.probe is not None and spent_ns:
            name = "pml_log" if done else "think"
            vm.probe.spent(v.number, self.start_ns, self.start_ns + spent_ns, {name: spent_ns})
        if done:
            if v.owed:
                v.parts_with(recorder, spent_ns, spent_ns, 0, 0)
            gfn = self.access[0]
            if set_dirty(vm.view, gfn) and vm.pml and vm.tracked:
                v.pml.append(gfn)
            if self._began < 0:
                self._began = self.start_ns
            self._complete()
            return
        v.owed.clear()
        self._guest_ns += spent_ns
        if self._guest_ns >= self._points.rates.lasts_ns:
            self.length = self.k

    def _complete(self) -> None:
        """Complete the access at hand; find the next one of its leaf."""
        (gfn, write), vm, v = self.access, self._vm, self._v
        if write:
            vm.view.page[gfn] |= STALE
        if v.recorder.touched is not None:
            v.recorder.touched[gfn] = 1
        if self._began >= 0:
            tried = v.recorder.at(self._began)
            tried.latencies[write].append(vm.now - self._began)
            if len(tried.latencies[write]) > WAITING:
                tried.close()
            self._began = -1
            self.k += 1
            v.accesses += 1
            self._index += 1
        if vm.probe is not None:
            vm.probe.accessed(v.number, [gfn], [write], vm.now)
        self._past = self._at
        self._look(self._leaf, self._at)
