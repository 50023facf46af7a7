"""The smallest downtime limit at which pre-copy ends, if reading the log takes time.

A guest dirties D bytes a second, the network carries B, a sync takes x. If each round sends all
that is left, a round that sends F bytes takes F / B + x, and D (F / B + x) bytes become dirty. So
rounds go to F = D x B / (B - D). QEMU measures its bandwidth over 100 ms or more. Over whole rounds
that is F / (F / B + x) = D, so the migration ends if F < D y: for a downtime limit
y > x B / (B - D). Chuang Xu derived that, and a second limit for a window with one sync in it, on
qemu-devel (17 December 2025).

The premise is that a round sends everything. QEMU looks at what is left every 50 ms and syncs as
soon as it is below the threshold. So a round whose F takes longer than that leaves L, just below
the threshold, and L + F after the sync: above it, whatever the limit.
"""

from __future__ import annotations

from functools import cache

import pytest

from mmusim.base.units import NS, PAGE
from mmusim.engine import simulate
from mmusim.plan.make import make_plan
from mmusim.tests.support.settings import CONSTANT, setting
from mmusim.trace.records import MigrationTrace

B, D = 15e6, 10e6
PAGES = 32 << 8
ON_WIRE = PAGE / (PAGE + 8)  # bytes of pages in bytes of the network


def over_rounds(x: float, b: float = B, d: float = D) -> float:
    """The smallest limit if the window covers whole rounds, in the unit of x."""
    return x * b / (b - d)


def over_a_window(x: float, b: float = B, d: float = D) -> float:
    """The smallest limit if a window of 100 ms has one sync of x ms in it, in ms."""
    return 100 * d * x / ((b - d) * (100 - x))


def test_the_published_limits_follow_from_the_two_forms() -> None:
    """B = 15 GB/s; the smaller of the two limits, and the largest D for a limit of 150 ms."""
    assert min(over_rounds(73), over_a_window(73)) == pytest.approx(219, abs=0.5)
    assert min(over_rounds(12), over_a_window(12)) == pytest.approx(27.2, abs=0.1)
    assert over_a_window(73, d=5.35e6) == pytest.approx(150, rel=0.01)
    assert over_a_window(12, d=13.75e6) == pytest.approx(150, rel=0.01)


@cache
def migrated(sync_ms: float, limit_ms: float) -> MigrationTrace:
    """A thousandth of the published rates; a sweep dirties D whatever the time of day."""
    costs = CONSTANT | {"c_sync_word": f"{round(sync_ms * 1e6 / (PAGES / 64))}ns"}
    made = setting(
        [{"do": "migrate", "workload": "it"}], vcpus=1, memory="32MiB",
        vm={"kernel": "linux-6.13"}, workloads={"it": {"pattern": "stress", "rate": "10MB/s"}},
        driver={"migration": {
            "bandwidth": "15MB/s", "max-bandwidth": "0B/s", "bandwidth_cv": "0%",
            "downtime-limit": f"{limit_ms}ms", "max_rounds": 40,
        }},
        host={"profile": "skylake-2021", "variance": "none", "costs": costs},
        policies={"baseline": "linux-6.13+pml", "compare": ["linux-6.13"]},
    )  # fmt: skip
    found = simulate(make_plan(made, "linux-6.13+pml", 1)).phases[0].migration
    assert found is not None
    return found


def test_rounds_that_send_everything_go_to_the_fixed_point() -> None:
    x, last = 0.012, migrated(12, 20).rounds[-6:]
    fixed = D * x * B * ON_WIRE / (B * ON_WIRE - D)
    for one in last:
        assert one.sent_pages * PAGE == pytest.approx(fixed, rel=0.03)
        assert (one.end_ns - one.start_ns) / NS["s"] == pytest.approx(
            fixed / (B * ON_WIRE) + x, rel=0.03
        )
        assert one.bandwidth == pytest.approx(D / ON_WIRE, rel=0.03), "and not B"


@pytest.mark.parametrize(("share", "outcome"), [(0.95, "did-not-converge"), (1.1, "completed")])
def test_the_limit_over_whole_rounds_decides(share: float, outcome: str) -> None:
    """And the smaller one, for a window with one sync in it, does not: rounds are shorter."""
    smallest = over_rounds(12, B * ON_WIRE)
    assert migrated(12, round(share * smallest, 2)).outcome == outcome
    assert over_a_window(12) < 0.8 * smallest


def test_a_round_that_leaves_something_never_comes_below_the_threshold() -> None:
    """A limit of 260 ms is above 219, and the migration goes on, because its premise fails."""
    trace = migrated(73, 260)
    assert trace.outcome == "did-not-converge"
    x = 0.073
    fixed = D * x * B * ON_WIRE / (B * ON_WIRE - D)
    before, last = trace.rounds[-2:]
    assert last.sent_pages * PAGE == pytest.approx(fixed, rel=0.05)
    left = before.dirty_pages - last.sent_pages  # below the threshold, and then F on top
    assert 0 < left * PAGE < 0.26 * last.bandwidth < last.dirty_pages * PAGE
