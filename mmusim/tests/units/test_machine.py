"""Laws of the machine: prices in closed form, and costs of log operations."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import HealthCheck, assume, given, settings

from mmusim.base.errors import ConfigError, MmusimError
from mmusim.config.cost_ranges import factors, machine_factors, with_factors
from mmusim.config.cost_vectors import cost_vectors
from mmusim.config.host import default_cost, load_profile
from mmusim.config.resolved import resolved
from mmusim.config.settings import Setting, settings_of
from mmusim.costs.machine import LAWS, ONE, Machine
from mmusim.engine import simulate
from mmusim.engine.choice import COMPILED, SIMPY
from mmusim.engine.state.fault_shares import FaultShares
from mmusim.engine.state.machine_load import EPOCH_NS
from mmusim.kvm.topology import topology
from mmusim.plan.make import make_plan
from mmusim.tests.support.any_run import runs
from mmusim.tests.support.places import ROOT
from mmusim.tests.support.settings import setting
from mmusim.trace.records import Trace
from mmusim.validation.fit import FREE
from mmusim.validation.predict import the_machine
from mmusim.vocabulary import COSTS
from mmusim.vocabulary.machine_costs import MACHINE_COSTS

TWO_NODES = {"cores": 4, "nodes": 2}  # 4 threads each
LEGACY = "linux-5.17+legacy+eager_page_split-legacy+initially-all-set"


def described(
    machine: dict[str, Any] | None,
    *,
    vcpus: int = 8,
    memory: str = "32MiB",
    backing: str = "2MiB",
    baseline: str = LEGACY,
    **costs: str,
) -> dict[str, Any]:
    host: dict[str, Any] = {"profile": "skylake-2021", "variance": "none", "costs": costs}
    return {
        "schema": 1, "id": "machine", "question": "What does load do?",
        "vm": {"vcpus": vcpus, "memory": memory, "prefaulted": False, "kernel": "linux-5.17",
               "backing": backing},
        "host": host | ({} if machine is None else {"machine": machine}),
        "policies": {"baseline": LEGACY, "compare": ["none"]},
        "driver": {"kind": "dirty-log-perf-test", "iterations": 2},
    }  # fmt: skip


def the_setting(data: dict[str, Any]) -> Setting:
    (made,) = settings_of(data, "test", Path())
    return made


def traced(machine: dict[str, Any] | None, policy: str = LEGACY, **options: Any) -> Trace:
    return simulate(make_plan(the_setting(described(machine, **options)), policy, 1))


def spent(trace: Trace, phase: str) -> dict[str, int]:
    (found,) = [p for p in trace.phases if p.name == phase]
    return dict(found.spent)


def model(**facts: Any) -> Machine:
    usual: dict[str, Any] = {
        "nodes": 2, "cores": 56, "threads": 112, "smt_gain": 0.1, "private_cache": 1 << 20,
        "laws": frozenset(LAWS),
    }  # fmt: skip
    return Machine(**usual | facts)


def test_work_is_stretched_by_the_share_of_a_core_that_each_vcpu_has() -> None:
    assert [model().slowdown(n) for n in (0, 1, 56)] == [ONE] * 3
    assert model().slowdown(112) == round(ONE * 112 / (56 + 0.1 * 56))
    assert model().slowdown(224) == round(ONE * 224 / (56 + 0.1 * 56)), "above threads: in turns"
    assert model(smt_gain=0.0).slowdown(112) == 2 * ONE
    assert model(laws=frozenset({"memory"})).slowdown(112) == ONE


def test_a_line_takes_longer_by_each_other_vcpu_that_has_a_thread() -> None:
    assert model().line_extra(1, 0.65) == model().line_extra(0, 0.65) == 0
    assert model().line_extra(64, 0.5) == ONE * 63 // 2
    assert model().line_extra(224, 0.5) == 2 * model().line_extra(112, 0.5), "two in turns"
    alone = model(laws=frozenset({"memory"}))
    assert alone.line_extra(500, 0.5) == alone.line_extra(112, 0.5), "no thread is shared"


def test_a_vm_of_one_node_is_not_remote() -> None:
    assert not model().is_remote(56)
    assert model().is_remote(57)
    assert not model(nodes=1).is_remote(112)


def test_the_rmap_of_a_large_vm_is_billed_by_the_line() -> None:
    small, large = ({"cores": 4, "nodes": n} for n in (1, 2))
    near, far = (spent(traced(m), "iteration 2 clear dirty log") for m in (small, large))
    pages = (32 << 20) // 4096
    assert far.pop("t_line_remote") == round(26 * pages * 2 / 8)
    assert far == near
    first = spent(traced(large), "iteration 1 clear dirty log")
    assert first["t_line_remote"] == 26 * 128 * 16, "16 splits, whose leaves are in the cache"


def test_leaves_that_a_clear_has_just_made_are_in_the_cache() -> None:
    pages = (32 << 20) // 4096
    without = spent(traced(TWO_NODES | {"laws": ["remote"]}), "iteration 1 clear dirty log")
    fresh = spent(traced(TWO_NODES | {"laws": ["fresh-leaves"]}), "iteration 1 clear dirty log")
    again = spent(traced(TWO_NODES | {"laws": ["fresh-leaves"]}), "iteration 2 clear dirty log")
    assert (without["c_wclear"], fresh["c_dclear"]) == (30 * pages, 15 * pages)
    assert "c_wclear" not in fresh
    assert again["c_wclear"] == 30 * pages


def test_enabling_a_nested_guest_goes_over_all_heads_with_or_without_a_machine() -> None:
    """It takes W where others clear D in that walk, and marks no page of the host dirty."""
    pages, nested = (32 << 20) // 4096, "linux-6.0+nested+eager_page_split+get-clears"
    without, fresh = (
        spent(traced(TWO_NODES | {"laws": [law]}, nested), "enabling dirty logging")
        for law in ("indirect", "fresh-leaves")
    )
    assert without == fresh
    assert fresh["c_nested_arm"] == 2 * pages
    assert not fresh.keys() & {"c_wclear", "c_dclear"}


def test_bitmaps_are_allocated_once_and_faulted_in_once() -> None:
    trace = traced(TWO_NODES | {"laws": ["bitmaps"]})
    assert spent(trace, "enabling dirty logging")["c_bitmap_alloc"] == round(7e5 / 1024)
    assert spent(trace, "iteration 1 get dirty log")["c_user_page"] == 700
    assert "c_user_page" not in spent(trace, "iteration 2 get dirty log")


def test_indirect_mmus_hold_the_lock_longer_and_take_as_long() -> None:
    """A fault that finds its leaf adds nothing to the rmap, so its section is shorter."""
    shadow = "linux-5.17+shadow+lazy-drop"
    short, long = (
        traced({"cores": 64, "laws": [law]}, shadow, vcpus=1, memory="4MiB")
        for law in ("remote", "indirect")
    )
    held = [trace.lock.exclusive.holds.total_ns for trace in (short, long)]
    faults = short.counters["pf_taken"]
    (second,) = (p for p in long.phases if p.name == "iteration 2 dirty memory")
    found = second.counters["pf_taken"]
    assert found == 1024
    assert short.counters == long.counters
    assert held[1] - held[0] == pytest.approx(235 * faults - 25 * found, rel=0.02)
    assert short.end_ns - long.end_ns == pytest.approx(25 * found, rel=0.05)


@pytest.mark.parametrize(
    ("release", "vcpus", "added"), [("5.14", 2, 25), ("5.15", 2, 25 + 75), ("5.15", 1, 25)]
)
def test_a_leaf_that_is_added_enters_the_rmap_and_since_5_15_a_count(
    release: str, vcpus: int, added: int
) -> None:
    """25 ns are a 512th of what a split through the rmap takes longer; 75 ns a line's way."""
    policy = f"linux-{release}+shadow+lazy-drop"
    for law, expected in (("indirect", added), ("memory", 0)):
        made = described({"cores": 64, "laws": [law]}, vcpus=vcpus, baseline=policy)
        plan = make_plan(the_setting(made), policy, 1)
        shares = FaultShares(plan, "c_fault_slow", "c_lock_section")
        whole = plan.costs["c_fault_slow"].mean()
        assert whole * (shares.locked - shares.restored) == pytest.approx(expected)
        assert whole * shares.locked == pytest.approx(150 + (235 if law == "indirect" else 0))


