"""Random programs of host and guest: the theorems hold on what nobody thought of."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmusim.engine import simulate
from mmusim.plan.make import make_plan
from mmusim.policies import Reporting, choose
from mmusim.tests.support.settings import CONSTANT, SOUND, kernel_of, only, setting

MANUAL = (Reporting.MANUAL_CLEAR, Reporting.ALL_SET)
host_steps = st.sampled_from(
    ["sync-dirty-log", "sync-dirty-log", "get-dirty-log", "clear-dirty-log", "toggle",
     "recreate-slot", "sleep", "guest"]
)  # fmt: skip
chunks = st.sampled_from(["256KiB", "1MiB", "1GiB"])


@st.composite
def programs(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A policy, and a driver whose host steps fall into a guest that runs beside them."""
    policy = draw(st.sampled_from(SOUND))
    kernel = kernel_of(policy)
    manual = choose(policy, kernel=kernel).choices.reporting in MANUAL
    logging = got = False
    phases: list[dict[str, Any]] = [{"do": "run", "workload": "mixed", "background": True}]
    for step in draw(st.lists(host_steps, min_size=2, max_size=10)):
        if step == "toggle":
            phases.append({"do": "disable-logging" if logging else "enable-logging"})
            logging = not logging
        elif step == "recreate-slot":
            logging = draw(st.booleans())
            phases += [{"do": "wait"}, {"do": step, "logging": logging}]
        elif step == "sync-dirty-log" and logging:
            phases.append({"do": step, "chunk": draw(chunks)})
            got = True
        elif step == "get-dirty-log" and logging and manual:
            phases.append({"do": step})
            got = True
        elif step == "clear-dirty-log" and logging and got and manual:
            phases.append({"do": step, "chunk": draw(chunks)})
        elif step == "guest":
            share = draw(st.sampled_from(["3%", "40%"]))
            do = draw(st.sampled_from(["read", "write"]))
            phases.append({"do": do, "pages": share, "order": "random", "background": True})
        phases.append({"do": "sleep", "time": f"{draw(st.integers(1, 40_000))}ns"})
    workload = {
        "pattern": "reads-beside-writes",
        "accesses_per_page": draw(st.sampled_from([0.3, 2.0])),
        "writes": draw(st.sampled_from(["0%", "2%", "50%", "100%"])),
    }
    return policy, {
        "phases": phases,
        "vcpus": draw(st.sampled_from([1, 2, 4])),
        "memory": "8MiB",
        "costs": draw(st.sampled_from([None, CONSTANT])),
        "policies": only(policy),
        "vm": {
            "kernel": kernel,
            "backing": draw(st.sampled_from(["1GiB", "2MiB", "2MiB", "4KiB"])),
            "cached_child_tables": draw(st.booleans()),
            "nx_huge_pages": draw(st.booleans()),
            "executable": draw(st.sampled_from(["0%", "25%"])),
        },
        "driver": {
            "dirty-ring-size": draw(st.sampled_from([1024, 4096])),
            "all_set_keeps_mmu_writable": draw(st.booleans()),
        },
        "workloads": {"mixed": workload},
    }


@given(programs(), st.integers(0, 99))
@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_program_keeps_the_ledger_loses_no_write_and_may_be_bundled(
    program: tuple[str, dict[str, Any]], seed: int
) -> None:
    policy, options = program
    made = setting(**options)
    bundled = simulate(make_plan(made, policy, seed))  # checks lost writes, legality, progress
    single = simulate(make_plan(made, policy, seed), run_limit=1)
    assert bundled.fingerprint == single.fingerprint
    assert bundled.lock.queue_ns == bundled.lock.wait_ns
    for phase in bundled.phases:
        if phase.guest:
            assert sum(phase.ledger.values()) == phase.vcpu_ns
        elif phase.do not in ("sleep", "wait"):
            assert sum(phase.spent.values()) == phase.end_ns - phase.start_ns
    assert min(bundled.counters.values()) >= 0
