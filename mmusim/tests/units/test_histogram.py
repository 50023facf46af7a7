"""Histograms of times: where bins lie, how wrong a quantile can be, and exact merging."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmusim.base.histogram import BINS, BITS, Histogram, bin_of, bin_start

TIMES = st.one_of(st.integers(0, 300), st.integers(0, 10**6), st.integers(0, 10**13))
LISTS = st.lists(TIMES, min_size=1, max_size=200)


def holding(times: object) -> Histogram:
    made = Histogram()
    made.add(np.array(times, np.int64))
    return made


def contents(h: Histogram) -> tuple[object, ...]:
    return h.counts.tolist(), h.total_ns, h.minimum, h.maximum


def test_times_below_128_ns_have_a_bin_each() -> None:
    assert bin_of(np.arange(128)).tolist() == list(range(128))
    assert bin_of(128) == bin_of(129) == 128
    assert bin_of(130) == 129


def test_bins_are_contiguous_and_begin_at_whole_nanoseconds() -> None:
    """A bin ends where the next begins: its first time is in it, the one before is not."""
    bins = np.arange(1, 40 << BITS)
    start = bin_start(bins)

    assert np.array_equal(start, np.floor(start))
    assert np.array_equal(bin_of(start), bins)
    assert np.array_equal(bin_of(start - 1), bins - 1)


@settings(deadline=None)
@given(LISTS)
def test_a_longer_time_is_never_in_an_earlier_bin(times: list[int]) -> None:
    bins = bin_of(np.sort(np.array(times)))

    assert np.all(np.diff(bins) >= 0)
    assert bins.min() >= 0
    assert bins.max() < BINS


@settings(deadline=None)
@given(TIMES)
def test_a_time_lies_in_its_bin(ns: int) -> None:
    bin_ = bin_of(ns)

    assert bin_start(bin_) <= ns < bin_start(bin_ + 1)


def test_a_bin_of_many_values_is_at_most_a_sixty_fourth_of_them_wide() -> None:
    """The first octave of bins begins at 128 ns with 2 ns each; later ones approach 1/128."""
    start = bin_start(np.arange(128, 40 << BITS))
    share = np.diff(start) / start[:-1]

    assert share.max() == 1 / 64
    assert share[-1] < 1.001 / 128


@settings(deadline=None)
@given(LISTS)
def test_count_sum_minimum_and_maximum_are_exact(times: list[int]) -> None:
    h = holding(times)

    assert (h.count, h.total_ns, h.minimum, h.maximum) == (
        len(times),
        sum(times),
        min(times),
        max(times),
    )


@settings(deadline=None)
@given(LISTS, st.integers(0, 64).map(lambda k: k / 64))
def test_a_quantile_is_off_by_at_most_a_128th_and_a_nanosecond(times: list[int], p: float) -> None:
    exact = float(np.quantile(times, p, method="inverted_cdf"))

    assert abs(holding(times).quantile(p) - exact) <= exact / 128 + 1


@settings(deadline=None)
@given(LISTS)
def test_a_quantile_is_off_by_less_than_its_bin(times: list[int]) -> None:
    """Sharper: half of the width of the bin the exact quantile lies in."""
    h, exact = holding(times), float(np.quantile(times, 0.5, method="inverted_cdf"))
    bin_ = bin_of(exact)
    width = float(bin_start(bin_ + 1) - bin_start(bin_))

    assert abs(h.quantile(0.5) - exact) <= max((width - 1) / 2, 0)


def test_interpolating_between_neighbours_would_break_the_bound() -> None:
    """Negative control: numpy's default quantile answers with a time nobody measured."""
    times = [100, 10**6]

    assert abs(holding(times).quantile(0.5) - np.quantile(times, 0.5)) > 10**6 / 128 + 1


@settings(deadline=None)
@given(LISTS)
def test_the_smallest_and_largest_time_bound_every_quantile(times: list[int]) -> None:
    h = holding(times)
    shares = [0.0, 0.01, 0.25, 0.5, 0.75, 0.99, 1.0]
    read = [h.quantile(p) for p in shares]

    assert read == sorted(read)
    assert read[0] >= h.minimum
    assert read[-1] <= h.maximum


