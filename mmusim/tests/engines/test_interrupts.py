"""Every process of a vCPU survives every kind of interrupt at every place where it waits."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from types import FunctionType
from typing import Any

import numpy as np
import pytest
import simpy

from mmusim.engine.choice import COMPILED, SIMPY
from mmusim.engine.migration.postcopy import Postcopy
from mmusim.engine.processes import (
    dirty_rings,
    flush,
    guest_mode,
    lock_queue,
    page_fault,
    soft_vcpu,
    user_space,
    vcpu,
)
from mmusim.engine.processes.flush import flush_remote, kick
from mmusim.engine.processes.user_space import run_on_cpu
from mmusim.engine.simulate import Simulation
from mmusim.engine.state.virtual_cpu import REPLAN
from mmusim.engine.state.vm import Steps, Vcpu, Vm
from mmusim.engine.state.vmm import Vmm
from mmusim.plan.make import Plan, make_plan
from mmusim.tests.support.migrations import as_keys
from mmusim.tests.support.settings import busy_setting, kernel_of, only, setting
from mmusim.trace.records import Trace
from mmusim.vocabulary.causes import HITS

WAIT_IN: tuple[Any, ...] = (
    vcpu.vcpu, vcpu.touch, guest_mode.enter_guest, guest_mode.drain_pml, guest_mode.answer_kick,
    guest_mode.pml_full, guest_mode.ring_full, page_fault.page_fault, page_fault.count_reader,
    page_fault.get_memory, page_fault.fast_page_fault, page_fault.map_page,
    page_fault.drop_large_spte, page_fault.split_large_spte, flush.flush_remote,
    lock_queue.in_queue,
    user_space.to_user_space, user_space.hold_bql, user_space.asleep, dirty_rings.reap,
    Postcopy.fault, soft_vcpu.bystander, soft_vcpu.Writer.work, soft_vcpu.Writer.spend,
)  # fmt: skip
"""What a vCPU's thread goes through: each ``yield`` in these is a place where it waits."""

IN_GUEST = {"kick", "look again", "both"}
ELSEWHERE = {"flush", "interference", "work item"}
KINDS = tuple(sorted(IN_GUEST | ELSEWHERE))
"""What can happen to a vCPU: the first three only in the guest, where a wait is in a ``try``."""


def migrating(policy: str, *, think: str = "20us", **spec: Any) -> Plan:
    """A guest that two vCPUs keep busy while it is migrated."""
    work = {"pattern": "uniform", "accesses_per_page": 2.0, "writes": "60%"}
    network = {"bandwidth": "100MB/s", "downtime_limit": "1ms", "io_interval": "5ms"}
    beside = "linux-6.13+dirty-ring" if "dirty-ring" in policy else "linux-6.13+legacy"
    costs = {"t_pass": "20us", "c_pml_drain": "90ns", "c_lock_count": "300ns"}
    made = setting(
        [{"do": "write"}, {"do": "migrate", "workload": "work", "think": think}],
        vcpus=2, memory="8MiB", costs=costs, workloads={"work": work},
        vm={"kernel": kernel_of(policy), "prefaulted": False},
        policies={"baseline": policy, "compare": [beside]},
        driver={"migration": {"max_time": "1s", "max_rounds": 9} | as_keys(network | spec),
                "dirty-ring-size": 256},
    )  # fmt: skip
    return make_plan(made, policy, 1)


def busy(policy: str, **more: Any) -> Plan:
    """A guest that runs while the host reads and re-arms the log beside it."""
    vm = {"kernel": kernel_of(policy)} | more.pop("vm", {})
    return make_plan(busy_setting(vm=vm, policies=only(policy), **more), policy, 1)


SLOW_TO_LEAVE = {
    "c_exit": "5us", "c_in_flight": "5us", "c_flush_init": "10ns", "c_flush_target": "10ns",
}  # fmt: skip
"""Costs with which a flush waits for a vCPU that is on its way out of the guest."""


def shares_pages(policy: str, **costs: str) -> Plan:
    """vCPUs that write to the same memory while large sptes are split or dropped."""
    phases = [
        {"do": "touch", "writes": "100%"}, {"do": "enable-logging"},
        {"do": "touch", "writes": "100%", "overlap": True}, {"do": "sync-dirty-log"},
        {"do": "touch", "writes": "100%"},
    ]  # fmt: skip
    made = setting(
        phases, vcpus=4, memory="16MiB", costs=costs, vm={"kernel": kernel_of(policy)},
        policies=only(policy),
    )  # fmt: skip
    return make_plan(made, policy, 1)


def writes_page_tables(policy: str, think: str = "4us") -> Plan:
    """A guest under shadow paging: vCPU 0 writes to its page tables, the others run beside it."""
    phases = [{"do": "write-page-table", "emulatable": e, "think": think} for e in (True, False)]
    hits = {"t_hit_2M": "2us"}
    return make_plan(
        setting(phases * 4, vcpus=3, memory="6MiB", costs=hits, policies=only(policy)), policy, 1
    )


