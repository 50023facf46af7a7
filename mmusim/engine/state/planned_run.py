"""Runs of hits: consecutive accesses that neither fault nor wait are one event.

A run is planned up to the next access that would fault and committed when its time has passed.
A kick of the vCPU cuts the run: the access in flight completes, and later accesses do not happen.
Without a kick no other actor can change a planned run: the TLB keeps a revoked right until the
flush, and a granted right only concerns accesses that faulted, at which every run ends. The
exception is a large spte that a fault splits without a flush. Then the runs of the other vCPUs are
cut where they are, which costs nothing, and planned again.

A write that sets D of an spte armed for PML is a run by itself, because it leaves a log entry.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import numpy as np

from mmusim.engine.state.hit_times import hit_ns, hits_ns, walks_ns
from mmusim.engine.state.machine_load import NEVER_NS
from mmusim.engine.state.run_slices import cut_at
from mmusim.engine.state.think_and_idle import ThinkAndIdle
from mmusim.engine.state.tlb import WorkingSet
from mmusim.engine.state.tlb_contents import AHEAD, TlbContents, key_of
from mmusim.engine.state.vm import Vcpu, Vm
from mmusim.mmu.page_table import hit_level, hit_levels, leaf
from mmusim.plan.make import Program

FEW: Final = 8  # up to here one by one: most runs between faults are short
RUN_LIMIT: Final = 1 << 16


class PlannedRun:
    """A vCPU's place in its program, and the run of hits that it is about to make."""

    __slots__ = (
        "_ahead", "_arrays", "_before", "_began", "_ends", "_hits", "_idles", "_left", "_load",
        "_marked", "_starts", "_think_idle", "_think_left", "_tlb", "_v", "_vm", "_walks",
        "count", "gfn", "k", "length", "logs", "program", "start_ns", "total_ns", "write",
    )  # fmt: skip

    def __init__(self, vm: Vm, v: Vcpu, program: Program, began_ns: int) -> None:
        """Start before the first access; requests arrive from `began_ns` on."""
        self._vm, self._v, self.program = vm, v, program
        self._arrays = program.accesses
        v.working_set, v.first = WorkingSet(self._arrays.gfn), program.first
        self._load, self._left = vm.load, NEVER_NS  # how long the prices of now hold
        v.take(program)
        self.gfn: Any = np.ascontiguousarray(self._arrays.gfn).data
        self.write: Any = np.ascontiguousarray(self._arrays.write).data
        self.length = len(self._arrays.gfn)
        self.k, self._began = 0, -1  # next access, and when it was first tried, if it has been
        self._before = () if v.past is None else v.past.gfn[: v.past.k]  # pages of the last program
        v.past = self
        self._tlb: TlbContents | None = None  # the planned run depends on what it holds
        tell = None if vm.probe is None else partial(vm.probe.requested, v.number)
        self._think_idle = ThinkAndIdle.of(program, began_ns, vm.load, tell)  # None: in a row
        self._think_left, self._ahead = self._think_before(0), FEW
        self._starts: Any = []  # of the planned accesses, in ns from the start of the run:
        self._ends: Any = []  # a list in a short run, an array in a long one
        self._hits: Any = []
        self._walks: Any = []
        self._idles: Any = []  # waits for a request before each of them, and before the next
        self.start_ns, self._marked = 0, -1  # of the run under way; -1: none is
        self.count = self.total_ns = 0  # accesses in the planned run, and its length
        self.logs = False  # the run is one write that sets D

    @property
    def index(self) -> int:
        """Index of the next access among all accesses of the vCPU: the key of its costs."""
        return self.program.first + self.k

    @property
    def access(self) -> tuple[int, bool]:
        """Return gfn and kind of the next access."""
        return self.gfn[self.k], self.write[self.k]

    @property
    def over_ns(self) -> int:
        """Start of the next lap: now, or at the last arrival if the program has requests."""
        return (
            self._vm.now
            if self._think_idle is None
            else self._think_idle.last_arrival(self._vm.now)
        )

    @property
    def halts_until(self) -> int:
        """When the guest, which halts now, goes on; 0: it does not halt."""
        return 0 if self._think_idle is None else self._think_idle.halts_until(self.k, self._vm.now)

    def _think_before(self, k: int) -> int:
        return 0 if self._think_idle is None or k >= self.length else self._think_idle.think(k)

    def plan(self) -> bool:
        """Plan a run from access k on; return False if access k exits at once."""
        k = self.k
        self.logs = False
        if self._load is not None:
            self._left = self._load.left(self._vm.now)
        self._tlb = self._v.tlb if self._vm.taken_back else None
        if self._tlb is not None:
            return self._plan_through(self._tlb)
        idle = 0 if self._think_idle is None else self._think_idle.idle(k, self._vm.now)
        hit = hit_level(self._vm.view, self.gfn[k], self.write[k], bool(self._vm.taken_back))
        if not hit or idle + self._think_left >= self._left:
            self._idles = [idle]
            self.count, self.total_ns, self._ahead = 0, idle + self._think_left, FEW
            return self.total_ns > 0
        room = min(self._vm.run_limit, self.length - self.k)
        few = min(FEW, room)
        self._plan_few(few)
        ahead, self._ahead = self._ahead, FEW
        if self.count == few and room > FEW:
            self._ahead = min(ahead * 4, RUN_LIMIT)
            self._plan_many(min(self._ahead, room))
        self._end_where_it_halts()
        return True

    def _end_where_it_halts(self) -> None:
        """End the planned run where the guest leaves guest mode to wait for a request."""
        if self._think_idle is None or not self._think_idle.halts:
            return
        waits = np.flatnonzero(self._idles[1 : self.count])
        if len(waits):
            self.count, self._ahead = 1 + int(waits[0]), FEW
            self.total_ns = int(self._ends[self.count - 1])

    def _plan_through(self, tlb: TlbContents) -> bool:
        """Plan a run while revoked rights wait for their flush, with a TLB of limited size."""
        made = self.gfn[: self.k], self._before
        tlb.begin_plan(self._vm.view, made, self._v.accesses)
        self._ahead = FEW
        self._plan_few(min(AHEAD, self._vm.run_limit, self.length - self.k))
        if not self.count:
            self._idles = self._idles or [0]
            self.total_ns = self._idles[0] + self._think_left
        self._end_where_it_halts()
        return self.total_ns > 0

    def plan_logged(self) -> None:
        """Plan access k alone: a write to an armed page, which the processor logs on the way."""
        v, index = self._v, self.index
        if self._tlb is not None:
            level, _ = leaf(self._vm.view, self.gfn[self.k])
            self._tlb.use(key_of(self.gfn[self.k], level), self._vm.epoch)
        hit, walk = hit_ns(v, index, True), v.t_walk.at(index)
        log = v.c_pml_log.at(index) if self._vm.pml and self._vm.tracked else 0
        self.logs, self.count, self.total_ns = True, 1, hit + walk + log
        self._starts, self._ends, self._hits, self._walks = [0], [self.total_ns], [hit], [walk]
        self._idles = [0, 0]

    def shorten(self, offset: int) -> None:
        """End the plan after the access that is in flight `offset` ns after the run began."""
        self.count, self.total_ns = self.cut(offset)

    def _plan_few(self, limit: int) -> None:
        v, vm, view, first, tlb = self._v, self._vm, self._vm.view, self.program.first, self._tlb
        gfn, write, unflushed = self.gfn, self.write, bool(vm.taken_back)
        think_idle, began, now, before_ns = self._think_idle, vm.now, 0, 0
        lists: list[list[int]] = [[], [], [], [], []]
        starts, ends, hits, walks, idles = lists
        for i in range(self.k, self.k + limit):
            if think_idle is not None:
                idles.append(think_idle.idle(i, began + now))
            if tlb is None:
                level = hit_level(view, gfn[i], write[i], unflushed)
            else:
                level = tlb.level(view, vm.revoked, vm.epoch, gfn[i], write[i])
            if not level:
                break
            if think_idle is not None:
                before_ns = idles[-1] + (think_idle.think(i) if ends else self._think_left)
            if now + before_ns >= self._left:
                break  # it has another price
            now += before_ns
            hit = hit_ns(v, first + i, write[i], i - self.k)
            walk = v.t_walk.at(first + i) if level == 1 else 0
            starts.append(now)
            now += hit + walk
            ends.append(now)
            hits.append(hit)
            walks.append(walk)
        self._starts, self._ends, self._hits, self._walks = starts, ends, hits, walks
        self._idles = idles
        self.count = len(ends)
        self.total_ns = now

    def _plan_many(self, limit: int) -> None:
        v, k, first = self._v, self.k, self.index
        gfn, write = self._arrays.gfn[k : k + limit], self._arrays.write[k : k + limit]
        level = hit_levels(self._vm.table, gfn, write, bool(self._vm.taken_back))
        count = int(np.argmin(level)) if not level.all() else limit
        hits, walks = hits_ns(v, first, write[:count]), walks_ns(v, first, level[:count])
        spent = hits + walks
        if self._think_idle is None:
            ends = np.cumsum(spent)
        else:
            ends, self._idles = self._think_idle.ends(k, spent, self._think_left, self._vm.now)
        starts = ends - spent
        if starts[-1] >= self._left:  # the rest has another price
            count = int(np.searchsorted(starts, self._left))
            self._ahead = count // 2
        self._starts, self._ends, self._hits, self._walks = starts, ends, hits, walks
        self.count, self.total_ns = count, int(ends[count - 1])

    def cut(self, offset: int) -> tuple[int, int]:
        """Return how many accesses of the run complete, and when the vCPU can leave the guest."""
        return cut_at(offset, self._starts, self._ends[: self.count])

    def begin(self) -> int:
        """Begin the planned run; return its start."""
        self._marked = 0
        self.start_ns = self._vm.now
        return self.start_ns
