"""Every process of a vCPU survives every kind of interrupt at every place where it waits."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from types import FunctionType
from typing import Any

import numpy as np
import pytest
import simpy
from conftest import busy_setting, kernel_of, only, setting

from mmusim.engine import dirty_rings, flush, guest_mode, page_fault, soft_vcpu, user_space, vcpu
from mmusim.engine.choice import COMPILED, SIMPY
from mmusim.engine.flush import REPLAN, flush_remote, kick
from mmusim.engine.postcopy import Postcopy
from mmusim.engine.simulate import Simulation
from mmusim.engine.user_space import run_on_cpu
from mmusim.engine.vm import HITS, Steps, Vcpu, Vm
from mmusim.plan.make import Plan, make_plan
from mmusim.trace.records import Trace

WAIT_IN: tuple[Any, ...] = (
    vcpu.vcpu, vcpu.touch, guest_mode.enter_guest, guest_mode.drain_pml, guest_mode.answer_kick,
    guest_mode.pml_full, guest_mode.ring_full, page_fault.page_fault, page_fault.count_reader,
    page_fault.fast_page_fault, page_fault.map_page, page_fault.drop_large_spte,
    page_fault.split_large_spte, flush.flush_remote, Vm.in_queue, user_space.to_user_space,
    user_space.hold_bql, user_space.asleep, dirty_rings.reap, dirty_rings.hold_slots_lock,
    Postcopy.fault, soft_vcpu.bystander, soft_vcpu.Writer.work, soft_vcpu.Writer.spend,
)  # fmt: skip
"""What a vCPU's thread goes through: each ``yield`` in these is a place where it waits."""

IN_GUEST = {"touch", "bystander", "Writer.work"}
WITHOUT_VMM = {"bystander", "Writer.work", "Writer.spend"}
"""Nobody migrates while these run."""

KINDS = ("kick", "look again", "both", "flush", "interference", "work item")


def migrating(policy: str, seed: int = 1, **spec: Any) -> Plan:
    """A guest that two vCPUs of work keep busy while it is migrated."""
    work = {"pattern": "uniform", "accesses_per_page": 2.0, "writes": "60%"}
    network = {"bandwidth": "20MB/s", "downtime_limit": "10ms", "io_interval": "5ms"}
    beside = "linux-6.13+pml+dirty-ring" if "dirty-ring" in policy else "linux-6.13+legacy"
    migrate = {"do": "migrate", "workload": "work", "think": "400us"}
    made = setting(
        [{"do": "write"}, migrate],
        vcpus=2, memory="8MiB", workloads={"work": work}, vm={"kernel": kernel_of(policy)},
        policies={"baseline": policy, "compare": [beside]},
        driver={"migration": network | spec, "dirty_ring": "64KiB"},
    )  # fmt: skip
    return make_plan(made, policy, seed)


def busy(policy: str, **more: Any) -> Plan:
    """A guest that runs while the host reads and re-arms the log beside it."""
    vm = {"kernel": kernel_of(policy)} | more.pop("vm", {})
    return make_plan(busy_setting(vm=vm, policies=only(policy), **more), policy, 1)


def writes_page_tables(policy: str) -> Plan:
    """A guest under shadow paging: vCPU 0 writes to its page tables, the others run beside it."""
    phases = [{"do": "write-page-table", "emulatable": e, "think": "4us"} for e in (True, False)]
    hits = {"t_hit_2M": "2us"}
    return make_plan(
        setting(phases * 4, vcpus=3, memory="6MiB", costs=hits, policies=only(policy)), policy, 1
    )


PLANS = {
    "drops": lambda: busy("eager-drop"),
    "drops lazily": lambda: busy("lazy-drop"),
    "splits in faults": lambda: busy("linux-6.2+split-on-fault"),
    "logs by PML": lambda: busy("linux-6.13+pml"),
    "counts readers": lambda: busy("linux-6.13", host={"costs": {"c_lock_count": "300ns"}}),
    "maps by fault": lambda: busy("linux-6.13", vm={"prefaulted": False, "backing": "4KiB"}),
    "walks guest tables": lambda: busy("linux-6.13+nested"),
    "writes its page tables": lambda: writes_page_tables("eager-drop"),
    "writes its page tables, kept large": lambda: writes_page_tables("lazy-drop"),
    "fills rings": lambda: busy("linux-6.13+dirty-ring", driver={"dirty_ring": "16KiB"}),
    "is throttled": lambda: migrating(
        "linux-6.13", auto_converge=True, bandwidth="2MB/s", max_time="6s", max_rounds=9
    ),
    "is limited": lambda: migrating(
        "linux-6.13+dirty-ring", dirty_limit="1MB/s", bandwidth="2MB/s", max_time="6s", max_rounds=9
    ),
    "moves by post-copy": lambda: migrating("linux-6.13", postcopy_after=1),
}  # fmt: skip
"""Guests that between them wait at every place there is."""


