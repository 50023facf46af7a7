"""What a vCPU loses within sliding windows: exact, in bounded memory, and equal to the ledger."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmusim.base.histogram import Histogram
from mmusim.engine import simulate
from mmusim.engine.state.vm import Vm
from mmusim.plan.make import Plan, make_plan
from mmusim.policies import Policy
from mmusim.tests.support.settings import BusyRun, busy_setting
from mmusim.trace import stall_windows as utilisation
from mmusim.trace.records import Probe, Trace
from mmusim.trace.stall_windows import (
    WINDOWS,
    Stalls,
    keep_stall,
    look_at_last_windows,
    look_at_windows,
    worst_of,
)
from mmusim.vocabulary.causes import CAUSES, IDLE_CAUSES, LOST_CAUSES, USEFUL_CAUSES

Plans = Callable[[Policy | str, int], Plan]
Stretches = list[tuple[int, int]]


def worst(stalls: Stretches, begin: int, end: int) -> Mapping[int, int]:
    seen = Stalls(begin, Histogram())
    for start, stop in stalls:
        seen.add(start, stop)
    return seen.close(end)


def on_a_grid(stalls: Stretches, begin: int, end: int, window: int) -> int | None:
    """The definition: look at every window there is, a nanosecond apart."""
    lost = np.zeros(end - begin, np.int64)
    for start, stop in stalls:
        lost[start - begin : stop - begin] = 1
    if window > end - begin:
        return None
    before = np.concatenate([[0], np.cumsum(lost)])
    return int((before[window:] - before[:-window]).max())


@st.composite
def histories(draw: st.DrawFn) -> tuple[Stretches, int, int]:
    begin = now = draw(st.integers(0, 50))
    stalls = []
    for _ in range(draw(st.integers(0, 40))):
        start = now + draw(st.sampled_from([0, 0, 1, 2, 5, 17, 40]))
        now = start + draw(st.sampled_from([1, 1, 3, 7, 30]))
        stalls.append((start, now))
    return stalls, begin, now + draw(st.sampled_from([0, 0, 3, 60]))


@given(histories(), st.sampled_from([2, 6, 1 << 14]))
@settings(deadline=None, max_examples=300)
def test_the_worst_window_is_that_of_a_search_over_every_nanosecond(
    history: tuple[Stretches, int, int], block: int
) -> None:
    stalls, begin, end = history
    windows = (1, 4, 15, 64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utilisation, "WINDOWS", windows)
        patch.setattr(utilisation, "_BLOCK", block)
        found = worst(stalls, begin, end)
    by_search = {window: on_a_grid(stalls, begin, end, window) for window in windows}
    assert found == {window: lost for window, lost in by_search.items() if lost is not None}


@pytest.mark.parametrize(
    ("stalls", "lost"),
    [
        ([(0, 30)], 30),  # seen by the window that begins with it: an earlier one does not exist
        ([(970, 1000)], 30),  # by the window that ends with it: a later one does not exist
        ([(200, 230), (290, 310), (420, 425)], 50),  # two of three within 100 ns or more
        ([(200, 350)], 100),  # longer than the window
        ([], 0),
    ],
)
def test_worst_windows_by_hand(
    stalls: Stretches, lost: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(utilisation, "WINDOWS", (110,) if len(stalls) == 3 else (100,))
    assert list(worst(stalls, 0, 1000).values()) == [lost]


def test_windows_side_by_side_are_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: a stall across the edge of two windows is halved by them."""
    monkeypatch.setattr(utilisation, "WINDOWS", (100,))
    stalls = [(80, 120)]
    beside = max(on_a_grid(stalls, 0, 200, 200) or 0, 0) // 2
    assert beside == 20
    assert worst(stalls, 0, 200) == {100: 40}


def test_a_window_longer_than_the_run_has_no_figure() -> None:
    assert list(worst([(10, 20)], 0, 999_999)) == [100_000]
    assert list(worst([(10, 20)], 0, 1_000_000)) == [100_000, 1_000_000]


def test_memory_does_not_grow_with_the_run() -> None:
    """A million stalls in ten seconds: those of the last 100 ms are held."""
    seen = Stalls(0, Histogram())
    most = 0
    for number in range(1_000_000):
        seen.add(10_000 * number, 10_000 * number + 2_500)
        most = max(most, len(seen._starts) + len(seen._waiting))
    assert most <= 100_000_000 // 10_000 + (1 << 14) + 1
    assert seen.close(10_000_000_000)[WINDOWS[-1]] == 10_000 * 2_500
    assert seen.lengths.count == 1_000_000


def test_the_worst_of_several_vcpus_is_taken_window_by_window() -> None:
    assert worst_of([{1: 5, 2: 3}, {1: 4, 2: 8, 3: 0}]) == {1: 5, 2: 8, 3: 0}