def test_both_engines_agree_on_faults_that_find_their_leaf() -> None:
    policy = "linux-5.17+shadow+eager_page_split-legacy"
    made = described({"cores": 64, "laws": ["indirect"]}, vcpus=4, memory="16MiB", baseline=policy)
    plan = make_plan(the_setting(made), policy, 1)
    assert simulate(plan, engine=SIMPY) == simulate(plan, engine=COMPILED)


def test_a_machine_without_laws_is_no_machine() -> None:
    off_machine: dict[str, Any] = TWO_NODES | {"laws": []}
    for policy in (LEGACY, "linux-6.1"):
        plain, off = (traced(m, policy) for m in (None, off_machine))
        assert plain.fingerprint == off.fingerprint
        assert [p.spent for p in plain.phases] == [p.spent for p in off.phases]
    assert traced(TWO_NODES, LEGACY).fingerprint != traced(None, LEGACY).fingerprint


def test_costs_of_laws_are_uncertain_only_where_they_are_paid() -> None:
    paid = {name for name in factors(the_setting(described(TWO_NODES))) if name in MACHINE_COSTS}
    assert paid == set(MACHINE_COSTS)
    alone = TWO_NODES | {"laws": ["memory"]}
    some = {name for name in factors(the_setting(described(alone))) if name in MACHINE_COSTS}
    assert some == {"t_line"}
    assert not set(factors(the_setting(described(None)))) & set(MACHINE_COSTS)


