"""Guests that halt when they have nothing to do, beside the log operations of the host."""

from __future__ import annotations

from typing import Any

import pytest

from mmusim.engine import simulate
from mmusim.engine.choice import COMPILED, SIMPY
from mmusim.engine.simulate import simulate as on_engine
from mmusim.engine.state.guest_run import GuestRun
from mmusim.plan.make import Plan, make_plan
from mmusim.tests.support.agreement import agree, differences
from mmusim.tests.support.migrations import FREE
from mmusim.tests.support.settings import AT_ONCE, CONSTANT, only, setting
from mmusim.trace.records import PhaseTrace, Trace
from mmusim.vocabulary.causes import LOST_CAUSES

EXIT, ENTRY, WAKE = 1_100, 700, 5_000
COSTS = CONSTANT | {"c_exit": f"{EXIT}ns", "c_entry": f"{ENTRY}ns", "c_halt_wake": f"{WAKE}ns"}
SLEEPY: dict[str, Any] = {
    "pattern": "open-loop-requests", "arrivals": "regular", "interarrival": "100us",
    "requests": 40, "touches": 1, "writes": "0%",
}  # fmt: skip


def serving(
    idle: str, *, policy: str = "linux-6.13", between: Any = (), vcpus: int = 3,
    host: dict[str, Any] | None = None, costs: dict[str, Any] | None = None, think: str = "0ns",
    **work: Any,
) -> Plan:  # fmt: skip
    """Guests with one request each 100 us, and what the host does beside them."""
    phases = [
        {"do": "write"}, {"do": "enable-logging"},
        {"do": "run", "workload": "it", "think": think, "background": True, "name": "it"},
        *between, {"do": "wait"},
    ]  # fmt: skip
    made = setting(
        phases, vcpus=vcpus, memory="8MiB", costs=costs or COSTS,
        host={"halt_poll": "0ns"} | (host or {}),
        vm={"kernel": "linux-6.13"}, workloads={"it": SLEEPY | {"idle": idle} | work},
        policies=only(policy),
    )  # fmt: skip
    return make_plan(made, policy, 1)


def guest(trace: Trace) -> PhaseTrace:
    (phase,) = [phase for phase in trace.phases if phase.name == "it"]
    return phase


GET = [{"do": "sleep", "time": "1050us"}, {"do": "get-dirty-log", "name": "get"}]
"""It falls into the middle of a wait of every vCPU."""


def get_of(trace: Trace) -> PhaseTrace:
    (phase,) = [phase for phase in trace.phases if phase.name == "get"]
    return phase


def test_nobody_kicks_a_vcpu_that_has_halted_and_it_flushes_when_it_enters() -> None:
    """A flush waits for vCPUs in guest mode only. Writes of the phase before make bits to clear."""
    between = [{"do": "sleep", "time": "50us"}, *GET]
    some: dict[str, Any] = {"writes": "100%", "policy": "linux-6.13", "between": between}
    poll, halt = (simulate(serving(idle, **some)) for idle in ("poll", "halt"))
    counted = [get_of(trace).counters for trace in (poll, halt)]
    assert [c["remote_tlb_flush_requests"] for c in counted] == [1, 1]
    assert [c["remote_tlb_flush"] for c in counted] == [1, 0], "control: the first is polling"
    took = [get_of(trace).end_ns - get_of(trace).start_ns for trace in (poll, halt)]
    plan = serving("halt")
    target = plan.costs["c_flush_target"].mean()
    assert took[0] - took[1] >= 3 * target, "three targets, and the wait for their exits"
    assert guest(halt).ledger["flush_exit"] == 0 < guest(poll).ledger["flush_exit"]
    flush = plan.costs["c_tlb_flush"].mean()
    before = 3 * flush  # of enabling, which all find when they enter
    for trace in (poll, halt):
        assert guest(trace).ledger["tlb_flush"] == before + 3 * flush, "each vCPU, once"