PLANS: dict[str, Callable[[], Plan]] = {
    "drops": lambda: busy("eager-drop"),
    "drops lazily": lambda: busy("lazy-drop"),
    "drops while others leave the guest": lambda: shares_pages("lazy-drop", **SLOW_TO_LEAVE),
    "finds pages mapped by others": lambda: shares_pages("lazy-drop"),
    "splits in faults": lambda: shares_pages("linux-6.2+split-on-fault"),
    "logs by PML": lambda: shares_pages("linux-6.13+pml"),
    "counts readers": lambda: busy("linux-6.13", host={"costs": {"c_lock_count": "300ns"}}),
    "touches memory first": lambda: busy(
        "linux-6.13", vm={"prefaulted": False},
        host={"machine": {"cores": 4, "laws": ["first-touch"]}},
    ),
    "walks guest tables": lambda: busy("linux-6.13+nested"),
    "writes its page tables at once": lambda: writes_page_tables("eager-drop", "1ns"),
    "writes its page tables": lambda: writes_page_tables("eager-drop"),
    "writes its page tables, kept large": lambda: writes_page_tables("lazy-drop"),
    "is migrated": lambda: migrating("linux-6.13+pml"),
    "is migrated and drops": lambda: migrating("linux-6.13+legacy+lazy-drop"),
    "is migrated and splits": lambda: migrating("linux-6.2+split-on-fault"),
    "is throttled": lambda: migrating(
        "linux-6.13", think="200us", auto_converge=True, bandwidth="20MB/s", max_time="6s",
        max_rounds=90,
    ),
    "is limited": lambda: migrating(
        "linux-6.13+legacy+dirty-ring", think="200us", vcpu_dirty_limit="1MB/s", bandwidth="20MB/s",
        max_time="6s", max_rounds=90,
    ),
    "moves by post-copy": lambda: migrating("linux-6.13", postcopy_after=1),
}  # fmt: skip
"""Guests that between them wait at every place there is."""
QUICK = {
    "drops while others leave the guest", "logs by PML", "writes its page tables at once",
    "writes its page tables",
}  # fmt: skip


def nothing_to_do(vm: Vm, v: Vcpu) -> Generator[simpy.Event, Any, None]:
    yield from ()


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
        vm.vmm = vm.vmm or Vmm(vm.env)
        run_on_cpu(vm, v, nothing_to_do)
        return True
    if not v.in_guest:
        return False
    assert v.process is not None
    if kind in ("look again", "both"):
        v.process.interrupt(REPLAN)
    if kind in ("kick", "both"):
        kick(vm, v)
    return True


Struck = dict[tuple[str, int], Counter[str]]
"""Function and line of a wait -> how often each kind of interrupt struck there."""


def aim(plan: Plan, struck: Struck, often: int = 3) -> Trace:
    """Run a plan; strike vCPUs by each kind wherever they wait and were not struck `often` so."""
    simulation = Simulation(plan, engine=SIMPY)
    vm = simulation._vm
    step = vm.env.step
    quiet_until = dict.fromkeys(vm.vcpus, 0)  # so that it comes beyond the same few places

    def watched() -> None:
        step()
        for v in vm.vcpus:
            if (
                vm.now < quiet_until[v]
                or v.process is None
                or not v.process.is_alive
                or not hasattr(v.process, "_generator")
            ):
                continue
            there = struck.setdefault(place(v.process), Counter())
            for kind in sorted(KINDS, key=there.__getitem__):  # the rarest first
                if there[kind] < often and strike(vm, v, kind):
                    there[kind] += 1
                    quiet_until[v] = vm.now + 700
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


def waits() -> Iterator[tuple[str, int, bool]]:
    """Yield function and line of every ``yield`` that a vCPU can wait at, and if it is in a try."""
    for function in WAIT_IN:
        assert isinstance(function, FunctionType)
        lines, first = inspect.getsourcelines(function)
        tree = ast.parse(textwrap.dedent("".join(lines)))
        tried = {
            node
            for block in ast.walk(tree)
            if isinstance(block, ast.Try)
            for statement in block.body
            for node in ast.walk(statement)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Yield):
                yield function.__qualname__, first + node.lineno - 1, node in tried


def ledgers_close(trace: Trace) -> None:
    """Every nanosecond of a vCPU is charged once, and its stalls are what it lost."""
    for phase in trace.phases:
        if phase.guest:
            assert sum(phase.ledger.values()) == phase.vcpu_ns


@pytest.mark.slow
def test_every_kind_of_interrupt_is_survived_at_every_place() -> None:
    """The runs come to their end, with every nanosecond charged."""
    struck: Struck = {}
    for often in (3, 6, 9, 12):
        for name, plan in PLANS.items():
            if often == 3 or name in QUICK:
                ledgers_close(aim(plan(), struck, often))
        missing = {
            (function, line): lacks
            for function, line, in_guest in waits()
            if (
                lacks := (set(KINDS) if in_guest else ELSEWHERE)
                - set(struck.get((function, line), ()))
            )
        }
        if not missing:
            return
    raise AssertionError(f"never struck: {missing}")


@pytest.mark.parametrize("name", PLANS)
def test_engines_agree_in_a_storm(name: str) -> None:
    traces = [
        storm(PLANS[name](), engine, seed=5, gap_ns=4_000.0, strikes=1_000)
        for engine in (SIMPY, COMPILED)
    ]
    assert traces[0] == traces[1]
    ledgers_close(traces[1])


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
