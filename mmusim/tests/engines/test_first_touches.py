"""First touches of pages: by the memory gone through before, to the nanosecond, on both engines."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mmusim.calibration.fault_costs import clock_ns
from mmusim.calibration.first_touches import first_touches
from mmusim.calibration.samples import Samples, load_samples
from mmusim.config.host import shipped_profiles
from mmusim.config.measured import Curve
from mmusim.costs.distributions import Constant, Shifted
from mmusim.costs.hits import NO_EXITS, HitCurve, Measured
from mmusim.engine import simulate
from mmusim.engine.choice import COMPILED, SIMPY
from mmusim.plan.make import Plan, make_plan
from mmusim.tests.support.places import ROOT
from mmusim.tests.support.settings import setting
from mmusim.trace.records import Trace
from mmusim.vocabulary import COSTS

NO_COSTS: dict[str, Any] = dict.fromkeys(COSTS, "0ns")
ENGINES = pytest.mark.parametrize("engine", [SIMPY, COMPILED])
QUARTER: dict[str, Any] = {"do": "read", "pages": "25%", "order": "random"}


def ns(*values: float) -> tuple[Constant, ...]:
    return tuple(Constant(value) for value in values)


def curve(*, first: bool = True) -> HitCurve:
    """Hits of 100 ns, 400 with exits; first touches of 50 over 2 MiB, 70 over 8, 300 with exits."""
    sizes, none = (64, 1 << 15), ns(0, 0)
    own = HitCurve(
        (512, 2048), ns(50, 70), none, 12.0,
        (Measured((512, 2048), (0.3, 0.3), ns(300, 300), none),),
    )  # fmt: skip
    displaced = Measured(sizes, (0.3, 0.3), ns(400, 400), none)
    return HitCurve(sizes, ns(100, 100), none, 12.0, (displaced,), own if first else None)


def plan_of(phases: list[dict[str, Any]], *, memory: str = "2MiB", first: bool = True) -> Plan:
    made = setting(phases, vcpus=1, memory=memory, costs=NO_COSTS, host={"variance": "none"})
    return replace(make_plan(made, "eager-drop", 1), curve=curve(first=first))


def hits_of(trace: Trace) -> int:
    return trace.phases[-1].ledger["hits"]


@ENGINES
def test_a_first_touch_goes_by_the_memory_and_not_by_the_pages_of_the_pass(engine: str) -> None:
    for memory, pages, each in (("2MiB", 128, 50), ("4MiB", 256, 60), ("8MiB", 512, 70)):
        phases = [{"do": "write"}, QUARTER]
        assert hits_of(simulate(plan_of(phases, memory=memory), engine=engine)) == each * pages
        none = simulate(plan_of(phases, memory=memory, first=False), engine=engine)
        assert hits_of(none) == 400 * pages, "negative control: as with the most exits"
    in_sequence = plan_of([{"do": "write"}, QUARTER | {"order": "sequential"}])
    assert hits_of(simulate(in_sequence, engine=engine)) == 50 * 128


@ENGINES
def test_exits_before_a_pass_do_not_count(engine: str) -> None:
    """512 faults, and then a pass without."""
    phases = [{"do": "enable-logging"}, {"do": "write"}, {"do": "read"}]
    assert hits_of(simulate(plan_of(phases), engine=engine)) == 50 * 512
    before = simulate(plan_of(phases, first=False), engine=engine)
    assert hits_of(before) > 300 * 512, "negative control: they do without tables of first touches"


@ENGINES
def test_exits_of_the_pass_count(engine: str) -> None:
    """A write in twenty faults, and hits of later blocks take longer."""
    touch = {"do": "touch", "writes": "5%", "pages": "100%", "order": "random"}
    phases = [{"do": "write"}, {"do": "enable-logging"}, {"do": "write"}, {"do": "get-dirty-log"}]
    trace = simulate(plan_of([*phases, touch], memory="8MiB"), engine=engine)
    hits = trace.phases[-1].ledger["hits"]
    assert 70 * 2048 < hits < 300 * 2048
    few = simulate(plan_of([*phases, touch | {"writes": "1%"}], memory="8MiB"), engine=engine)
    assert few.phases[-1].ledger["hits"] < hits


def test_engines_agree_with_first_touches_at_every_length_of_runs() -> None:
    touch = {"do": "touch", "writes": "7%", "pages": "60%", "order": "random"}
    phases = [{"do": "write"}, {"do": "enable-logging"}, touch, {"do": "get-dirty-log"}, touch]
    plan = plan_of(phases, memory="8MiB")
    one = simulate(plan, engine=SIMPY)
    assert one == simulate(plan, engine=COMPILED)
    assert one == simulate(plan, engine=COMPILED, run_limit=1)
    assert one != simulate(replace(plan, curve=curve(first=False)), engine=COMPILED)


def test_who_touches_pages_again_remembers_exits_and_so_do_laps() -> None:
    gfns = np.random.default_rng(1).permutation(np.repeat(np.arange(512), 2))
    again = curve().tables_of(gfns, 512)
    assert not again.forgets
    assert again.large[0].mean() == 75, "half of the accesses are first touches"
    once = curve().tables_of(np.arange(512), 512)
    assert once.forgets
    lap = curve().tables_of(np.arange(512))
    assert not lap.forgets
    assert lap.large[0].mean() == 100, "in sequence, as without tables of first touches"


def test_a_curve_changes_and_is_told_with_its_first_touches() -> None:
    shifted = curve().each(lambda d: Shifted(20.0, d), walks=False)
    assert shifted.first is not None
    assert shifted.first.large[0].mean() == 70
    assert shifted.first.with_exits[0].large[0].mean() == 320
    assert curve().facts() != curve(first=False).facts()


def probed(*, large_beside: bool, few: bool = False) -> Samples:
    """Passes over 24, 96 and 384 MiB: 10 ns more for each size, in both orders."""
    samples = Samples()
    samples.add("clock", np.full(8, 20.0))

    def add(name: str, value: float) -> None:
        samples.add(name, np.full(400, value + 20.0))

    for order in ("random", "sequential"):
        for step, mib in enumerate((24, 96, 384)):
            more = 10.0 * step
            add(f"hit/2M/{order}/{mib}/alone/read", 30 + more)
            add(f"hit/4K/{order}/{mib}/alone/read", 60 + more)
            add(f"hit/4K/{order}/{mib}/beside/read", 100 + 10 * more)
            if few:
                add(f"hit/4K/{order}/{mib}/few/read", 90 + 5 * more)
                add(f"hit/2M/random/{mib}/few/read", 70 + more)
            if large_beside:
                add(f"hit/2M/{order}/{mib}/beside/read", 90 + more)
    return samples


def curve_of(samples: Samples) -> HitCurve:
    tables = first_touches(samples)
    plain = [table | {"first": False} for table in tables if "exits" not in table]
    found = Curve.model_validate({"displaces": 1, "tables": [*plain, *tables]}).of("random")
    assert found is not None
    assert found.first is not None
    return found.first


def test_tables_of_first_touches_come_from_passes_that_touch_each_page_once() -> None:
    known = curve_of(probed(large_beside=True))
    assert known.pages == tuple(mib * 256 for mib in (24, 96, 384))
    assert [d.mean() for d in known.large] == pytest.approx([30, 40, 50], abs=0.2)
    assert [d.mean() for d in known.walk] == pytest.approx([30, 30, 30], abs=1)
    (beside,) = known.with_exits
    assert beside.shares == (0.3, 0.3, 0.3)
    assert [d.mean() for d in beside.large] == pytest.approx([90, 100, 110], abs=0.2)


def test_passes_with_few_exits_have_tables_of_their_own() -> None:
    """They were not interpolated. Control: what was measured with more exits stays."""
    without, known = (curve_of(probed(large_beside=True, few=few)) for few in (False, True))
    few, more = known.with_exits
    assert (few.shares, more.shares) == ((0.02,) * 3, (0.3,) * 3)
    assert [d.mean() for d in few.large] == pytest.approx([70, 80, 90], abs=0.2)
    assert [d.mean() for d in few.walk] == pytest.approx([20, 60, 100], abs=1)
    assert (more,) == without.with_exits
    tables = first_touches(probed(large_beside=True, few=True))
    small = [t for t in tables if t["order"] == "sequential" and t.get("exits") == "2%"]
    assert not small, "through 2 MiB mappings, only random reads are measured so"


def test_where_large_mappings_were_not_measured_beside_exits_caches_hold_nothing() -> None:
    (beside,) = curve_of(probed(large_beside=False)).with_exits
    assert [d.mean() for d in beside.large] == pytest.approx([100, 100, 100], abs=0.2)
    slow = probed(large_beside=False)
    slow.arrays["hit/2M/random/384/alone/read"] = [np.full(400, 270.0)]
    (beside,) = curve_of(slow).with_exits
    assert beside.large[-1].mean() == pytest.approx(250, abs=0.2), "exits do not shorten a hit"


def test_a_machine_tells_what_reads_take_beside_few_exits() -> None:
    """Five virtual machines. Hits at 2 % of exits lie between those at none and at 30 %; the model
    interpolated them well through 2 MiB mappings, and not through small ones over few pages.
    """
    known = curve_of(load_samples(ROOT / "mmusim/tests/data/hits_beside_few_exits.npz"))
    few, more = known.with_exits
    for none, some, many in zip(known.large, few.large, more.large, strict=True):
        assert none.mean() < some.mean() < many.mean() + 10
    part = math.log(0.02 / NO_EXITS) / math.log(0.3 / NO_EXITS)
    off = []
    for number in range(3):
        ends = [[one.large[number].mean(), one.walk[number].mean()] for one in (known, more)]
        guess = [low + part * (high - low) for low, high in zip(*ends, strict=True)]
        found = few.large[number].mean(), few.walk[number].mean()
        off.append((guess[0] / found[0], sum(guess) / sum(found)))
    assert [ratio for ratio, _ in off] == pytest.approx([1] * 3, abs=0.1)
    assert off[0][1] > 1.3


def test_a_machine_tells_what_large_mappings_take_beside_exits() -> None:
    """Six virtual machines of another host of the same processor and kernel, on which 1.8 other
    processors were busy. The profile that was measured without these passes assumes half as much.
    Tables without exits stay: the control.
    """
    known = load_samples(shipped_profiles()["emerald-rapids-pvm-2"].with_suffix(".samples.npz"))
    other = load_samples(ROOT / "mmusim/tests/data/large_hits_beside_exits.npz")
    before, clocks = curve_of(known), clock_ns(known) - clock_ns(other)
    for mib in (24, 96, 384):
        name = f"hit/2M/random/{mib}/beside/read"
        assert name not in known.arrays
        known.arrays[name] = [ns + clocks for ns in other.arrays[name]]
        assert len(known.arrays[name]) == 6
        assert all(np.median(ns) - clock_ns(other) > 200 for ns in other.arrays[name])
    after = curve_of(known)
    assert after.large == before.large
    medians = [
        [round(float(d.quantile(np.array(0.5)))) for d in curve.with_exits[0].large]
        for curve in (before, after)
    ]
    assert medians == [[138, 138, 143], [235, 256, 279]]


def test_without_the_passes_there_are_no_tables() -> None:
    assert first_touches(Samples()) == []
    one = probed(large_beside=True)
    for name in [name for name in one.arrays if "/96/" in name or "/384/" in name]:
        del one.arrays[name]
    assert first_touches(one) == [], "two sizes at least"
