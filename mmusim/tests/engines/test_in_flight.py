"""Kicks that find a vCPU on its way into the guest or out of it: to the nanosecond."""

from __future__ import annotations

from typing import Any

import pytest

from mmusim.engine import simulate
from mmusim.engine.choice import COMPILED, SIMPY
from mmusim.plan.make import Plan, make_plan
from mmusim.tests.support.settings import setting
from mmusim.trace.records import Trace
from mmusim.vocabulary import COSTS

FREE: dict[str, Any] = dict.fromkeys(COSTS, "0ns")
WAY = {"c_exit": "2us", "c_entry": "3us", "c_fault_slow": "10us", "c_lock_section": "1us"}
FLUSH = {"c_flush_init": "100ns", "c_flush_target": "200ns", "c_ack": "700ns"}
POLICY = "linux-6.13+shadow"


def plan_of(sleep_ns: int, vcpus: int = 1, **costs: Any) -> Plan:
    """A vCPU writes page after page, and a get comes `sleep_ns` after its first access."""
    phases: list[dict[str, Any]] = [
        {"do": "write"}, {"do": "enable-logging"}, {"do": "write", "pages": "1%"},
        {"do": "write", "background": True}, {"do": "sleep", "time": f"{sleep_ns}ns"},
        {"do": "get-dirty-log"}, {"do": "wait"},
    ]  # fmt: skip
    made = setting(phases, vcpus=vcpus, memory=f"{4 * vcpus}MiB", vm={"kernel": "linux-6.13"},
                   costs=FREE | {"t_hit_2M": "1ns"} | WAY | FLUSH | costs)  # fmt: skip
    return make_plan(made, POLICY, 1)


def spent(trace: Trace, phase: int, what: str) -> int:
    return int(trace.phases[phase].spent.get(what, 0))


def get_of(sleep_ns: int, **costs: Any) -> tuple[int, int]:
    """What the flush of the get took, and how long the vCPU was out for it."""
    trace = simulate(plan_of(sleep_ns, **costs))
    return spent(trace, 5, "flush"), trace.phases[3].ledger.get("flush_exit", 0)


# A fault: 2 us exit, 4 us handler, 1 us locked, 3 us entry; then a hit. The vCPU's third fault
# is under way from 20 to 30 us and 2 ns.
IN_EXIT, IN_HANDLER, IN_ENTRY = 20_502, 23_502, 28_002


@pytest.mark.parametrize("sleep_ns", [IN_EXIT, IN_HANDLER, IN_ENTRY])
def test_without_the_cost_nobody_in_the_host_is_waited_for(sleep_ns: int) -> None:
    assert get_of(sleep_ns) == (100, 0)


def test_who_is_leaving_is_waited_for_until_it_has_left() -> None:
    flush, out = get_of(IN_EXIT, c_in_flight="2us")
    assert out == 0, "the vCPU loses nothing"
    assert 300 < flush < 2000
    later = get_of(IN_EXIT + 700, c_in_flight="2us")[0]
    assert flush - later == 700, "it waits for the same instant"


def test_who_is_in_the_handler_is_not_waited_for() -> None:
    assert get_of(IN_HANDLER, c_in_flight="2us") == (100, 0)


def test_who_is_entering_enters_and_leaves_at_once() -> None:
    flush, out = get_of(IN_ENTRY, c_in_flight="3us")
    assert out == 2000 + 700 + 3000, "exit, acknowledgement, and the entry once more"
    left = 30_002 - IN_ENTRY  # of the entry; give or take the hits before
    assert flush == pytest.approx(left + 2000 + 700, abs=10)
    early = get_of(IN_ENTRY - 500, c_in_flight="1us")
    assert early == (100, 0), "2.5 us before it has entered, of which the last 1 us counts"


@pytest.mark.parametrize("vcpus", [1, 3])
@pytest.mark.parametrize("sleep_ns", [IN_EXIT, IN_HANDLER, IN_ENTRY, 47_000])
def test_both_engines_agree(sleep_ns: int, vcpus: int) -> None:
    plan = plan_of(sleep_ns, vcpus, c_in_flight="2500ns", c_ack="20us", c_tlb_flush="30ns")
    whole = simulate(plan, engine=SIMPY)
    assert whole == simulate(plan, engine=COMPILED)
    assert whole == simulate(plan, engine=SIMPY, run_limit=1)
    without = simulate(plan_of(sleep_ns, vcpus, c_ack="20us", c_tlb_flush="30ns"), engine=SIMPY)
    assert vcpus > 1 or (whole != without) == (sleep_ns in (IN_EXIT, IN_ENTRY))


def test_drops_of_large_sptes_wait_for_vcpus_on_their_way() -> None:
    """vCPUs that only fault are hardly ever in the guest: what they wait for is each other."""
    phases = [{"do": "write"}, {"do": "enable-logging"}, {"do": "write", "order": "random"}]

    def waits(in_flight: str) -> tuple[Trace, float]:
        way = {"c_exit": "6us", "c_entry": "6us", "c_fault_slow": "13us", "c_lock_section": "500ns"}
        made = setting(phases, vcpus=4, memory="64MiB", vm={"kernel": "linux-6.13"},
                       costs=FREE | way | FLUSH | {"c_in_flight": in_flight})  # fmt: skip
        plan = make_plan(made, POLICY, 1)
        trace = simulate(plan)
        assert trace == simulate(plan, engine=SIMPY)
        return trace, trace.phases[2].ledger["flush_wait"]

    (with_it, longer), (without, shorter) = waits("6us"), waits("0ns")
    assert longer > 3 * shorter
    assert with_it.phases[2].counters["pf_taken"] == without.phases[2].counters["pf_taken"]