def test_what_is_assumed_of_a_machine_differs_between_hosts() -> None:
    assumed = {"cores": 56, "nodes": 2, "plausible": {"cores": [48, 64]}}
    made = the_setting(described(assumed))
    ranges, hosts = machine_factors(made), cost_vectors(made, 64)
    assert ranges["cores"] == (48 / 56, 64 / 56)
    assert ranges["smt_gain"] == pytest.approx((1 / 3, 3)), "assumed, as costs are"
    machines = [with_factors(made, host).machine for host in hosts]
    cores = [one.cores for one in machines if one is not None]
    assert len(cores) == 64
    assert 48 <= min(cores) < 52 < 60 < max(cores) <= 64
    gains = [one.smt_gain for one in machines if one is not None]
    assert 0.1 / 3 <= min(gains) < 0.05 < 0.2 < max(gains) <= 0.3
    assert len({with_factors(made, host).key() for host in hosts}) == 64
    known = the_setting(described({"cores": 56, "laws": ["memory"]}))
    assert machine_factors(known) == {}, "control: no law uses what is assumed"
    assert all(with_factors(known, h).machine == known.machine for h in cost_vectors(known, 4))


def test_costs_of_laws_have_the_ranges_of_their_sources() -> None:
    made = the_setting(described(TWO_NODES))
    found = factors(made)
    assert found["t_line"] == pytest.approx((0.5 / 0.65, 1 / 0.65))
    for cost in MACHINE_COSTS:
        low, high = found[cost]
        assert low < 1 < high < 3.5, cost
        assert all(low <= host[cost] <= high for host in cost_vectors(made, 16)), cost
    own = described(TWO_NODES)
    own["host"]["costs"] = {"t_line": "0.65ns"}
    assert factors(the_setting(own))["t_line"] == (1 / 3, 3), "control: the experiment's own"