@settings(deadline=None)
@given(st.lists(LISTS, min_size=1, max_size=4))
def test_merging_is_adding_all(parts: list[list[int]]) -> None:
    merged = Histogram()
    for part in parts:
        merged.merge(holding(part))

    assert contents(merged) == contents(holding([ns for part in parts for ns in part]))


@settings(deadline=None)
@given(LISTS, LISTS)
def test_adding_in_two_goes_is_adding_at_once(first: list[int], second: list[int]) -> None:
    h = holding(first)
    h.add(np.array(second))

    assert contents(h) == contents(holding(first + second))


def test_merging_leaves_the_other_alone_and_shares_nothing() -> None:
    one, other = holding([1, 2]), holding([5])
    one.merge(other)
    one.add(np.array([7]))

    assert contents(other) == contents(holding([5]))
    assert contents(one) == contents(holding([1, 2, 5, 7]))


@settings(deadline=None)
@given(LISTS)
def test_merging_with_an_empty_histogram_changes_nothing(times: list[int]) -> None:
    """Its minimum of 0 is not a time that was measured."""
    h, empty = holding(times), Histogram()
    h.merge(Histogram())
    empty.merge(holding(times))

    assert contents(h) == contents(empty) == contents(holding(times))


def test_adding_nothing_changes_nothing() -> None:
    h = holding([5])
    h.add(np.array([], np.int64))

    assert contents(h) == contents(holding([5]))


def test_one_time_more_makes_another_histogram() -> None:
    """Negative control for the equalities above."""
    assert contents(holding([1, 2, 2])) != contents(holding([1, 2]))
    assert contents(holding([1000])) != contents(holding([1001]))  # one bin, exact sums differ
    assert bin_of(1000) == bin_of(1001)


@settings(deadline=None)
@given(LISTS)
def test_the_sparse_form_survives_storage(times: list[int]) -> None:
    h = holding(times)
    stored = json.loads(json.dumps(h.sparse()))

    assert contents(Histogram.from_sparse(stored)) == contents(h)
    assert len(stored["bins"]) == len(stored["counts"]) == len(set(bin_of(times).tolist()))
    assert min(stored["counts"]) > 0


def test_an_empty_histogram_survives_storage() -> None:
    assert contents(Histogram.from_sparse(Histogram().sparse())) == contents(Histogram())


def test_an_empty_histogram_has_no_quantiles() -> None:
    with pytest.raises(ValueError) as caught:
        Histogram().quantile(0.5)

    assert str(caught.value) == "an empty histogram has no quantiles; add times first"


@pytest.mark.parametrize("p", [99.0, 1.01, -1.0, -1e-9, float("nan")])
def test_a_share_outside_zero_to_one_is_refused(p: float) -> None:
    """Above all 99 for 99 %."""
    with pytest.raises(ValueError) as caught:
        holding([1, 2, 3]).quantile(p)

    assert str(caught.value) == f"p = {p} is not a share; give one between 0 and 1"


def test_a_negative_time_is_refused_and_nothing_is_added() -> None:
    h = holding([5])
    with pytest.raises(ValueError) as caught:
        h.add(np.array([7, -1]))

    assert str(caught.value) == "a time of -1 ns is negative; add times of at least 0 ns"
    assert contents(h) == contents(holding([5]))


def test_empty_histograms_share_their_counts_and_nothing_is_added_to_all_of_them() -> None:
    """100,000 scheduled operations have 400,000 of them, and most stay empty."""
    one, other = Histogram(), Histogram()
    assert one.counts is other.counts
    one.add([5, 700])
    other.merge(holding([3]))
    stored = Histogram.from_sparse(one.sparse())
    stored.add([9])
    again = pickle.loads(pickle.dumps(Histogram()))
    again.add([1])
    assert Histogram().count == 0
    assert [h.count for h in (one, other, stored, again)] == [2, 1, 3, 1]
    with pytest.raises(ValueError, match="read-only"):
        Histogram().counts[0] += 1
