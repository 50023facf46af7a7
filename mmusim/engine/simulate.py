"""Run a plan on the SimPy engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from itertools import pairwise

from mmusim.base.errors import DeadlockError
from mmusim.engine import run_progress
from mmusim.engine.choice import AUTO
from mmusim.engine.host.actors import start_actors
from mmusim.engine.host.host import Host
from mmusim.engine.host_thread import host_thread, phase_traces
from mmusim.engine.kinds import kind_of
from mmusim.engine.run_progress import Reached, Shares
from mmusim.engine.state import invariants
from mmusim.engine.state.planned_run import RUN_LIMIT
from mmusim.engine.state.vm import Vm
from mmusim.plan.make import Plan
from mmusim.trace.records import FIRST_ACTOR, HOST, Probe, Trace
from mmusim.vocabulary.causes import CAUSES, CLEAR_WAIT, HALT, MMAP_WAIT, SNAPSHOT_WAIT, STEAL


def simulate(
    plan: Plan,
    *,
    run_limit: int = RUN_LIMIT,
    probe: Probe | None = None,
    engine: str = AUTO,
    tell: Callable[[Reached], None] | None = None,
) -> Trace:
    """Simulate a plan from an empty VM to the end of the driver's last phase.

    Parameters
    ----------
    plan : Plan
        What to run.
    run_limit : int, >= 1
        The largest number of accesses that hit and are one event. 1 is one event per access: slow,
        and the same Trace.
    probe : Probe, optional
        Is told of events while they happen. The Trace is the same with and without a probe.
    engine : {"auto", "simpy", "compiled"}
        The engine. The Trace does not depend on it (:mod:`mmusim.engine.choice`).
    tell : callable, optional
        Is told the progress each second, in another thread; and at once after a second or more in
        which the engine was compiled. The Trace is the same with and without it.

    Raises
    ------
    ConfigError
        If there is no such engine here.
    LostWriteError, InvariantError
        If the policy loses a write or leaves a page writable and unlogged.
    LivelockError
        If a vCPU faults on one access again and again.
    DeadlockError
        If nothing can happen any more; names who waits for what.
    WindowError
        If a window of the driver does not begin, or does not end.
    ClockError
        If the run takes longer than 146 years of simulated time.
    """
    started = time.perf_counter()
    simulation = Simulation(plan, run_limit=run_limit, probe=probe, engine=engine)
    if tell is None:
        return simulation.run()
    if time.perf_counter() - started > run_progress.HEARTBEAT_S:
        tell(simulation.reached())
    with run_progress.watched(lambda: tell(simulation.reached())):
        return simulation.run()


class Simulation:
    """A run whose progress another thread can read."""

    def __init__(
        self,
        plan: Plan,
        *,
        run_limit: int = RUN_LIMIT,
        probe: Probe | None = None,
        engine: str = AUTO,
    ) -> None:
        """Set up the VM; see :func:`simulate`."""
        self._kind = kind_of(engine, probe)
        self._vm = self._kind.make_vm(plan, run_limit, probe)
        self._shares = Shares(self._vm)
        self._host: Host | None = None
        self._over = False

    def reached(self) -> Reached:
        """Return the simulated time and the share of the run that is done."""
        return Reached(self._vm.now, self._shares.share(self._host, self._over))

    def events(self) -> int:
        """Return how many events there were; only the compiled engine counts them."""
        return self._kind.events(self._vm)

    def phase_seconds(self) -> list[float]:
        """Return how long each phase took to simulate, in seconds of wall time; after the run."""
        began = [] if self._host is None else self._host.began_s
        return [end - begin for begin, end in pairwise(began)]

    def run(self) -> Trace:
        """Simulate to the end and return the trace. Call it once.

        Raises
        ------
        DeadlockError, LostWriteError, InvariantError, LivelockError, ClockError
            As :func:`simulate` does.
        WindowError
            If a window of the driver does not begin, or does not end.
        """
        plan, vm = self._vm.plan, self._vm
        host = self._host = Host(vm)
        thread = vm.env.process(host_thread(vm, host, self._kind))
        start_actors(vm)
        try:
            vm.env.run(until=thread)
        except RuntimeError as error:
            if thread.is_alive and not vm.env._queue:
                raise DeadlockError(deadlock(vm, host)) from error
            raise
        except OverflowError:
            vm.check_clock()
            raise
        vm.check_clock()
        self._over = True
        if vm.tracked:
            invariants.check(vm)
        vm.fingerprint.add(*vm.table.stat.tolist())
        vm.fold()
        phases = phase_traces(vm, host)
        for phase in phases:
            vm.fingerprint.add(phase.end_ns, *in_fingerprint(phase.ledger))
            vm.fingerprint.add(phase.reads.total_ns, phase.writes.total_ns)
        return Trace(
            policy=plan.policy.name,
            seed=plan.seed,
            end_ns=vm.now,
            phases=phases,
            measured=plan.driver.measured,
            counters=vm.counters(),
            lock=vm.lock.stats(vm.waits_for_lock()),
            fingerprint=vm.fingerprint.digest(),
            windows=host.windows.traces(),
            window=plan.driver.window,
            operations=tuple(host.windows.operations),
            logs=plan.policy.tracks,
            vcpus=plan.vcpus,
        )


def in_fingerprint(ledger: Mapping[str, int]) -> list[int]:
    """Return the times of a ledger, ns by cause, that belong to the fingerprint.

    Causes that only a described machine, a guest that halts, a snapshot or a shared processor has
    are left out while they are 0, so other runs keep their old fingerprints.
    """
    rare = HALT, MMAP_WAIT, CLEAR_WAIT, SNAPSHOT_WAIT, STEAL
    only = tuple(CAUSES.names[cause] for cause in rare)
    return [ns for cause, ns in ledger.items() if ns or cause not in only]


def deadlock(vm: Vm, host: Host) -> str:
    """Return the text of a deadlock: who waits for what, and who holds mmu_lock."""
    waiting = [f"vCPU {v.number} waits for {v.waits_for}" for v in vm.vcpus if v.waits_for]
    waiting.append(f"the host thread waits for {host.waits_for}")
    holders = " and ".join(_name(vm, who) for who in vm.lock.holders) or "nobody"
    return f"deadlock at {vm.now} ns: {'; '.join(waiting)}; mmu_lock is held by {holders}"


def _name(vm: Vm, who: int) -> str:
    if who <= FIRST_ACTOR:
        return f"the actor {vm.plan.actors[FIRST_ACTOR - who].kind}"
    return "the host thread" if who == HOST else f"vCPU {who}"