def test_hosts_without_a_machine_are_drawn_as_before() -> None:
    plain = the_setting(described(None))
    assert machine_factors(plain) == {}
    assert cost_vectors(plain, 4) == cost_vectors(
        the_setting(described({"cores": 4, "laws": []})), 4
    )
    ranged = {"cores": 4, "plausible": {"cores": [2, 8]}}
    assert the_setting(described(ranged)).key() == the_setting(described({"cores": 4})).key()
    assert cost_vectors(plain, 4) != cost_vectors(the_setting(described(ranged)), 4), "control"


def test_a_verdict_varies_with_the_cores_that_are_assumed() -> None:
    """Eight vCPUs on six cores, or on two to eighteen: the pass takes another time on each."""
    crowd = {"cores": 6, "threads_per_core": 1, "laws": ["threads"]}
    passes = []
    for more in ({}, {"plausible": {"cores": [2, 18]}}):
        made = the_setting(described(crowd | more, vcpus=8))
        only = [{k: v for k, v in host.items() if k == "cores"} for host in cost_vectors(made, 6)]
        plans = [make_plan(with_factors(made, host), LEGACY, 1) for host in only]
        passes.append({simulate(plan, engine=SIMPY).end_ns for plan in plans})
    assert len(passes[0]) == 1, "control: cores that are known"
    assert len(passes[1]) > 2


@pytest.mark.parametrize("laws", [["threads"], []])
@pytest.mark.parametrize(
    ("name", "bounds"),
    [("cores", [64, 48]), ("cores", [57, 64]), ("cores", [56, 56]), ("smt_gain", [0.2, 0.3])],
)
def test_a_range_that_misses_its_value_is_told(
    name: str, bounds: list[float], laws: list[str]
) -> None:
    with pytest.raises(ConfigError, match=f"must ascend and hold {name}"):
        the_setting(described({"cores": 56, "plausible": {name: bounds}, "laws": laws}))


def test_the_ends_of_a_range_are_in_it() -> None:
    """A factor times a value may be off by a last digit; such a machine would not read back."""
    bounds: dict[str, list[float]] = {"cores": [47, 64], "smt_gain": [0.007, 0.3]}
    facts: dict[str, Any] = {"cores": 56, "smt_gain": 0.11, "plausible": bounds}
    made = the_setting(described(facts))
    for end in range(2):
        by = {name: found[end] for name, found in machine_factors(made).items()}
        machine = with_factors(made, by).machine
        assert machine is not None
        assert machine.cores == bounds["cores"][end]
        assert machine.smt_gain == pytest.approx(bounds["smt_gain"][end])
        assert type(machine).model_validate(machine.model_dump(mode="json")) == machine


def test_a_second_thread_that_is_not_there_is_not_uncertain() -> None:
    for threads, expected in ((1, set()), (2, {"smt_gain"})):
        made = the_setting(described({"cores": 56, "threads_per_core": threads}))
        assert set(machine_factors(made)) == expected


def test_a_resolved_setting_says_its_machine_and_no_costs_that_nobody_pays() -> None:
    for machine in (None, TWO_NODES):
        setting = the_setting(described(machine))
        again = the_setting(tomllib.loads(tomli_w.dumps(resolved(setting))))
        assert (again.machine, again.costs) == (setting.machine, setting.costs)
        assert again.key() == setting.key()


def test_a_profile_may_describe_its_machine(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'name = "mine"\ndescribes = "a host"\nsource = "me"\n[costs]\n'
        '[machine]\ncores = 2\nnote = "lscpu"\nprovenance = "measured"\n'
    )
    profile = load_profile(str(path))
    assert profile.machine is not None
    assert profile.machine.threads == 4
    assert "t_line" in profile.defaulted
    assert "t_line" not in load_profile("skylake-2021").defaulted
    data = described(None)
    data["host"]["profile"] = str(path)
    assert the_setting(data).machine == profile.machine


