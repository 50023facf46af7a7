"""A vCPU's progress through its program: what becomes of the runs that it plans."""

from __future__ import annotations

import numpy as np

from mmusim.engine.state.phase_recorder import PhaseRecorder
from mmusim.engine.state.planned_run import FEW, PlannedRun
from mmusim.engine.state.run_charges import First, charge_few, charge_many
from mmusim.engine.state.run_slices import run_slices
from mmusim.mmu.fault import set_dirty
from mmusim.mmu.spte import STALE
from mmusim.vocabulary.causes import IDLE, PML_LOG, THINK


class GuestRun(PlannedRun):
    """A vCPU's progress through its program."""

    __slots__ = ()

    def stop(self, now: int) -> None:
        """End the program after the run under way and the requests that have arrived by `now`, in
        ns.
        """
        under_way = self._marked >= 0
        done = self.cut(now - self.start_ns)[0] if under_way else int(self._began >= 0)
        arrived = 0 if self._think_idle is None else self._think_idle.arrived(now)
        self.length = min(self.length, max(self.k + done, arrived))
        if self._v.working_set is not None:
            self._v.working_set.end = self.length

    def completed(self, now: int) -> int:
        """Return how many accesses of the run under way are complete by `now`, in ns; 0 if
        none is.
        """
        if self._marked < 0:
            return 0
        return int(np.searchsorted(self._ends[: self.count], now - self.start_ns, side="right"))

    def settle(self) -> None:
        """Mark the pages that the run under way has touched by now, because another actor reads
        them.
        """
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

    def commit(self, done: int, spent_ns: int) -> None:
        """Commit the first `done` accesses of the run, `spent_ns` after it began.

        It charges their time, counts their latencies, marks their pages, and goes on to the next
        access.
        """
        start_ns, marked, self._marked = self.start_ns, self._marked, -1
        ends = self._ends[:done]
        recorder = self._v.recorder.at(start_ns)
        ledger = recorder.ledger
        self._v.charged_ns += spent_ns
        if self._tlb is not None:
            self._tlb.commit(done)
        if self._vm.probe is not None:
            idles = self._idles if self._think_idle is not None else ()
            parts = run_slices(spent_ns, ends, self._hits, self._walks, idles, self.logs)
            for start, end, causes in parts:
                self._vm.probe.spent(self._v.number, start_ns + start, start_ns + end, causes)
        ended = int(ends[-1]) if done else 0
        think_ns, idle = spent_ns - ended, 0  # between the last access and where the guest is now
        if think_ns:
            idle = min(int(self._idles[done]), think_ns)
            think_ns -= idle
        if not done:
            ledger[IDLE] += idle
            ledger[THINK] += think_ns
            self._think_left -= think_ns
            self._v.owed.clear()
            return
        began = self._began if self._began >= 0 else start_ns + int(self._starts[0])
        first = start_ns + int(self._ends[0]) - began, recorder.at(began)
        self._began = -1
        busy = self._charge(recorder, done, first, marked)
        if self.logs:
            busy += self._commit_log(recorder)
        if self._think_idle is not None:
            idle += self._think_idle.commit(self._v.recorder, self.k, start_ns, ends, self._idles)
        ledger[IDLE] += idle
        ledger[THINK] += spent_ns - busy - idle
        if self._v.owed:
            self._across_edges(recorder, done - 1, spent_ns)
        if self._vm.probe is not None:
            gfns, writes = (a[self.k : self.k + done].tolist() for a in self._arrays[:2])
            self._vm.probe.accessed(self._v.number, gfns, writes, start_ns + ended)
        self.k += done
        self._v.accesses += done
        if self._think_idle is not None:
            self._think_left = self._think_before(self.k) - think_ns

    def _charge(self, recorder: PhaseRecorder, done: int, first: First, marked: int) -> int:
        """Charge and mark the accesses of the run; return the time spent in them."""
        here = slice(self.k, self.k + done)
        hits, walks = self._hits[:done], self._walks[:done]
        if done <= FEW:
            page, gfns = self._vm.view.page, self.gfn[here]
            return charge_few(recorder, page, gfns, self.write[here], hits, walks, first, marked)
        busy = charge_many(recorder, self._arrays.write[here], hits, walks, first)
        self._marked = marked
        self._mark(done)
        self._marked = -1
        return busy

    def _across_edges(self, recorder: PhaseRecorder, last: int, spent_ns: int) -> None:
        """Divide the time of the last access of the run at the edges of windows that lie in it."""
        hit, walk = int(self._hits[last]), int(self._walks[last])
        log = int(self._ends[last] - self._starts[last]) - hit - walk
        self._v.parts_with(recorder, spent_ns, log, walk, hit)

    def _commit_log(self, recorder: PhaseRecorder) -> int:
        """Commit a write that the processor logged, setting D; return the time of the log."""
        log = int(self._ends[0] - self._hits[0] - self._walks[0])
        recorder.ledger[PML_LOG] += log
        gfn = self.gfn[self.k]
        if set_dirty(self._vm.view, gfn) and self._vm.pml and self._vm.tracked:
            self._v.pml.append(gfn)
        return log

    def faulted(self, began_ns: int) -> None:
        """Note that access k faulted; its latency counts from its first attempt, the earliest
        `began_ns`.
        """
        self._began = began_ns if self._began < 0 else self._began
