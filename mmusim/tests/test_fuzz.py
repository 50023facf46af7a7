"""Random programs of host and guest: the theorems hold on what nobody thought of."""

from __future__ import annotations

from typing import Any

from conftest import CONSTANT, cell
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmusim.engine import simulate
from mmusim.plan import make_plan

host_steps = st.sampled_from(
    [
        "get-dirty-log",
        "get-dirty-log",
        "clear-dirty-log",
        "toggle",
        "recreate-slot",
        "sleep",
        "guest",
    ]
)


@st.composite
def programs(draw: st.DrawFn) -> dict[str, Any]:
    """A driver whose host steps fall into a guest that runs beside them."""
    kernel = draw(st.sampled_from(["linux-3.7", "linux-3.16", "linux-6.1"]))
    manual = draw(st.sampled_from(["off", "on", "initially-all-set"]))
    manual = manual if kernel == "linux-6.1" else "off"
    logging = got = False
    phases: list[dict[str, Any]] = [{"do": "run", "workload": "mixed", "background": True}]
    for step in draw(st.lists(host_steps, min_size=2, max_size=10)):
        if step == "toggle":
            phases.append({"do": "disable-logging" if logging else "enable-logging"})
            logging = not logging
        elif step == "recreate-slot":
            phases += [{"do": "wait"}, {"do": step}]
            logging = True
        elif step == "get-dirty-log" and logging:
            phases.append({"do": step})
            got = True
        elif step == "clear-dirty-log" and logging and got and manual != "off":
            phases.append({"do": step, "chunk": draw(st.sampled_from(["256KiB", "1MiB", "1GiB"]))})
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
    return {
        "phases": phases,
        "vcpus": draw(st.sampled_from([1, 2, 4])),
        "memory": "8MiB",
        "costs": draw(st.sampled_from([None, CONSTANT])),
        "vm": {
            "kernel": kernel,
            "backing": draw(st.sampled_from(["2MiB", "2MiB", "4KiB"])),
            "cached_child_tables": draw(st.booleans()),
        },
        "driver": {"manual_protect": manual},
        "workloads": {"mixed": workload},
    }


@given(
    program=programs(),
    policy=st.sampled_from(["none", "eager-drop", "lazy-drop"]),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_program_keeps_the_books_loses_no_write_and_may_be_bundled(
    program: dict[str, Any], policy: str, seed: int
) -> None:
    made = cell(**program)
    bundled = simulate(make_plan(made, policy, seed))  # checks lost writes, legality, progress
    single = simulate(make_plan(made, policy, seed), run_limit=1)
    assert bundled.fingerprint == single.fingerprint
    assert bundled.lock.queue_ns == bundled.lock.wait_ns
    for phase in bundled.phases:
        if phase.guest:
            assert sum(phase.ledger.values()) == phase.vcpu_ns
    counters = bundled.counters
    assert counters["pages_4k"] >= 0
    assert counters["pages_2m"] >= 0
    assert counters["tables"] >= 0
