"""The host thread and a vCPU on one processor: never both at once, and nobody's time is lost."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as sampling
from hypothesis import strategies as st

from mmusim.base.errors import ConfigError
from mmusim.config.resolved import resolved
from mmusim.config.settings import Setting, settings_of
from mmusim.engine.choice import SIMPY
from mmusim.engine.processes import guest_mode
from mmusim.engine.simulate import simulate
from mmusim.engine.state.processor import Processor
from mmusim.engine.state.vm import Vm
from mmusim.plan.make import make_plan
from mmusim.tests.support.agreement import agree
from mmusim.tests.support.any_run import runs
from mmusim.tests.support.places import ROOT
from mmusim.tests.support.settings import CONSTANT, only, setting
from mmusim.trace.records import HOST, PhaseTrace, Probe, Trace

ASLEEP = {"run_delay", "c_srcu", "srcu_wait", "slots_lock_wait"}
"""Of what a log operation spends: the thread waits for its processor, or sleeps."""
OFF = {"steal", "idle", "bql_wait", "throttle", "paused", "snapshot_wait"}
"""Of the ledger of a vCPU: its thread has no processor."""
SLICE = 5_000
Span = tuple[int, int]


def beside(
    policy: str, *, pin: int | None = 0, vcpus: int = 2, costs: dict[str, Any] | None = None,
    **host: Any,
) -> Setting:  # fmt: skip
    """Guests that never rest, and log operations beside them."""
    phases = [
        {"do": "write"},
        {"do": "run", "workload": "all", "background": True, "repeat": True, "name": "guest"},
        {"do": "sleep", "time": "150us"}, {"do": "enable-logging"},
        {"do": "sleep", "time": "90us"}, {"do": "sync-dirty-log", "chunk": "1MiB"},
        {"do": "sleep", "time": "90us"}, {"do": "sync-dirty-log", "chunk": "256KiB"},
        {"do": "disable-logging"}, {"do": "wait"},
    ]  # fmt: skip
    slices = {"c_sched_slice": f"{SLICE}ns"} | (costs or {})
    pinned = {} if pin is None else {"emulatorpin": pin}
    return setting(
        phases, vcpus=vcpus, memory="8MiB", costs=CONSTANT | slices, host=pinned | host,
        vm={"kernel": policy.partition("+")[0]}, policies=only(policy),
        workloads={"all": {"pattern": "uniform", "accesses_per_page": 2.0, "writes": "40%"}},
    )  # fmt: skip


POLICIES = ["linux-3.7", "linux-5.15", "linux-6.1+pml", "linux-6.13", "linux-6.13+pml+dirty-ring"]
"""Both MMUs, all ways of reporting, and a scheduler of each kind."""


def guest(trace: Trace) -> PhaseTrace:
    (phase,) = [phase for phase in trace.phases if phase.name == "guest"]
    return phase


def computed_ns(trace: Trace) -> int:
    """How long the host thread computed in log operations."""
    spent = [p.spent for p in trace.phases if not p.guest]
    return sum(ns for one in spent for what, ns in one.items() if what not in ASLEEP)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_guest_that_never_rests_loses_just_what_the_host_thread_computes(policy: str) -> None:
    trace = agree(beside(policy), policy)
    assert guest(trace).ledger["steal"] == computed_ns(trace) > 4 * SLICE
    alone = agree(beside(policy, pin=None), policy)
    assert guest(alone).ledger["steal"] == 0 < computed_ns(alone), "the control"


def test_only_the_vcpu_beside_it_waits() -> None:
    first, second = (
        guest(agree(beside("linux-6.13", pin=pin), "linux-6.13")).ledger["steal"] for pin in (0, 1)
    )
    assert first > 0 < second


def test_without_the_key_the_slice_does_not_matter() -> None:
    """The trace is that of a thread with a processor of its own, to the bit."""
    one, other = (
        agree(beside("linux-6.13", pin=None, costs={"c_sched_slice": ns}), "linux-6.13")
        for ns in ("300ns", "3ms")
    )
    assert one == other
    assert one.fingerprint != agree(beside("linux-6.13"), "linux-6.13").fingerprint, "the control"


@pytest.mark.parametrize(("policy", "at_once"), [("linux-6.1", True), ("linux-6.13", False)])
def test_since_eevdf_a_thread_that_wakes_up_waits_for_the_end_of_a_slice(
    policy: str, at_once: bool
) -> None:
    """The guest begins, and the operation comes 50 us later: in the third slice of 20 us."""
    phases = [
        {"do": "write"}, {"do": "run", "workload": "all", "background": True, "name": "guest"},
        {"do": "sleep", "time": "50us"}, {"do": "enable-logging", "name": "on"}, {"do": "wait"},
    ]  # fmt: skip
    made = setting(
        phases, memory="8MiB", costs=CONSTANT | {"c_sched_slice": "20us", "c_srcu": "0ns"},
        host={"emulatorpin": 0}, vm={"kernel": policy}, policies=only(policy),
        workloads={"all": {"pattern": "uniform", "accesses_per_page": 2.0, "writes": "40%"}},
    )  # fmt: skip
    (on,) = [phase for phase in agree(made, policy).phases if phase.name == "on"]
    turns, first = divmod(on.spent["run_delay"], 20_000)
    # Every later wait is one slice, and what the guest needs to give way each time.
    assert first < 2_000 * (turns + 1) if at_once else first >= 10_000 - turns * 100


class Turns(Probe):
    """Who had the processor when: the host thread by its turns, a vCPU by what it was charged."""

    def __init__(self, vcpu: int) -> None:
        self.vcpu = vcpu
        self.ran: list[Span] = []

    def spent(self, v: int, start_ns: int, end_ns: int, causes: Any, gfn: int = -1) -> None:
        del gfn
        if v == self.vcpu and not OFF & set(causes) and end_ns > start_ns:
            self.ran.append((start_ns, end_ns))


def turns_of_host(monkeypatch: pytest.MonkeyPatch) -> list[Span]:
    """Turns of the host thread that are over, as runs go on."""
    made: list[Span] = []
    leave = Processor.leave

    def noted(self: Processor, who: int) -> None:
        if who == HOST == self.holder:
            made.append((self.since_ns, int(self._env.now)))
        leave(self, who)

    monkeypatch.setattr(Processor, "leave", noted)
    return made


def overlaps(one: list[Span], other: list[Span]) -> list[tuple[Span, Span]]:
    """Spans of which one begins before the other has ended."""
    ordered = sorted([(*s, 0) for s in one] + [(*s, 1) for s in other])
    return [((a, b), (c, d)) for (a, b, _), (c, d, _) in pairwise(ordered) if c < b and d > a]


def pinned(made: Setting, pin: int, slice_ns: int) -> Setting:
    data = resolved(made)
    data["host"]["emulatorpin"] = pin
    data["host"]["costs"]["c_sched_slice"] = f"{slice_ns}ns"
    (only_one,) = settings_of(data, "test", ROOT)
    return only_one


def both(made: Setting, policy: str, seed: int, turns: list[Span]) -> list[tuple[Span, Span]]:
    """Times at which both threads ran, up to the switch-over of a migration."""
    plan = make_plan(made, policy, seed)
    assert plan.emulatorpin is not None
    probe = Turns(plan.emulatorpin)
    turns.clear()
    simulate(plan, probe=probe, engine=SIMPY)
    end = max((t for _, t in turns), default=0)
    return overlaps(turns, [(a, min(b, end)) for a, b in probe.ran if a < end])


@sampling(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(runs(), st.integers(0, 3), st.sampled_from([300, 5_000, 3_000_000]), st.integers(0, 99))
def test_the_times_of_both_threads_never_exceed_that_of_their_processor(
    run: tuple[str, Setting], pin: int, slice_ns: int, seed: int
) -> None:
    """Whatever the guest, its halts, throttles and migrations: never both at one instant."""
    policy, made = run
    made = pinned(made, pin % made.experiment.vm.vcpus, slice_ns)
    with pytest.MonkeyPatch.context() as patch:
        assert both(made, policy, seed, turns_of_host(patch)) == []


def test_that_is_noticed_where_a_guest_that_halted_takes_its_processor_unasked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The control of the theorem above."""
    phases = [
        {"do": "write"}, {"do": "enable-logging"},
        {"do": "run", "workload": "it", "background": True, "name": "guest"},
        *[{"do": "sleep", "time": "130us"}, {"do": "sync-dirty-log"}] * 9, {"do": "wait"},
    ]  # fmt: skip
    sleepy = {
        "pattern": "open-loop-requests", "arrivals": "regular", "interarrival": "7us",
        "requests": 200, "touches": 2, "writes": "50%", "idle": "halt",
    }  # fmt: skip
    made = setting(
        phases, memory="8MiB", costs=CONSTANT, host={"emulatorpin": 0, "halt_poll": "0ns"},
        vm={"kernel": "linux-6.13"}, policies=only("linux-6.13"), workloads={"it": sleepy},
    )  # fmt: skip
    turns = turns_of_host(monkeypatch)
    assert both(made, "linux-6.13", 1, turns) == []

    def takes(vm: Vm, v: Any) -> Iterator[Any]:
        del vm, v
        yield from ()

    monkeypatch.setattr(guest_mode, "on_processor", takes)
    assert both(made, "linux-6.13", 1, turns) != []


def test_a_vcpu_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"host\.emulatorpin = 2: is no vCPU: there are 2"):
        beside("linux-6.13", pin=2)
