"""Access patterns: which pages, in which order, how many, and what share are writes."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mmusim.base.units import parse_fraction
from mmusim.costs.random_streams import stream_key, uniforms
from mmusim.workload.base import Uniforms
from mmusim.workload.page_pass import PagePass, permutation
from mmusim.workload.reads_beside_writes import ReadsBesideWrites

BASE = 1 << 20


def numbers(seed: int) -> Uniforms:
    """Random numbers as a plan gives them: by purpose and index."""
    return lambda purpose, first, count: uniforms(stream_key(seed, purpose), first, count)


def refuse(purpose: str, first: int, count: int) -> np.ndarray:
    raise AssertionError(f"drew {purpose!r} although the order is not random")


def shuffled_by_the_recorder(n: int) -> list[int]:
    """Fisher-Yates from the top by Marsaglia's xorshift64 (13, 7, 17), written down anew."""
    state, a = 88172645463325252, [*range(n)]
    for last in reversed(range(1, n)):
        state = (state ^ (state * 2**13)) % 2**64
        state = state ^ (state // 2**7)
        state = (state ^ (state * 2**17)) % 2**64
        pick = state % (last + 1)
        a[last], a[pick] = a[pick], a[last]
    return a


# The page pass.


Order = Literal["sequential", "permuted", "random"]


@pytest.mark.parametrize("write", [False, True])
def test_a_sequential_pass_goes_up_through_every_page(write: bool) -> None:
    got = PagePass(writes=write).accesses(BASE, 1024, refuse)

    assert got.gfn.tolist() == list(range(BASE, BASE + 1024))
    assert got.write.tolist() == [write] * 1024
    assert got.write.dtype == np.bool_


@pytest.mark.parametrize("pages", [1, 2, 3, 512, 1000, 4096])
def test_the_permuted_pass_is_the_recorders_order(pages: int) -> None:
    got = PagePass(writes=True, order="permuted").accesses(BASE, pages, refuse)

    assert (got.gfn - BASE).tolist() == shuffled_by_the_recorder(pages)


def test_the_recorders_order_is_neither_sorted_nor_its_own_inverse() -> None:
    """Negative control: swapping by position or by value would not be the same."""
    order = permutation(512)

    assert order.tolist() != sorted(order.tolist())
    assert np.argsort(order).tolist() != order.tolist()
    with pytest.raises(ValueError, match="read-only"):
        order[0] = 1


@settings(deadline=None)
@given(st.integers(0, 1 << 32), st.integers(1, 600))
def test_a_random_pass_is_a_permutation(seed: int, pages: int) -> None:
    got = PagePass(writes=False, order="random").accesses(BASE, pages, numbers(seed))

    assert sorted(got.gfn.tolist()) == list(range(BASE, BASE + pages))


def test_a_random_pass_differs_by_seed_and_repeats_with_it() -> None:
    make = partial(PagePass(writes=False, order="random").accesses, 0, 512)

    assert make(numbers(1)).gfn.tolist() == make(numbers(1)).gfn.tolist()
    assert make(numbers(1)).gfn.tolist() != make(numbers(2)).gfn.tolist()


def test_every_page_is_as_likely_to_be_first() -> None:
    firsts = [
        PagePass(writes=False, order="random").accesses(0, 4, numbers(seed)).gfn[0]
        for seed in range(4000)
    ]
    counts = np.bincount(firsts, minlength=4)

    assert np.all(abs(counts - 1000) < 5 * math.sqrt(4000 * 0.25 * 0.75))


@settings(deadline=None)
@given(st.integers(0, 100), st.integers(0, 1 << 24))
def test_a_pass_over_n_percent_has_pages_times_n_over_100_rounded_down(
    percent: int, pages: int
) -> None:
    assert PagePass(writes=True, pages=percent / 100).length(pages) == pages * percent // 100


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 1 << 24))
def test_a_share_is_good_to_a_ten_thousandth_of_a_percent(millionths: int, pages: int) -> None:
    share = parse_fraction(f"{millionths // 10_000}.{millionths % 10_000:04d}%")

    assert PagePass(writes=True, pages=share).length(pages) == pages * millionths // 10**6


def test_truncating_the_float_product_would_be_one_page_short() -> None:
    """Negative control: 0.29 * 100 is 28.999999999999996."""
    assert int(0.29 * 100) == 28
    assert PagePass(writes=True, pages=0.29).length(100) == 29


@pytest.mark.parametrize("order", ["sequential", "permuted", "random"])
def test_a_partial_pass_is_the_beginning_of_the_whole_one(order: Order) -> None:
    whole, part = (
        PagePass(writes=True, order=order, pages=share).accesses(BASE, 1000, numbers(3))
        for share in (1.0, 0.37)
    )

    assert part.gfn.tolist() == whole.gfn[:370].tolist()
    assert len(part.write) == 370