def test_a_request_that_finds_a_guest_halted_waits_for_the_wake_up_and_the_entry() -> None:
    """Lindley's recursion is trivial here: no request meets another."""
    hit = 200  # through 4 KiB
    for host, wake in (({"halt_poll": "0ns"}, WAKE), ({"halt_poll": "200us"}, 0)):
        phase = guest(simulate(serving("halt", host=host)))
        assert phase.requests.count == 3 * 40
        assert phase.requests.minimum == wake + ENTRY + hit
        assert phase.requests.maximum == wake + ENTRY + hit
        assert phase.ledger["halt"] == 3 * 40 * (EXIT + wake + ENTRY)
    polled = guest(simulate(serving("poll")))
    assert polled.requests.maximum == hit, "control"
    assert polled.ledger["halt"] == 0


def test_a_request_that_arrives_before_the_guest_has_left_costs_no_wake_up() -> None:
    """Requests every 800 ns: the exit of 1,100 ns is not over when the next arrives."""
    phase = guest(simulate(serving("halt", vcpus=1, interarrival="800ns")))
    assert phase.ledger["idle"] == 0
    assert phase.ledger["halt"] % (EXIT + ENTRY) == 0
    assert phase.ledger["halt"] > 0


def test_what_a_guest_rests_is_no_stall() -> None:
    """Stalls are the time of all causes of lost time, to the nanosecond."""
    phase = guest(simulate(serving("halt", between=GET, writes="30%")))
    assert phase.stalls.total_ns == sum(phase.ledger[cause] for cause in LOST_CAUSES)
    assert phase.ledger["idle"] > 0.9 * phase.vcpu_ns
    assert sum(phase.ledger.values()) == phase.vcpu_ns
    assert phase.worst_loss[100_000] < 20_000


def test_a_vcpu_that_halts_drains_its_pml_buffer() -> None:
    """HLT exits, and every exit drains. So the log is complete where everybody rests.

    A get kicks vCPUs that poll and does not wait for them: what they hold is reported next time.
    """
    between = [*GET, {"do": "sleep", "time": "20us"}, {"do": "get-dirty-log", "name": "again"}]
    some: dict[str, Any] = {"policy": "linux-6.13+pml", "writes": "100%", "between": between}
    found = {}
    for idle in ("poll", "halt"):
        trace = simulate(serving(idle, **some))
        found[idle] = [p.dirty or 0 for p in trace.phases if p.name in ("get", "again")]
    assert found["halt"][1] == 0, "nobody ran in between"
    assert found["poll"][1] > 0, "control: it came late"
    assert sum(found["poll"]) == sum(found["halt"])


def test_a_ring_sync_wakes_every_vcpu_and_waits_for_it() -> None:
    """K.2 Q20: the sum over vCPUs, and of each a wake-up more than where it polls."""
    costs = FREE | {"c_halt_wake": "300us", "c_user_exit": "100us"}
    for vcpus in (1, 2, 4):
        each = {}  # kick: at the last sync they are stopped, and none is needed
        for idle in ("poll", "halt"):
            trace = migrated(idle, "dirty-ring", vcpus=vcpus, costs=costs, max_rounds=3)
            (done,) = [phase.migration for phase in trace.phases if phase.migration is not None]
            each[idle] = done.spent["kick"] / ((done.syncs - 1) * vcpus)
        assert each["poll"] == pytest.approx(100_000, rel=0.01), "the exit, one after the other"
        assert 280_000 < each["halt"] <= 400_000, "and a wake-up, but where one is under way"


def test_another_task_takes_nothing_from_a_guest_that_rests() -> None:
    """Of 50 us every ms only what is left when a request arrives is lost."""
    host = {"interference": [{"every": "970us", "lasts": "50us"}]}
    poll, halt = (guest(simulate(serving(i, host=host))) for i in ("poll", "halt"))
    assert 0 < halt.ledger["interference"] < 0.7 * poll.ledger["interference"]


@pytest.mark.parametrize("costs", [None, CONSTANT], ids=["random costs", "constant costs"])
@pytest.mark.parametrize("policy", ["linux-6.13", "linux-6.13+pml", "linux-3.7", "dirty-ring"])
def test_halting_changes_nothing_about_bundling(policy: str, costs: Any) -> None:
    """The same trace on both engines, and with one event per access."""
    between = [{"do": "sleep", "time": "150us"}, {"do": "sync-dirty-log"}] * 6
    more: dict[str, Any] = {
        "arrivals": "bursty", "interarrival": "7us", "requests": 300, "touches": 4,
        "writes": "20%", "burst": "100us", "host": {"halt_poll": "3us"},
    }  # fmt: skip
    plan = serving("halt", policy=policy, between=between, costs=costs or {}, **more)
    runs = [on_engine(plan, engine=e, run_limit=n) for e in ("simpy", "compiled") for n in (1, 99)]
    assert guest(runs[0]).ledger["halt"] > 0
    for other in runs[1:]:
        assert list(differences(runs[0], other)) == []


