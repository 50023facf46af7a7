"""Hits by pages in use and by recent exits: to the nanosecond, and the same on both engines."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmusim.costs.distributions import Constant, Empirical
from mmusim.costs.hits import BLOCK_BITS, BLOCKS, HitCurve, Measured, between, pages_and_spread
from mmusim.costs.random_streams import Stream
from mmusim.engine import simulate
from mmusim.engine.choice import COMPILED, SIMPY
from mmusim.engine.state.recent_exits import RecentExits
from mmusim.plan.make import Plan, make_plan
from mmusim.tests.support.settings import setting
from mmusim.trace.records import Trace
from mmusim.vocabulary import COSTS

NO_COSTS = dict.fromkeys(COSTS, "0ns")
OCTAVES = tuple(1 << n for n in range(6, 16))


def rising(displaces: float) -> HitCurve:
    """100 ns over 64 pages, and 100 ns more for each octave; walks take 7 ns."""
    large = tuple(Constant(100.0 * (n + 1)) for n in range(len(OCTAVES)))
    return HitCurve(OCTAVES, large, (Constant(7.0),) * len(OCTAVES), displaces)


def plan_of(curve: HitCurve | None, phases: list[dict[str, Any]], memory: str = "2MiB") -> Plan:
    made = setting(phases, vcpus=1, memory=memory, costs=NO_COSTS, host={"variance": "none"})
    return replace(make_plan(made, "eager-drop", 1), curve=curve)


def hits_of(trace: Trace) -> dict[str, int]:
    return {cause: ns for cause, ns in trace.phases[-1].ledger.items() if ns}


def test_tables_lie_half_octaves_apart_and_begin_between_them() -> None:
    tables = rising(3.0).tables(512)
    assert len(tables.least) == 5, "512 to 2,048 pages"
    assert [d.mean() for d in tables.large] == [400, 450, 500, 550, 600]
    shares = [1 + 3 * least / 4096 for least in tables.least[1:]]
    assert shares == pytest.approx([2 ** ((n - 0.5) / 2) for n in (1, 2, 3, 4)], rel=1e-3)
    assert rising(0.0).tables(512).least == (0,)
    assert rising(1000.0).tables(1).least[-1] <= 4096
    assert len(rising(1000.0).tables(8).least) <= 16


def test_beyond_what_was_measured_the_last_table_counts() -> None:
    assert rising(0.0).tables(4).large[0].mean() == 100
    assert rising(0.0).tables(1 << 30).large[0].mean() == 1000


def test_quantiles_lie_between_those_of_their_neighbours() -> None:
    low, high = Empirical((0.0, 0.5, 1.0), (0.0, 10.0, 20.0)), Empirical((0.0, 1.0), (100.0, 300.0))
    middle = between(low, high, 0.25)
    assert middle.quantile(0.5) == pytest.approx(0.75 * 10 + 0.25 * 200)
    assert between(Constant(10.0), Constant(30.0), 0.5) == Constant(20.0)


@pytest.mark.parametrize("engine", [SIMPY, COMPILED])
def test_a_phase_has_the_table_of_its_pages(engine: str) -> None:
    """Its own pages, not those of the VM: a quarter of them is two octaves less."""
    phases = [{"do": "write"}, {"do": "read"}]
    whole = simulate(plan_of(rising(0.0), phases), engine=engine)
    assert hits_of(whole) == {"hits": 400 * 512}
    quarter = [{"do": "write"}, {"do": "read", "pages": "25%"}]
    assert hits_of(simulate(plan_of(rising(0.0), quarter), engine=engine)) == {"hits": 200 * 128}
    none = plan_of(None, phases)
    assert hits_of(simulate(none, engine=engine)) == {"hits": 512}, "1 ns at least"


@pytest.mark.parametrize("engine", [SIMPY, COMPILED])
def test_exits_of_the_last_4096_accesses_make_hits_take_longer(engine: str) -> None:
    """1,024 faults in 1,024 pages; then 4,096 accesses for which they count, less and less."""
    phases = [{"do": "enable-logging"}, {"do": "write"}, *[{"do": "read"}] * 5]
    trace = simulate(plan_of(rising(3.0), phases, "4MiB"), engine=engine)
    times = [p.ledger["hits"] for p in trace.phases[2:]]
    assert times[0] > 500 * 1024, "more than over 1,024 pages without exits"
    assert sorted(times, reverse=True) == times
    assert times[-1] == 500 * 1024, "none of the last 4,096 exited"
    exits = RecentExits(1, 2)
    exits.take(rising(3.0).tables(1024), None)
    for access in range(1024):
        exits.left(access)
    expected = sum(exits.streams_at(1024 + n)[0].at(0) for n in range(1024))
    assert times[0] == expected


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 900), st.booleans(), st.lists(st.integers(0, 3_000), max_size=3)),
        max_size=60,
    )
)
def test_a_table_that_was_looked_up_before_an_exit_is_looked_up_again(
    steps: list[tuple[int, bool, list[int]]],
) -> None:
    """Against counting every exit of the 16 blocks before each access anew."""
    tables = rising(3.0).tables(1024)
    recent, exits, access = RecentExits(1, 2), list[int](), 0
    recent.take(tables, None)
    for passed, leaves, ahead in steps:
        access += passed
        if leaves:
            recent.left(access)
            exits.append(access)
        for more in (0, *ahead):
            block = access + more >> BLOCK_BITS
            counted = sum(block - BLOCKS <= e >> BLOCK_BITS < block for e in exits)
            table = max(n for n, least in enumerate(tables.least) if counted >= least)
            hit, _ = recent.streams_at(access + more)
            assert hit.at(0) == Stream(tables.large[table], 1).at(0), (access, more, counted)


@pytest.mark.parametrize(
    "policy", ["eager-drop", "linux-6.1+eager_page_split", "linux-6.1+lazy-drop+pml"]
)
def test_both_engines_agree_however_many_accesses_are_one_event(policy: str) -> None:
    large = tuple(Empirical((0.0, 0.9, 1.0), (n, 30.0 * n, 90.0 * n)) for n in range(1, 11))
    walk = tuple(Empirical((0.0, 1.0), (0.0, 50.0 * n)) for n in range(1, 11))
    curve = HitCurve(OCTAVES, large, walk, 12.0)
    phases = [
        {"do": "write"}, {"do": "enable-logging"}, {"do": "write", "pages": "20%"}, {"do": "read"},
        {"do": "write"}, {"do": "get-dirty-log"}, {"do": "write", "pages": "5%"}, {"do": "read"},
    ]  # fmt: skip
    made = setting(phases, vcpus=2, memory="16MiB")
    plan = replace(make_plan(made, policy, 1), curve=curve)
    whole = simulate(plan, engine=SIMPY)
    assert whole == simulate(plan, engine=COMPILED)
    assert whole == simulate(plan, engine=SIMPY, run_limit=1)
    assert whole == simulate(plan, engine=COMPILED, run_limit=7)
    assert whole != simulate(replace(plan, curve=None), engine=SIMPY)


def test_both_engines_agree_on_a_machine_and_behind_a_guest_that_is_given_by_rates() -> None:
    """Load stretches what the tables say; exits count before the first program with tables, too."""
    rates = {
        "pattern": "dirty-rate", "time": "300us", "over": "1ms", "dirty_rate": "2GB/s",
        "working_set": "30%",
    }  # fmt: skip
    phases = [
        {"do": "enable-logging"}, {"do": "run", "workload": "rated"}, {"do": "get-dirty-log"},
        {"do": "write", "pages": "20%"}, {"do": "read"},
    ]  # fmt: skip
    machine = {"cores": 1, "threads_per_core": 2, "private_cache": "64KiB", "smt_gain": 0.3}
    made = setting(
        phases, vcpus=2, memory="16MiB", workloads={"rated": rates}, host={"machine": machine}
    )
    alone = setting(phases, vcpus=2, memory="16MiB", workloads={"rated": rates})
    plans = [replace(make_plan(s, "eager-drop", 1), curve=rising(12.0)) for s in (made, alone)]
    loaded, unloaded = (simulate(plan, engine=SIMPY) for plan in plans)
    assert loaded == simulate(plans[0], engine=COMPILED)
    assert loaded == simulate(plans[0], engine=COMPILED, run_limit=7)
    assert unloaded == simulate(plans[1], engine=COMPILED)
    assert hits_of(loaded)["hits"] > hits_of(unloaded)["hits"]
    assert loaded != simulate(replace(plans[0], curve=None), engine=SIMPY)


def measured_with_exits() -> HitCurve:
    """Without exits 100 ns and no walk; with 1/64 200 and 50 ns; with 1/4 400 and 90 ns."""
    sizes = (64, 1 << 15)

    def series(share: float, large: float, walk: float) -> Measured:
        return Measured(
            sizes, (share, share), (Constant(large),) * 2, (Constant(walk), Constant(2 * walk))
        )

    clean = series(0.0, 100, 0)
    with_exits = series(1 / 4, 400, 90), series(1 / 64, 200, 50)
    return HitCurve(sizes, clean.large, clean.walk, 12.0, with_exits)


def test_between_measured_shares_of_exits_times_are_linear_in_their_logarithm() -> None:
    tables = measured_with_exits().tables(64)
    exits = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096]
    assert len(tables.least) == len(exits)
    assert all(n / 2 < least <= n for n, least in zip(exits[2:], tables.least[2:], strict=True))
    pairs = zip(tables.large, tables.walk, strict=True)
    by_exits = dict(zip(exits, ((d.mean(), w.mean()) for d, w in pairs), strict=True))
    found = [by_exits[n] for n in (0, 64, 256, 1024, 4096)]
    known = [(100, 0), (200, 50), (300, 70), (400, 90), (400, 90)]  # the last is beyond them
    assert found == known
    assert by_exits[8] == pytest.approx((100 + 100 * 4 / 7, 50 * 4 / 7)), "3 of 7 octaves to 2**-6"


def test_first_touches_cost_what_they_do_with_most_exits() -> None:
    curve = measured_with_exits()
    once = np.random.default_rng(1).permutation(4096)
    assert {d.mean() for d in curve.tables_of(once).large} == {400}
    assert curve.tables_of(np.arange(4096)).large[0].mean() == 100, "in sequence"
    often = np.random.default_rng(1).integers(0, 64, 4096)
    assert curve.tables_of(often).large[0].mean() == 100
    half = np.random.default_rng(2).permutation(np.repeat(np.arange(0, 4096, 2), 2))
    assert curve.tables_of(half).large[0].mean() == 250


def test_walks_go_by_the_lines_of_entries() -> None:
    """A page in eight: one eighth of the pages, but every line of the page tables."""
    dense, thin = np.arange(4096), np.arange(0, 4096, 8)
    assert pages_and_spread(dense) == (4096, 4096)
    assert pages_and_spread(thin) == (512, 4096)
    assert pages_and_spread(np.array([6, 5, 9, 6])) == (3, 16)
    drawn = np.random.default_rng(1).integers(9_000, 90_000, 5_000)
    counted = len(set(drawn.tolist())), 8 * len({gfn // 8 for gfn in drawn.tolist()})
    assert pages_and_spread(drawn) == counted
    curve = measured_with_exits()
    walks = [curve.tables(512, spread).walk[-1].mean() for spread in (512, 4096)]
    assert walks[0] < walks[1]


@pytest.mark.parametrize("engine", [SIMPY, COMPILED])
def test_measured_tables_rule_a_run(engine: str) -> None:
    """Reads again and again over few pages are as without exits; a first touch never is."""
    phases = [{"do": "write"}, {"do": "read", "order": "random"}]
    plan = plan_of(measured_with_exits(), phases)
    assert hits_of(simulate(plan, engine=engine)) == {"hits": 400 * 512}
    in_sequence = plan_of(measured_with_exits(), [{"do": "write"}, {"do": "read"}])
    few = hits_of(simulate(in_sequence, engine=engine))["hits"]
    one, two = (measured_with_exits().tables(512).large[n].mean() for n in (1, 2))
    assert one * 512 <= few <= two * 512, "one exit or two were among the last accesses"


def test_a_clock_can_be_added_to_hits_alone() -> None:
    shifted = measured_with_exits().each(lambda d: Constant(d.mean() + 20), walks=False)
    assert shifted.large[0].mean() == 120
    assert shifted.with_exits[0].large[0].mean() == 420
    assert shifted.walk == measured_with_exits().walk
    assert shifted.facts() != measured_with_exits().facts()