def test_every_cause_is_useful_lost_or_idle() -> None:
    assert sorted((*USEFUL_CAUSES, *LOST_CAUSES, *IDLE_CAUSES)) == sorted(CAUSES)


# --- in the engine -------------------------------------------------------------------------------


class Diary(Probe):
    """What each vCPU did, stretch by stretch."""

    def __init__(self) -> None:
        self.of: dict[int, list[tuple[int, int, Mapping[str, int]]]] = defaultdict(list)

    def spent(
        self, cpu: int, start_ns: int, end_ns: int, causes: Mapping[str, int], gfn: int = -1
    ) -> None:
        self.of[cpu].append((start_ns, end_ns, causes))


def lost_time(trace: Trace) -> list[tuple[int, int]]:
    """By the ledger, and by the clock at leaving and entering the guest, phase by phase."""
    return [
        (sum(p.ledger[cause] for cause in LOST_CAUSES), p.stalls.total_ns)
        for p in trace.phases
        if p.guest
    ]


def test_stalls_are_the_lost_causes_of_the_ledger(busy_run: BusyRun) -> None:
    """Two measurements of one time, without a tolerance."""
    times = lost_time(busy_run.trace)
    assert all(by_ledger == by_clock for by_ledger, by_clock in times)
    assert busy_run.policy == "none" or times[-1][0] > 0, "nothing was lost: the test shows nothing"


def test_a_vcpu_that_leaves_unnoticed_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control."""

    def unnoticed(vm: Vm, v: object) -> None:
        v.in_guest = False  # type: ignore[attr-defined]

    monkeypatch.setattr(Vm, "left_guest", unnoticed)
    times = lost_time(simulate(make_plan(busy_setting(), "eager-drop", 4)))
    assert any(by_ledger != by_clock for by_ledger, by_clock in times)


@pytest.mark.parametrize(
    "policy_name", ["eager-drop", "lazy-drop", "dirty-ring", "eager_page_split"]
)
def test_the_worst_windows_of_a_run_are_those_of_its_diary(
    plans: Plans, policy_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every window, the other way round: from what a probe saw, by the definition."""
    windows = (500, 3_000, 20_000)
    monkeypatch.setattr(utilisation, "WINDOWS", windows)
    diary = Diary()
    trace = simulate(plans(policy_name, 5), probe=diary)
    expected: dict[int, int] = {}
    phase = trace.phases[trace.measured]
    for slices in diary.of.values():
        own = [s for s in slices if s[0] >= phase.start_ns]
        stalls = [(start, end) for start, end, causes in own if set(causes) <= set(LOST_CAUSES)]
        for window in windows:
            lost = on_a_grid(stalls, own[0][0], own[-1][1], window)
            if lost is not None:
                expected[window] = max(expected.get(window, 0), lost)
    assert phase.worst_loss == expected
    assert len(expected) == 3


def in_rows(stalls: list[tuple[int, int]], looks: set[int], end: int, begin: int) -> dict[int, int]:
    """The worst windows as compiled code finds them, which looks after the stalls in `looks`."""
    starts, ends, before = ([0] * (len(stalls) + 1) for _ in range(3))
    most, n, kept, seen = [-1] * len(WINDOWS), 0, 0, begin
    for number, (start, stop) in enumerate([*stalls, (end, end)]):
        if start < stop:
            keep_stall(starts, ends, before, n, start, stop)
            n += 1
        if number in looks or number == len(stalls):
            n = kept = look_at_windows(starts, ends, before, most, n, kept, begin, seen, stop)
            seen = stop
    look_at_last_windows(starts, ends, most, n, begin, end)
    return {w: lost for w, lost in zip(WINDOWS, most, strict=True) if lost >= 0}


SOME_STALLS = st.lists(
    st.tuples(st.integers(0, 40_000_000), st.integers(1, 30_000_000)), max_size=40
)


@given(SOME_STALLS, st.sets(st.integers(0, 40)), st.integers(0, 300_000_000), st.integers(0, 10**9))
def test_one_number_at_a_time_and_many_at_once_give_the_same(
    lengths: list[tuple[int, int]], looks: set[int], rest: int, begin: int
) -> None:
    """The two texts of the worst windows, of SimPy and of compiled code; and a run told later."""
    stalls, now = [], begin
    for gap, length in lengths:
        stalls.append((now + gap, now + gap + length))
        now += gap + length
    found = in_rows(stalls, looks, now + rest, begin)
    assert found == worst(stalls, begin, now + rest)


def test_a_stall_that_one_text_does_not_see_is_noticed() -> None:
    """Negative control."""
    stalls = [(1_000, 40_000), (90_000, 200_000)]
    assert in_rows(stalls, set(), 10**9, 0) == worst(stalls, 0, 10**9)
    assert in_rows(stalls[:1], set(), 10**9, 0) != worst(stalls, 0, 10**9)