def test_a_run_that_goes_on_over_a_wait_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: the guest halts only where a run happens to end."""
    more: dict[str, Any] = {"interarrival": "7us", "requests": 300, "touches": 4}
    plan = serving("halt", **more)
    single = on_engine(plan, engine="simpy", run_limit=1)
    assert on_engine(plan, engine="simpy").fingerprint == single.fingerprint
    monkeypatch.setattr(GuestRun, "_end_where_it_halts", lambda self: None)
    assert on_engine(plan, engine="simpy").fingerprint != single.fingerprint


def migrated(idle: str, policy: str, *, vcpus: int = 3, agrees: bool = False, **spec: Any) -> Trace:
    """Guests with a request each 20 ms that are migrated."""
    costs, windows = spec.pop("costs", {}), spec.pop("windows", [])
    other = "linux-6.13+dirty-ring" if policy != "linux-6.13+dirty-ring" else "dirty-ring"
    network = {"bandwidth": "500MB/s", "max-bandwidth": "0B/s", "downtime-limit": "0ns"}
    made = setting(
        [{"do": "write"}, {"do": "migrate", "workload": "it"}], vcpus=vcpus, memory="8MiB",
        costs=costs, vm={"kernel": "linux-6.13"}, host={"halt_poll": "10us"},
        policies={"baseline": policy, "compare": [other]},
        driver={"migration": network | spec, "windows": windows},
        workloads={"it": SLEEPY | {"idle": idle, "interarrival": "2ms", "writes": "60%"}},
    )  # fmt: skip
    trace: Trace = agree(made, policy) if agrees else simulate(make_plan(made, policy, 1))
    return trace


def test_windows_and_migrations_of_halting_guests_agree_on_both_engines() -> None:
    windows = [{"name": "w", "from": "start of migrate 1", "after": "310us", "lasts": "4500us"}]
    spec: dict[str, Any] = {
        "auto-converge": True,
        "max_rounds": 6,
        "io_interval": "90us",
        "agrees": True,
    }
    for policy in ("linux-6.13", "linux-6.13+pml+dirty-ring"):
        trace = migrated("halt", policy, windows=windows, **spec)
        assert trace.windows[0].ledger["idle"] > 0
        (phase,) = [phase for phase in trace.phases if phase.migration is not None]
        assert phase.stalls.total_ns == sum(phase.ledger[cause] for cause in LOST_CAUSES)


@pytest.mark.parametrize("tlb", ["unlimited", 1536])
def test_a_guest_halts_between_requests_while_rights_wait_for_their_flush(tlb: str | int) -> None:
    """A run of hits ends where the guest halts, also where it is planned through a finite TLB.

    Requests arrive between the walk that enables logging and its flush. One event per access was
    always right; a run of many once waited for the requests in guest mode.
    """
    work = SLEEPY | {"idle": "halt", "interarrival": "20us", "requests": 20}
    made = setting(
        [{"do": "write", "pages": "50%"}, {"do": "migrate", "workload": "it", "lead": "70us"}],
        vcpus=4, memory="16MiB", costs=AT_ONCE, vm={"kernel": "linux-3.16"},
        host={"halt_poll": "3us", "tlb": tlb}, workloads={"it": work},
        driver={"migration": {"bandwidth": "20GB/s", "max_rounds": 2, "max_time": "10ms"}},
        policies={"baseline": "linux-3.16", "compare": ["write-protect"]},
    )  # fmt: skip
    plan = make_plan(made, "linux-3.16", 1)
    many = agree(made, "linux-3.16", 1)
    for engine in (SIMPY, COMPILED):
        one = on_engine(plan, engine=engine, run_limit=1)
        assert list(differences(many, one)) == [], engine
