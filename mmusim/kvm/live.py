"""Run a plan on the machine: the same phases and accesses that the engine simulates.

Each vCPU has its own thread; the ioctls let the others run. Where there are enough processors the
threads are pinned, the host thread apart from that of a single vCPU. The drawn parts of a plan
(costs, interference) have no effect here. The decided parts (phases, orders, capabilities) do.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Final

from mmusim.base.errors import ConfigError
from mmusim.base.units import PAGE, PAGES_PER_REGION, show_bytes
from mmusim.config.driver import Clear, Pass, Phase, Recreate, Run, Sleep, Sync, Touch
from mmusim.config.phase import GuestPhase
from mmusim.costs.distributions import Constant
from mmusim.kvm.live_trace import LivePhase, LiveTrace, joined
from mmusim.kvm.stats_fd import Statistics
from mmusim.kvm.vcpu import Timed, Vcpu
from mmusim.kvm.vm import Vm, count_bits
from mmusim.mmu.dirty_ring import ENTRY_BYTES
from mmusim.plan.make import Plan
from mmusim.policies import Reporting

COUNTED: Final = ("pf_taken", "pf_fixed", "pf_fast", "pf_spurious", "pages_4k", "pages_2m")
MANUAL: Final = {Reporting.MANUAL_CLEAR: 1, Reporting.ALL_SET: 3}


class _Background:
    """vCPUs in the background."""

    def __init__(self, record: LivePhase) -> None:
        self.record = record
        self.stop = threading.Event()
        self.threads: list[threading.Thread] = []
        self.laps: list[list[Timed]] = []
        self.failed: list[BaseException] = []

    def join(self) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join()
        if self.failed:
            raise self.failed[0]
        self.record.guest = tuple(joined(laps) for laps in self.laps)


def run_live(plan: Plan, *, pin: bool = True) -> LiveTrace:
    """Make a VM for the plan, run its phases and return the measurements."""
    check(plan)
    programs = {
        (phase, cpu): plan.program(phase, cpu)
        for phase, spec in enumerate(plan.driver.phases)
        if isinstance(spec, GuestPhase)
        for cpu in range(plan.vcpus)
    }
    most = max(len(program.accesses.gfn) for program in programs.values())
    choices = plan.choices
    ring = choices.reporting is Reporting.DIRTY_RING
    with (
        Vm(
            plan.pages * PAGE,
            most,
            vcpus=plan.vcpus,
            huge=plan.backing > 1,
            manual=MANUAL.get(choices.reporting, 0),
            ring_bytes=plan.ring_entries * ENTRY_BYTES if ring else 0,
        ) as vm,
        _vcpus(vm) as vcpus,
        _pinned(pin and plan.vcpus == 1) as processors,
    ):
        ghz = vcpus[0].tsc_khz() / 1e6
        for v in vcpus:  # everything but the slot is mapped before the first phase
            v.touch_own()
            v.clock(64)
        session = _Session(plan, vm, vcpus, ghz, processors if pin else [])
        records = []
        for number, phase in enumerate(plan.driver.phases):
            record = LivePhase(phase.do, phase.name)
            records.append(record)
            record.began = time.perf_counter_ns()
            session.do(number, phase, record)
            record.ns = record.ns or time.perf_counter_ns() - record.began
            record.counters = session.changes()
        session.join()
        session.close()
        return LiveTrace(tuple(records), ghz)


def check(plan: Plan) -> None:
    """Refuse a plan that cannot run on a real machine.

    Raises
    ------
    ConfigError
        If its memory is no whole number of 2 MiB regions, or a phase exists in the simulator only.
    """
    if plan.pages % PAGES_PER_REGION:
        raise ConfigError.of(
            "live run", "vm.memory", show_bytes(plan.pages * PAGE),
            "is not a whole number of 2 MiB regions, in which the live guest maps its memory",
            "round it",
        )  # fmt: skip
    for number, phase in enumerate(plan.driver.phases, 1):
        key = f"driver.phases[{number}]"
        if isinstance(phase, GuestPhase):
            if not isinstance(phase, (Pass, Touch, Run)):
                raise ConfigError.of(
                    "live run", f"{key}.do", phase.do, "exists in the simulator only",
                    "use read, write, touch or run",
                )  # fmt: skip
            program = plan.program(number - 1, 0)
            if program.points is not None:
                raise ConfigError.of(
                    "live run", f"{key}.workload", None, "has rates and no accesses",
                    "use a workload that lists accesses",
                )  # fmt: skip
            think = program.think
            if think is not None and not isinstance(think.distribution, Constant):
                raise ConfigError.of(
                    "live run", f"{key}.think", None, "is random, which the guest cannot be",
                    'give a constant, e.g. "1us"',
                )  # fmt: skip
            if program.accesses.requests is not None or program.accesses.think is not None:
                raise ConfigError.of(
                    "live run", f"{key}.workload", None,
                    "has a rhythm of its own, by requests or recorded",
                    "use a workload whose accesses follow one another",
                )  # fmt: skip


class _Session:
    """The host thread between phases."""

    def __init__(
        self, plan: Plan, vm: Vm, vcpus: list[Vcpu], ghz: float, processors: list[int]
    ) -> None:  # fmt: skip
        self.plan, self.vm, self.vcpus, self.ghz = plan, vm, vcpus, ghz
        self.processors = processors  # where vCPUs are pinned to; empty: nowhere
        self.bitmap = vm.bitmap()
        self.running: list[_Background] = []
        self._reaping = threading.Lock()
        self._statistics = [vm.statistics, *(Statistics(v.fd) for v in vcpus)]
        self._before = self._counters()

    def _counters(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for file in self._statistics:
            total.update({k: n for k, n in file.read().items() if k in COUNTED})
        return total

    def changes(self) -> dict[str, int]:
        """Return the changes of the kernel's counters since the last call."""
        before, self._before = self._before, self._counters()
        return {key: self._before[key] - before[key] for key in COUNTED}

    def close(self) -> None:
        """Close the files of statistics that this session opened."""
        for file in self._statistics[1:]:
            file.close()

    def do(self, number: int, phase: Phase, record: LivePhase) -> None:
        """Run one phase."""
        if isinstance(phase, (Pass, Touch, Run)):
            self.start(number, phase, record)
            if not phase.background:
                self.join()
        elif isinstance(phase, Sleep):
            time.sleep(phase.time / 1e9)
        elif isinstance(phase, Recreate):
            record.ns = self.vm.recreate(logging=phase.logging)
            for v in self.vcpus:  # whose own pages lie in other slots and are unmapped too
                v.touch_own()
                v.clock(1)
        elif phase.do == "wait":
            self.join()
        elif phase.do in ("enable-logging", "disable-logging"):
            record.ns = self.vm.log(phase.do == "enable-logging")
        elif phase.do == "harvest-ring":
            record.ns, record.dirty = self.reap()
        elif phase.do == "get-dirty-log":
            record.ns = self.get(record)
        elif isinstance(phase, Clear):
            record.ns = self.clear(phase.chunk, record)
        elif isinstance(phase, Sync):
            reporting = self.plan.choices.reporting
            if reporting is Reporting.DIRTY_RING:
                record.ns, record.dirty = self.reap()
            else:
                record.ns = self.get(record)
                if reporting in MANUAL:
                    record.ns += self.clear(phase.chunk, record)

    def get(self, record: LivePhase) -> int:
        ns = self.vm.get_dirty(self.bitmap)
        record.dirty = count_bits(self.bitmap)
        return ns

    def clear(self, chunk: int | None, record: LivePhase) -> int:
        pages = self.vm.pages
        step = chunk // PAGE if chunk else pages
        record.clears = tuple(
            self.vm.clear_dirty(self.bitmap, first, min(step, pages - first))
            for first in range(0, pages, step)
        )
        return sum(record.clears)

    def reap(self) -> tuple[int, int]:
        """Harvest and reset all rings, as QEMU does on the thread that finds one full."""
        with self._reaping:
            began = time.perf_counter_ns()
            count = sum(v.harvest() for v in self.vcpus)
            if count:
                self.vm.reset_rings()
            return time.perf_counter_ns() - began, count

    def start(self, number: int, phase: Pass | Touch | Run, record: LivePhase) -> None:
        """Start the programs of all vCPUs at once, each in its own thread."""
        group = _Background(record)
        ready = threading.Barrier(len(self.vcpus))
        for v in self.vcpus:
            laps: list[Timed] = []
            group.laps.append(laps)
            work = (group, ready, laps, v, number, phase.repeat)
            group.threads.append(threading.Thread(target=self.work, args=work, daemon=True))
        self.running.append(group)
        for thread in group.threads:
            thread.start()

    def work(
        self, group: _Background, ready: threading.Barrier, laps: list[Timed], v: Vcpu,
        number: int, repeat: bool,
    ) -> None:  # fmt: skip
        """Run one vCPU's program, lap after lap if it repeats."""
        try:
            if (
                self.processors
            ):  # from the last processor down, so that a single vCPU does not share the host's
                here = self.processors[-1 - v.number % len(self.processors)]
                os.sched_setaffinity(0, {here})
            lap = 0
            while True:
                program = self.plan.program(number, v.number, lap)
                think = program.think
                cycles = 0 if think is None else round(think.distribution.mean() * self.ghz)
                if not lap:
                    ready.wait()
                gfn, write = program.accesses[:2]
                laps.append(v.access(gfn, write, think=cycles, when_full=self.reap))
                lap += 1
                if not repeat or group.stop.is_set():
                    return
        except BaseException as error:
            group.failed.append(error)
            ready.abort()

    def join(self) -> None:
        """Wait for all vCPUs."""
        while self.running:
            self.running.pop().join()


@contextlib.contextmanager
def _vcpus(vm: Vm) -> Iterator[list[Vcpu]]:
    made: list[Vcpu] = []
    try:
        for number in range(vm.vcpus):
            made.append(Vcpu(vm, number))
        yield made
    finally:
        for v in made:
            v.close()


@contextlib.contextmanager
def _pinned(wanted: bool) -> Iterator[list[int]]:
    """Keep the host thread on the first processor, if there is another for the guest.

    Yield the processors that this process may use.
    """
    allowed = os.sched_getaffinity(0)
    if wanted and len(allowed) > 1:
        os.sched_setaffinity(0, {min(allowed)})
    try:
        yield sorted(allowed)
    finally:
        os.sched_setaffinity(0, allowed)
