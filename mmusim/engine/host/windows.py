"""The windows of a run that are measured: opened and closed as their events happen.

At an edge of a window every vCPU changes its recorder and goes on. No process waits for that,
nothing is drained and nothing costs time. So windows do not change a run.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final, Protocol

from mmusim.config.events import SYNC, Event, last_chance, most_syncs, titles, within
from mmusim.config.windows import Window
from mmusim.engine.host.measured_span import PF_TAKEN, MeasuredSpan
from mmusim.engine.host.window_errors import ends_too_early, never_begins, never_ends
from mmusim.engine.state.phase_recorder import PhaseRecorder, together
from mmusim.engine.state.vm import Steps, Vm
from mmusim.trace.records import Operation, PhaseTrace

LOG_OPERATIONS: Final = (
    "enable-logging", "get-dirty-log", "clear-dirty-log", SYNC, "harvest-ring", "disable-logging",
    "recreate-slot",
)  # fmt: skip


class Thread(Protocol):
    """The facts that windows need of the host thread."""

    armed: int  # pages, by log operations up to now
    reported: int
    false: int
    recorder: dict[int, PhaseRecorder]  # of each guest phase, by its number
    spent: dict[str, int]  # of this phase


class Windows:
    """The windows of one run, and the events that open and close them."""

    def __init__(self, vm: Vm, host: Thread) -> None:
        """Start before the first event."""
        self._vm, self._host = vm, host
        driver = vm.plan.driver
        phases, syncs = driver.phases, most_syncs(driver.migration)
        known = {title for phase in phases for title in titles(phase)}
        known |= {what for phase in phases for what in within(phase, syncs)}
        self._to_come = [(window, *window.events(known)) for window in driver.windows]
        self._to_begin: list[tuple[Window, Event | None]] = []  # when `after` is over
        self._to_end: list[tuple[Window, Event]] = []
        whats = {e.what for _, *events in self._to_come for e in events if e is not None}
        self._last = {what: last_chance(what, phases, syncs) for what in whats}
        self._ends_ns = 0  # when the last ends of those that end by time, as far as is known
        self._timed = 0  # how many of them have not ended
        self.parted = False  # an edge lay in the guest phase that is under way
        self.made: dict[str, MeasuredSpan] = {}  # by the names of windows that have begun
        self._open: list[MeasuredSpan] = []  # windows and guest phases
        self._counts: Counter[tuple[str, str]] = Counter()
        self.operations: list[Operation] = []
        self._under_way = 0  # operations
        self._rested_ns = -1  # when the last operation ended, if the guest has not run since
        self._ran_ns = -1  # when a vCPU last came to the end of a program
        self.guests = 0  # vCPUs that run programs
        self._guest: set[str] = set()  # titles of what they do

    # --- what happens -------------------------------------------------------------------------

    def operation(
        self, do: str, steps: Steps, *, name: str = "", late_ns: int = 0, also: str = ""
    ) -> Steps:
        """Run an operation of the host, as an event with these titles.

        `do` is its kind, `name` that of its phase, `also` a further title; it began `late_ns` late.
        """
        vm, host, began = self._vm, self._host, self._vm.now
        before, waited = (host.armed, host.reported, host.false), vm.lock.for_host_ns
        titles, spent = {do, name, also} - {""}, dict(host.spent)
        self.happens("start", titles)
        logs = do in LOG_OPERATIONS
        if logs:
            self._under_way += 1
            for span in self._open:
                if span.first_operation is None:
                    span.first_operation = vm.counters()[PF_TAKEN]
        yield from steps
        if logs:
            self._under_way -= 1
            self._rested_ns = vm.now
            armed, reported, false = host.armed, host.reported, host.false
            counts = armed - before[0], reported - before[1], false - before[2]
            waited = vm.lock.for_host_ns - waited
            own = {line: ns - spent.get(line, 0) for line, ns in host.spent.items()}
            own = {line: ns for line, ns in own.items() if ns}
            self.operations.append(
                Operation(do, name, began, vm.now, late_ns, *counts, waited, own)
            )
        self.happens("end", titles)

    def happens(self, edge: str, what: set[str]) -> None:
        """Handle an event: close the windows that it ends, then open those that it begins.

        `edge` is ``start`` or ``end``, `what` has the titles of what starts or ends now.

        Raises
        ------
        WindowError
            If a window would end while the time before its beginning still runs.
        """
        if not self._to_come and not self._to_begin and not self._to_end:
            return
        for title in what:
            self._counts[edge, title] += 1
        now = {Event(edge, title, self._counts[edge, title]) for title in what}
        for waiting, end in self._to_begin:
            if end in now:
                raise ends_too_early(waiting, end)
        for one in [one for one in self._to_end if one[1] in now]:
            self._to_end.remove(one)
            self._close(one[0].name)
        for window, begins, ends in [w for w in self._to_come if w[1] in now]:
            self._to_come.remove((window, begins, ends))
            if window.lasts is not None:
                until = self._vm.now + round(window.after) + round(window.lasts)
                self._ends_ns = max(self._ends_ns, until)
                self._timed += 1
            self._to_begin.append((window, ends))
            if window.after:
                self._later(round(window.after), lambda w=window, e=ends: self._begin(w, e))
            else:
                self._begin(window, ends)

    def _later(self, ns: int, do: Any) -> None:
        event: Any = self._vm.spend(ns)
        event.callbacks.append(lambda _: do())

    def _begin(self, window: Window, ends: Event | None) -> None:
        self._to_begin.remove((window, ends))
        self._edge()
        self.made[window.name] = span = self._new()
        recorder = self._recorder()
        if recorder is not None:
            span.parts.append(recorder)
        self._open.append(span)
        if ends is not None:
            self._to_end.append((window, ends))
        else:
            assert window.lasts is not None
            self._later(round(window.lasts), lambda: self._time_is_up(window.name))

    def _time_is_up(self, name: str) -> None:
        self._timed -= 1
        self._close(name)

    def _close(self, name: str) -> None:
        window = self.made[name]
        self.end(window)
        self._edge()
        while window.parts and window.parts[-1].since_ns == self._vm.now:
            window.parts.pop()  # of another window that begins now

    def _edge(self) -> None:
        """Let every vCPU that runs a program write into another recorder from now on."""
        before = self._recorder()
        now = self._vm.now
        if before is None or before.since_ns == now:
            return
        recorder = before.next(now)
        self._host.recorder[max(self._host.recorder)] = recorder
        self.parted = True
        for v in self._vm.vcpus:
            if v.process is not None and v.process.is_alive:
                v.change_recorder(recorder, now)
        for span in self._open:
            if before in span.parts:
                span.parts.append(recorder)

    def _recorder(self) -> PhaseRecorder | None:
        """Return the present recorder; None if no vCPU runs a program."""
        if not self.guests:
            return None
        return self._host.recorder[max(self._host.recorder)]

    # --- spans ----------------------------------------------------------------------------

    def _new(self) -> MeasuredSpan:
        vm = self._vm
        settled = not self._under_way and vm.now > self._rested_ns
        return MeasuredSpan(vm.now, vm.counters(), vm.lock.busy_ns(), settled and self._ran())

    def _ran(self) -> bool:
        """Tell whether the guest has run since the last operation ended."""
        return self.guests > 0 or self._rested_ns < self._ran_ns

    def end(self, span: MeasuredSpan) -> None:
        """Note that a guest phase or a window ends now."""
        vm = self._vm
        span.end_ns, span.after = vm.now, vm.counters()
        span.lock_after_ns = vm.lock.busy_ns()
        if span in self._open:
            self._open.remove(span)

    def guest_begins(self, recorder: PhaseRecorder, what: set[str]) -> MeasuredSpan:
        """Begin a guest phase with these titles; open windows include it."""
        for span in self._open:
            span.parts.append(recorder)
        self.parted, self._guest = False, what
        phase = self._new()
        self._open.append(phase)
        return phase

    def runs(self, process: Any, phase: MeasuredSpan) -> None:
        """Note that a vCPU's process runs in a phase; the phase ends with the last process."""
        self.guests += 1

        def ended(event: Any) -> None:
            del event
            self.guests -= 1
            self._ran_ns = self._vm.now
            self.end(phase)
            if not self.guests:
                self.happens("end", self._guest)

        process.callbacks.append(ended)

    # --- the end ------------------------------------------------------------------------------

    def pending(self) -> bool:
        """Tell whether a window has not begun or not ended yet."""
        return bool(self._to_come or self._to_begin or self._to_end or self._timed)

    def through(self) -> Steps:
        """Wait until the windows that have begun and that end by time have ended."""
        while self._timed:  # what ends at the same instant may come behind
            yield self._vm.spend(max(0, self._ends_ns - self._vm.now))

    def check(self) -> None:
        """Check that every window has begun and ended.

        Raises
        ------
        WindowError
            If a window has not.
        """
        for window, begins, _ in self._to_come:
            raise never_begins(window, begins)
        for window, ends in (*self._to_begin, *self._to_end):
            assert ends is not None, "what ends by time has been waited for"
            raise never_ends(window, ends)

    def over(self, number: int) -> None:
        """Check, at the end of a phase, that what windows wait for can still happen.

        Raises
        ------
        WindowError
            If a window cannot begin or end in this run any more.
        """
        if number not in self._last.values():
            return
        for window, begins, _ in self._to_come:
            if self._is_past(begins, number):
                raise never_begins(window, begins)
        for window, ends in self._to_end:
            if self._is_past(ends, number):
                raise never_ends(window, ends)

    def _is_past(self, event: Event, number: int) -> bool:
        """Tell whether an event cannot happen behind a phase; a guest under way may still end."""
        running = self.guests and event.what in self._guest
        return self._last[event.what] <= number and not running

    def traces(self) -> tuple[PhaseTrace, ...]:
        """Return the records of the windows, in the order of the driver."""
        return tuple(
            self._trace(window.name, self.made[window.name])
            for window in self._vm.plan.driver.windows
        )

    def _trace(self, name: str, span: MeasuredSpan) -> PhaseTrace:
        facts = together(span.parts).facts() if span.parts else PhaseRecorder(0).facts()
        ended = [o for o in self.operations if span.start_ns < o.end_ns <= span.end_ns]
        return PhaseTrace(
            do="window",
            name=name,
            start_ns=span.start_ns,
            end_ns=span.end_ns,
            guest=True,
            counters={n: span.after[n] - before for n, before in span.counters.items()},
            dirty=sum(o.dirty for o in ended),
            false_dirty=sum(o.false_dirty for o in ended),
            **facts | {"guest_end_ns": min(facts["guest_end_ns"], span.end_ns)},
            **span.facts(),
        )