def test_the_profile_with_two_sockets_is_what_published_times_give_with_all_laws() -> None:
    """Its unit costs are those of the page that `mmusim validate --ablation` writes; all others are
    those of skylake-2021, with the costs of laws and their bounds. Control: without laws the fit is
    another.
    """
    profile, plain = (load_profile(f"skylake-2021{more}") for more in ("-two-sockets", ""))
    machine = the_machine()
    assert profile.machine is not None
    assert machine is not None
    same = {"private_cache": 0, "note": ""}
    assert profile.machine.model_copy(update=same) == machine.model_copy(update=same)
    page = (ROOT / "docs/evidence/machine.md").read_text().split("## Unit costs with all laws")[1]
    factors = {
        cells[1].strip(): float(cells[3])
        for cells in (line.split("|") for line in page.splitlines())
        if len(cells) == 5 and cells[1].strip() in COSTS
    }
    assert set(FREE) < set(factors)
    means = {name: cost.distribution().mean() for name, cost in profile.costs.items()}
    for name, cost in plain.costs.items():
        if name in factors:
            by = means[name] / cost.distribution().mean()
            assert by == pytest.approx(factors[name], rel=2e-3), name
            assert profile.costs[name].provenance == "derived"
        elif name in MACHINE_COSTS:
            assert profile.costs[name].plausible == default_cost(name).plausible is not None
        else:
            assert profile.costs[name] == cost, name
    assert not profile.defaulted
    unloaded = load_profile("skylake-2021-fitted").costs["c_fault_fast"].distribution().mean()
    assert unloaded != pytest.approx(means["c_fault_fast"], rel=0.1), "control"