@pytest.mark.parametrize("order", ["sequential", "permuted", "random"])
def test_a_pass_has_as_many_accesses_as_it_says(order: Order) -> None:
    for share in (0.0, 0.001, 0.5, 1.0):
        made = PagePass(writes=True, order=order, pages=share)

        assert len(made.accesses(0, 777, numbers(1)).gfn) == made.length(777)


# Reads beside writes.


def mix(**given_: Any) -> ReadsBesideWrites:
    return ReadsBesideWrites(pattern="reads-beside-writes", **given_)


PAGES = 64 * 512
HALF = mix(accesses_per_page=2.0, writes="20%", written_regions="50%")


@pytest.mark.parametrize(
    ("per_page", "pages", "length"), [(4.0, 512, 2048), (0.5, 512, 256), (1e-4, 512, 1)]
)
def test_there_are_so_many_accesses_a_page_and_at_least_one(
    per_page: float, pages: int, length: int
) -> None:
    made = mix(accesses_per_page=per_page)

    assert made.length(pages) == length
    assert len(made.accesses(0, pages, numbers(1)).gfn) == length


@settings(deadline=None)
@given(st.integers(0, 1 << 32), st.integers(0, 100), st.integers(1, 100))
def test_accesses_stay_in_the_vcpus_part_and_writes_in_written_regions(
    seed: int, writes: int, written: int
) -> None:
    made = mix(accesses_per_page=0.1, writes=f"{writes}%", written_regions=f"{written}%")
    got = made.accesses(BASE, 10 * 512, numbers(seed))
    hot = max(1, round(10 * written / 100)) * 512

    assert np.all((got.gfn >= BASE) & (got.gfn < BASE + 10 * 512))
    assert np.all(got.gfn[got.write] < BASE + hot)


def test_reads_are_not_confined_to_written_regions() -> None:
    """Negative control for the theorem above."""
    got = HALF.accesses(BASE, PAGES, numbers(1))

    assert np.any(got.gfn[~got.write] >= BASE + PAGES // 2)
    assert np.all(got.gfn[got.write] < BASE + PAGES // 2)


@pytest.mark.parametrize("percent", [0, 1, 20, 99, 100])
def test_the_share_of_writes_is_right_within_its_binomial_error(percent: int) -> None:
    got = mix(accesses_per_page=2.0, writes=f"{percent}%").accesses(0, PAGES, numbers(9))
    p, n = percent / 100, 2 * PAGES

    assert abs(got.write.mean() - p) <= 4 * math.sqrt(p * (1 - p) / n)


def test_another_share_of_writes_would_be_noticed() -> None:
    """Negative control: 21 % is outside the error of 20 %."""
    got = mix(accesses_per_page=2.0, writes="21%").accesses(0, PAGES, numbers(9))

    assert abs(got.write.mean() - 0.2) > 4 * math.sqrt(0.2 * 0.8 / (2 * PAGES))


def test_reads_are_uniform_over_regions_and_writes_over_written_ones() -> None:
    got = HALF.accesses(0, PAGES, numbers(2))
    reads = np.bincount(got.gfn[~got.write] >> 9, minlength=64)
    writes = np.bincount(got.gfn[got.write] >> 9, minlength=64)

    for counts in (reads, writes[:32]):
        expected = counts.sum() / len(counts)
        chi2 = float(((counts - expected) ** 2 / expected).sum())
        freedom = len(counts) - 1
        assert abs(chi2 - freedom) < 5 * math.sqrt(2 * freedom)
    assert not writes[32:].any()


def test_where_an_access_goes_does_not_depend_on_the_share_of_writes() -> None:
    """Common random numbers: changing one parameter moves no other draw."""
    few, many = (
        mix(accesses_per_page=1.0, writes=share).accesses(0, PAGES, numbers(4))
        for share in ("1%", "50%")
    )

    assert few.gfn.tolist() == many.gfn.tolist()
    assert np.all(many.write[few.write])


def test_accesses_differ_by_seed_and_repeat_with_it() -> None:
    one, again, other = (HALF.accesses(0, PAGES, numbers(seed)) for seed in (1, 1, 2))

    assert one.gfn.tolist() == again.gfn.tolist()
    assert one.write.tolist() == again.write.tolist()
    assert one.gfn.tolist() != other.gfn.tolist()


def test_the_largest_random_number_stays_in_the_part(monkeypatch: pytest.MonkeyPatch) -> None:
    last = np.array([(1 << 64) - 1], np.uint64)
    monkeypatch.setattr(
        "mmusim.costs.random_streams.words", lambda key, first, count: np.repeat(last, count)
    )
    got = mix(accesses_per_page=1.0).accesses(BASE, 512, numbers(1))

    assert np.all(got.gfn < BASE + 512)


def test_some_region_may_be_written() -> None:
    """To write nowhere is to write nothing: `writes`, not `written_regions`, may be 0 %."""
    with pytest.raises(ValidationError, match=r"written_regions\n  Input should be greater than 0"):
        mix(writes="50%", written_regions="0%")

    assert not mix(writes="0%").accesses(0, 512, numbers(1)).write.any()