def strike(vm: Vm, v: Vcpu, kind: str) -> bool:
    """Interrupt a vCPU as some process of the model does; tell whether there was a way to."""
    if kind == "flush":
        vm.env.process(flush_remote(vm, v, recorder=False))
        return True
    if kind == "interference":
        v.stolen_ns += 700
        if v.in_guest:
            kick(vm, v)
        return True
    if kind == "work item":
        if vm.vmm is None or vm.vmm.stopping.triggered:
            return False
        run_on_cpu(vm, v, lambda vm, v: iter(()))  # type: ignore[arg-type,return-value]
        return True
    if not v.in_guest:
        return False
    assert v.process is not None
    if kind in ("look again", "both"):
        v.process.interrupt(REPLAN)
    if kind in ("kick", "both"):
        kick(vm, v)
    return True


Struck = dict[tuple[str, int], set[str]]
"""Function and line of a wait -> kinds of interrupts that struck there."""


def aim(plan: Plan, struck: Struck) -> Trace:
    """Run a plan; strike each vCPU once by each kind wherever it waits and was not struck yet."""
    simulation = Simulation(plan, engine=SIMPY)
    vm = simulation._vm
    step = vm.env.step

    def watched() -> None:
        step()
        for v in vm.vcpus:
            if v.process is None or not v.process.is_alive or not hasattr(v.process, "_generator"):
                continue
            there = struck.setdefault(place(v.process), set())
            for kind in KINDS:
                if kind not in there and strike(vm, v, kind):
                    there.add(kind)
                    return

    vm.env.step = watched  # type: ignore[method-assign]
    return simulation.run()


def storm(plan: Plan, engine: str, *, seed: int, gap_ns: float, strikes: int) -> Trace:
    """Run a plan and strike about every `gap_ns`, so many times, whom and how at random."""
    simulation = Simulation(plan, engine=engine)
    vm, rng = simulation._vm, np.random.default_rng(seed)
    gaps = np.maximum(1, rng.exponential(gap_ns, strikes)).astype(int).tolist()

    def strikes_now() -> Steps:
        for gap, whom, kind in zip(
            gaps,
            rng.integers(plan.vcpus, size=strikes).tolist(),
            rng.integers(len(KINDS), size=strikes).tolist(),
            strict=True,
        ):
            yield vm.spend(gap)
            v = vm.vcpus[whom]
            if v.process is not None and v.process.is_alive:
                strike(vm, v, KINDS[kind])

    vm.env.process(strikes_now())
    return simulation.run()


def place(process: Any) -> tuple[str, int]:
    """Return function and line at which a process waits."""
    steps = process._generator
    while getattr(steps, "gi_yieldfrom", None) is not None and hasattr(
        steps.gi_yieldfrom, "gi_frame"
    ):
        steps = steps.gi_yieldfrom
    return steps.gi_code.co_qualname, steps.gi_frame.f_lineno


def waits() -> Iterator[tuple[str, int]]:
    """Yield function and line of every ``yield`` that a vCPU can wait at."""
    for function in WAIT_IN:
        assert isinstance(function, FunctionType)
        lines, first = inspect.getsourcelines(function)
        indent = len(lines[0]) - len(lines[0].lstrip())
        tree = ast.parse("".join(line[indent:] for line in lines))
        for node in ast.walk(tree):
            if isinstance(node, ast.Yield):
                yield function.__qualname__, first + node.lineno - 1


def books_close(trace: Trace) -> None:
    """Every nanosecond of a vCPU is booked once, and its stalls are what it lost."""
    for phase in trace.phases:
        if phase.guest:
            assert sum(phase.ledger.values()) == phase.vcpu_ns


def expected(function: str) -> set[str]:
    """The kinds of interrupts that can reach a vCPU in a function."""
    kinds = {"flush", "interference"}
    if function in IN_GUEST:
        kinds |= {"kick", "look again", "both"}
    return kinds if function in WITHOUT_VMM else kinds | {"work item"}


def test_every_kind_of_interrupt_is_survived_at_every_place() -> None:
    """The runs come to their end, with every nanosecond booked."""
    struck: Struck = {}
    for plan in PLANS.values():
        before = -1
        while before < (before := sum(map(len, struck.values()))):
            books_close(aim(plan(), struck))
    missing = {
        (function, line): lacks
        for function, line in waits()
        if (lacks := expected(function) - struck.get((function, line), set()))
    }
    assert not missing


@pytest.mark.parametrize("name", PLANS)
def test_engines_agree_in_a_storm(name: str) -> None:
    traces = [
        storm(PLANS[name](), engine, seed=5, gap_ns=4_000.0, strikes=1_000)
        for engine in (SIMPY, COMPILED)
    ]
    assert traces[0] == traces[1]
    books_close(traces[1])


def test_a_wait_that_does_not_expect_interrupts_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: the store of the soft MMU's writer, as it was."""
    was = soft_vcpu.Writer.work

    def work(self: Any, cause: int, ns: int, *, whole: bool = False) -> Steps:
        if cause != HITS:
            yield from was(self, cause, ns, whole=whole)
        else:
            yield self.vm.spend_on(self.v, cause, ns)

    monkeypatch.setattr(soft_vcpu.Writer, "work", work)
    with pytest.raises(simpy.Interrupt):
        aim(writes_page_tables("eager-drop"), {})