@pytest.mark.parametrize(
    ("machine", "options", "key", "rule"),
    [
        ({"cores": 0}, {}, "host.machine.cores", "must be at least 1"),
        ({}, {}, "host.machine.cores", "required"),
        ({"cores": 1, "laws": ["memory", "memory"]}, {}, "host.machine", "twice"),
        ({"cores": 1, "laws": ["gravity"]}, {}, "host.machine.laws[1]", "not one of the choices"),
        ({"cores": -4}, {}, "host.machine.cores", "must be at least 1"),
        ({"cores": 1.5}, {}, "host.machine.cores", "whole number"),
        ({"cores": float("nan")}, {}, "host.machine.cores", "whole number"),
        ({"cores": 56, "nodes": 0}, {}, "host.machine.nodes", "must be at least 1"),
        ({"cores": 56, "threads_per_core": 0}, {}, "threads_per_core", "must be at least 1"),
        ({"cores": 56, "threads": 28}, {}, "host.machine.threads", "threads_per_core"),
        ({"cores": 56, "smt_gain": float("nan")}, {}, "host.machine.smt_gain", "number"),
        ({"cores": 56, "smt_gain": -0.1}, {}, "host.machine.smt_gain", "at least 0"),
        ({"cores": 56, "private_cache": "-1MiB"}, {}, "host.machine.private_cache", "negative"),
        ({"cores": 2, "nodes": 4}, {}, "host.machine", "4 nodes and as few as 2 cores"),
        ({"cores": 8, "nodes": 4, "plausible": {"cores": [2, 16]}}, {}, "host.machine",
         "4 nodes and as few as 2 cores"),
        ({"cores": 56}, {"c_clear_memory": "-39us"}, "host.costs.c_clear_memory", "negative"),
        ({"cores": 56}, {"t_line": "nan"}, "host.costs.t_line", "a number and a unit"),
        ({"cores": 1, "threads_per_core": 1}, {"vcpus": 65, "memory": "130MiB"}, "vm.vcpus",
         "more than 64 times slower"),
    ],
)  # fmt: skip
def test_a_wrong_machine_is_told_with_key_and_rule(
    machine: dict[str, Any] | None, options: dict[str, Any], key: str, rule: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        the_setting(described(machine, **options))
    text = str(caught.value)
    assert key in text
    assert rule in text


# --- load: prices of guest time ----------------------------------------------------------------

NO_COSTS = dict.fromkeys(COSTS, "0ns") | {"t_hit_2M": "100ns", "t_line": "0.5ns"}


def hits_alone(machine: dict[str, Any] | None, vcpus: int, **costs: str) -> Setting:
    """All vCPUs touch their memory once, which the first phase has mapped."""
    return setting(
        [{"do": "write"}, {"do": "read", "name": "hits"}], vcpus=vcpus, memory=f"{4 * vcpus}MiB",
        costs=NO_COSTS | costs, host={} if machine is None else {"machine": machine},
    )  # fmt: skip


def time_of_hits(machine: dict[str, Any] | None, vcpus: int, engine: str = SIMPY) -> int:
    trace = simulate(make_plan(hits_alone(machine, vcpus), "none", 1), engine=engine)
    return trace.phases[-1].end_ns - trace.phases[-1].start_ns


def test_hits_take_what_the_laws_say_to_the_nanosecond() -> None:
    pages, both = 1024, ["memory", "threads"]
    crowd: dict[str, Any] = {
        "cores": 2,
        "threads_per_core": 2,
        "smt_gain": 0.5,
        "private_cache": "0B",
    }
    for engine in (SIMPY, COMPILED):
        assert time_of_hits(None, 4, engine) == 100 * pages
        alone = {**crowd, "cores": 64}
        assert time_of_hits({**alone, "laws": ["threads"]}, 4, engine) == 100 * pages
        assert time_of_hits({**alone, "laws": ["memory"]}, 4, engine) == round(101.5 + 0.01) * pages
        stretched = round(100 * 4 / 3)
        assert time_of_hits({**crowd, "laws": ["threads"]}, 4, engine) == stretched * pages
        waiting = 100 * 4 / 3 + 1.5  # a wait for a line leaves the core to the other thread
        assert time_of_hits({**crowd, "laws": both}, 4, engine) == round(waiting) * pages
        in_turns = {**crowd, "cores": 1, "smt_gain": 1.0, "laws": both}
        assert time_of_hits(in_turns, 4, engine) == 201 * pages, "a line takes 0.5 ns longer, twice"
        cached = {**alone, "laws": ["memory"], "private_cache": "64KiB"}
        assert time_of_hits(cached, 4, engine) == 100 * pages, "1,024 lines fit"


def test_without_a_gain_second_threads_add_nothing() -> None:
    """The work of all together takes what it takes on as many processors as there are cores."""
    crowd = {"cores": 2, "threads_per_core": 4, "smt_gain": 0.0, "laws": ["threads"]}
    assert time_of_hits(crowd, 6) == 3 * time_of_hits(crowd, 2)


def test_prices_follow_the_vcpus_that_still_run() -> None:
    """One of two vCPUs has half as much to do. It ends in the second epoch, whose mean of 1.02
    running vCPUs is the price of the third: 500 accesses of 200 ns in each of the first two, and 24
    of 100 ns.
    """
    crowd = {"cores": 1, "threads_per_core": 2, "smt_gain": 0.0, "laws": ["threads"]}
    for engine in (SIMPY, COMPILED):
        uneven = setting(
            [{"do": "write"}, {"do": "read"}], vcpus=2, memory="6MiB", costs=NO_COSTS,
            host={"machine": crowd},
        )  # fmt: skip
        phase = simulate(make_plan(uneven, "none", 1), engine=engine).phases[-1]
        assert phase.end_ns - phase.start_ns == 2 * EPOCH_NS + 24 * 100


def test_who_waits_for_a_lock_does_not_slow_others_down() -> None:
    """A pass that an exclusive lock bounds takes as long with a machine as without."""
    times = {}
    for name, machine in (
        ("without", None),
        ("with", {"cores": 6, "private_cache": "0B", "laws": ["memory", "threads"]}),
    ):
        bound = setting(
            [{"do": "write"}], vcpus=16, memory="32MiB", vm={"backing": "4KiB", "mmu": "legacy"},
            costs={"c_lock_section": "1us", "c_fault_slow": "1.6us"},
            host={"variance": "none"} | ({"machine": machine} if machine else {}),
        )  # fmt: skip
        times[name] = simulate(make_plan(bound, "eager-drop", 1)).end_ns
    assert times["with"] == pytest.approx(times["without"], rel=0.01)


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(runs())
def test_a_run_is_the_same_however_many_accesses_are_one_event(some: tuple[str, Setting]) -> None:
    policy, made = some
    assume(made.machine is not None)
    plan = make_plan(made, policy, 1)
    try:
        bundled = simulate(plan, engine=SIMPY)
    except MmusimError:
        assume(False)
    assert bundled == simulate(plan, engine=SIMPY, run_limit=1)
    assert bundled == simulate(plan, engine=COMPILED, run_limit=7)


def test_first_touches_queue_for_the_memory_of_the_host() -> None:
    clears = {"cores": 64, "laws": ["first-touch"]}
    fast, slow = (
        traced(clears, vcpus=8, memory="64MiB", c_clear_memory=ns) for ns in ("1ns", "1ms")
    )
    (before, after) = (t.phases[0].end_ns - t.phases[0].start_ns for t in (fast, slow))
    assert after >= 64 * 1_000_000 > before, "32 regions of 2 MiB, the last one's own time too"
    waited = slow.phases[0].ledger
    assert waited["clear_wait"] > 0
    assert waited["mmap_wait"] + waited["clear_wait"] > fast.phases[0].ledger["mmap_wait"]
    assert slow.phases[0].counters == fast.phases[0].counters


def test_a_vcpu_alone_waits_for_its_own_page_where_clearing_takes_longer_than_a_fault() -> None:
    """One page of 2 MiB after the other, 2 ms each; 4 KiB are cleared within a fault."""
    clears = {"cores": 64, "laws": ["first-touch"]}
    large, none = (
        traced(clears, vcpus=1, memory="8MiB", c_clear_memory=ns, c_fault_slow="1us")
        for ns in ("1ms", "0ns")
    )
    assert large.phases[0].ledger["clear_wait"] == 4 * (2_000_000 - 1_000)
    assert none.phases[0].ledger["clear_wait"] == 0
    small = traced(
        clears, vcpus=1, memory="8MiB", backing="4KiB", c_clear_memory="100us", c_fault_slow="1us"
    )
    assert small.phases[0].ledger["clear_wait"] == 0, "0.4 us of 1"


# --- what a host shows -------------------------------------------------------------------------


def test_a_host_shows_nodes_cores_threads_and_caches(tmp_path: Path) -> None:
    """Two nodes of two cores with two threads, as sysfs numbers them."""
    assert topology(tmp_path) is None
    for cpu in range(8):
        folder = tmp_path / f"cpu/cpu{cpu}"
        (folder / "topology").mkdir(parents=True)
        (folder / "topology/thread_siblings_list").write_text(f"{cpu % 4},{cpu % 4 + 4}\n")
        for level, size in ((1, 48), (2, 1280), (3, 33792)):
            cache = folder / f"cache/index{level}"
            cache.mkdir(parents=True)
            (cache / "level").write_text(f"{level}\n")
            (cache / "size").write_text(f"{size}K\n")
    for node in range(2):
        (tmp_path / f"node/node{node}").mkdir(parents=True)
        (tmp_path / f"node/node{node}/cpulist").write_text("0-1,4-5\n")
    (tmp_path / "node/node2").mkdir()
    (tmp_path / "node/node2/cpulist").write_text("\n")  # memory alone
    shown = {"nodes": 2, "cores": 4, "threads_per_core": 2, "private_cache": "1280KiB"}
    assert topology(tmp_path) == shown


def test_siblings_may_be_a_range(tmp_path: Path) -> None:
    (tmp_path / "cpu/cpu0/topology").mkdir(parents=True)
    (tmp_path / "cpu/cpu0/topology/thread_siblings_list").write_text("0-3\n")
    assert topology(tmp_path) == {"nodes": 1, "cores": 1, "threads_per_core": 4}
