"""Random numbers: functions of (seed, purpose, actor, index), uniform, and fair when rounded."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

import mmusim
from mmusim.costs.distributions import Constant, Gamma, Lognormal
from mmusim.costs.random_streams import (
    BLOCK,
    Draws,
    Pairing,
    Stream,
    costs,
    stream_key,
    uniforms,
    words,
)

COST = Lognormal(1000.0, 0.4)
MASK = (1 << 64) - 1
KEYS = st.integers(0, MASK)


def splitmix64(state: int) -> tuple[int, int]:
    """One step as published (Steele, Lea and Flood 2014; Vigna's splitmix64.c)."""
    state = (state + 0x9E3779B97F4A7C15) & MASK
    z = state
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return state, z ^ (z >> 31)


def test_the_first_words_of_a_stream_are_the_published_ones() -> None:
    assert words(1234567, 0, 2).tolist() == [6457827717110365317, 3203168211198807973]


@settings(deadline=None)
@given(KEYS)
def test_words_are_splitmix64(key: int) -> None:
    state, expected = key, []
    for _ in range(5):
        state, word = splitmix64(state)
        expected.append(word)

    assert words(key, 0, 5).tolist() == expected


@settings(deadline=None)
@given(KEYS, st.integers(0, 1 << 40), st.integers(0, 50), st.integers(0, 50))
def test_a_word_depends_on_its_index_and_not_on_where_reading_began(
    key: int, first: int, skip: int, count: int
) -> None:
    long = words(key, first, skip + count)

    assert words(key, first + skip, count).tolist() == long[skip:].tolist()
    assert len(words(key, first, 0)) == 0


@pytest.mark.parametrize("bits", range(0, 64, 8), ids=lambda bits: f"bits {bits}-{bits + 7}")
def test_every_byte_of_a_word_is_uniform(bits: int) -> None:
    drawn = words(stream_key("uniform"), 0, 1 << 16)
    counts = np.bincount((drawn >> np.uint64(bits) & np.uint64(255)).astype(int), minlength=256)

    assert scipy.stats.chisquare(counts).pvalue > 1e-4


def test_a_counter_without_mixing_is_not_uniform() -> None:
    """Negative control: chi-square sees both a trend and too even a spread."""
    counts = np.bincount(np.arange(1 << 16) >> 9, minlength=256)

    assert scipy.stats.chisquare(counts).pvalue < 1e-4


def test_uniform_numbers_are_uniform_between_zero_and_one() -> None:
    u = uniforms(stream_key("u"), 0, 50_000)

    assert u.min() > 0
    assert u.max() < 1
    assert scipy.stats.kstest(u, "uniform").pvalue > 1e-4
    assert scipy.stats.kstest(u**1.05, "uniform").pvalue < 1e-4  # negative control


def test_no_word_gives_exactly_zero_or_one(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = np.array([0, MASK], np.uint64)
    monkeypatch.setattr("mmusim.costs.random_streams.words", lambda key, first, count: ends)
    low, high = uniforms(0, 0, 2)

    assert 0 < low < high < 1


def test_neighbouring_draws_are_uncorrelated() -> None:
    u = uniforms(stream_key("serial"), 0, 50_001)

    for lag in (1, 2, 64, BLOCK):
        assert abs(np.corrcoef(u[:-lag], u[lag:])[0, 1]) < 5 / math.sqrt(len(u) - lag)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((1, "c_exit", 0), (1, "c_entry", 0)),
        ((1, "c_exit", 0), (1, "c_exit", 1)),
        ((1, "c_exit", 0), (1, "c_exit", -1)),
        ((1, "c_exit", 0), (2, "c_exit", 0)),
        ((1, "c_exit", 0), (1 << 32, "c_exit", 0)),
        ((11, "c_exit", 0), (1, "c_exit", 10)),
    ],
    ids=["purposes", "actors", "guest and host", "seeds", "far seeds", "digits moved"],
)
def test_other_purposes_actors_and_seeds_are_other_numbers(
    one: tuple[int, str, int], other: tuple[int, str, int]
) -> None:
    n = 20_000
    a, b = (
        Draws(seed).stream(purpose, actor, COST).slice(0, n)
        for seed, purpose, actor in (one, other)
    )

    assert abs(float(scipy.stats.spearmanr(a, b).statistic)) < 5 / math.sqrt(n)


def test_one_stream_is_correlated_with_itself() -> None:
    """Negative control: the statistic above is 1 for two costs drawn from one stream."""
    draws = Draws(1)
    a = draws.stream("c_exit", 0, COST).slice(0, 20_000)
    b = draws.stream("c_exit", 0, Gamma(50_000.0, 1.0)).slice(0, 20_000)

    assert scipy.stats.spearmanr(a, b).statistic > 0.999


@settings(deadline=None)
@given(st.lists(st.integers(0, 3 * BLOCK), min_size=1, max_size=20), st.integers(0, 5))
def test_a_draw_is_a_function_of_seed_purpose_actor_and_index_only(
    order: list[int], actor: int
) -> None:
    """Asked singly in any order, as a slice, or from a fresh set of streams: one answer."""
    stream = Draws(7).stream("c_exit", actor, COST)
    singly = [stream.at(i) for i in order]
    whole = Draws(7).stream("c_exit", actor, COST).slice(0, 3 * BLOCK + 1)

    assert singly == whole[order].tolist()
    assert singly == [int(stream.slice(i, 1)[0]) for i in order]
    assert all(type(cost) is int for cost in singly)


def test_asking_for_other_streams_first_changes_nothing() -> None:
    quiet, busy = Draws(7), Draws(7)
    for actor in range(5):
        busy.stream("c_entry", actor, COST).at(100)

    assert busy.stream("c_exit", 0, COST).at(3) == quiet.stream("c_exit", 0, COST).at(3)
    assert busy.key("order", 0) == quiet.key("order", 0)


@pytest.mark.parametrize("index", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK, (1 << 40) + 3])
def test_block_boundaries_do_not_show(index: int) -> None:
    stream = Stream(COST, 99)

    assert stream.at(index) == costs(COST, 99, index, 1)[0]
    assert [stream.at(i) for i in range(index, index + 3)] == costs(COST, 99, index, 3).tolist()


def test_keys_are_the_same_in_every_process() -> None:
    """`hash` would not be: it is salted (negative control on the same name)."""
    name, root = (1, "c_exit", 0), str(Path(mmusim.__file__).parents[1])
    program = (
        "from mmusim.costs.random_streams import stream_key\n"
        f"print(stream_key(*{name!r}), hash('c_exit'))"
    )
    answers = {
        tuple(
            subprocess.run(
                [sys.executable, "-c", program],
                env={"PYTHONHASHSEED": salt, "PYTHONPATH": root},
                capture_output=True,
                text=True,
                check=True,
            ).stdout.split()
        )
        for salt in ("1", "2")
    }

    assert {int(key) for key, _ in answers} == {stream_key(*name)}
    assert len({salted for _, salted in answers}) == 2


def test_names_of_streams_do_not_run_into_each_other() -> None:
    names = [(1, "ab", 0), (1, "a", "b", 0), (1, "a", "b0"), (11, "ab", 0), (1, "ab", 10)]
    names += [(1, "ab, 0"), ("1", "ab", 0)]

    assert len({stream_key(*name) for name in names}) == len(names)


@pytest.mark.parametrize("pairing", Pairing)
def test_a_seed_is_its_value_whatever_its_integer_type(pairing: Pairing) -> None:
    seeds: list[Any] = [1, np.int64(1)]
    plain, numpy_ = (Draws(seed, pairing, "none").key("c_exit", 0) for seed in seeds)

    assert plain == numpy_


# Rounding to whole nanoseconds.


@pytest.mark.parametrize("ns", [0.0, 1.0, 43.0, 1e9])
def test_a_whole_constant_is_never_rounded(ns: float) -> None:
    assert set(costs(Constant(ns), 3, 0, 1000).tolist()) == {int(ns)}


def test_a_constant_of_43_and_a_half_is_as_often_43_as_44() -> None:
    drawn = costs(Constant(43.5), 3, 0, 10_000)

    assert set(drawn.tolist()) == {43, 44}
    assert abs(drawn.mean() - 43.5) < 1e-3


@settings(deadline=None)
@given(st.floats(0, 1000), st.integers(0, 1 << 40), st.integers(1, 2000))
def test_the_sum_of_rounded_constants_stays_within_a_few_nanoseconds(
    ns: float, first: int, count: int
) -> None:
    """The golden-ratio sequence has a discrepancy of order log(n)/n (Knuth 6.4, Niederreiter)."""
    drawn = costs(Constant(ns), 3, first, count)

    assert abs(int(drawn.sum()) - ns * count) < 3 + math.log(count)
    assert set(drawn.tolist()) <= {math.floor(ns), math.floor(ns) + 1}


def test_rounding_down_would_lose_half_a_nanosecond_each() -> None:
    """Negative control: without the dither the sum is off by half of the count."""
    assert abs(2000 * math.floor(43.5) - 43.5 * 2000) > 3 + math.log(2000)


def test_rounding_keeps_the_mean_of_short_random_times() -> None:
    """Where a nanosecond matters most: an exponential time of 2.3 ns on the average."""
    drawn, n = costs(Gamma(2.3, 1.0), 5, 0, 200_000), 200_000

    assert abs(drawn.mean() - 2.3) < 4 * drawn.std() / math.sqrt(n)
    assert drawn.min() >= 0
    floored = np.floor(scipy.stats.expon(scale=2.3).ppf(uniforms(5, 0, n)))
    assert abs(floored.mean() - 2.3) > 4 * floored.std() / math.sqrt(n)  # negative control


def test_costs_are_whole_nanoseconds_and_never_negative() -> None:
    drawn = costs(Gamma(5.0, 2.0), 5, 0, 10_000)

    assert drawn.dtype == np.int64
    assert drawn.min() >= 0


# Pairing schemes.


def test_by_access_the_kth_access_of_a_vcpu_costs_the_same_under_every_policy() -> None:
    eager, lazy = (Draws(1, Pairing.BY_ACCESS, policy) for policy in ("eager-drop", "lazy-drop"))
    a, b = eager.stream("c_exit", 2, COST), lazy.stream("c_exit", 2, COST)

    a.at(5)  # one policy pays for an access for which the other does not
    assert [a.at(k) for k in (7, 9)] == [b.at(k) for k in (7, 9)]


def test_by_occurrence_the_nth_payment_costs_the_same_by_whomever() -> None:
    draws, alone = Draws(1, Pairing.BY_OCCURRENCE), Draws(1, Pairing.BY_OCCURRENCE)
    zero, one = (draws.stream("c_exit", actor, COST) for actor in (0, 1))
    paid = [zero.at(17), one.at(3), one.at(3), zero.at(17)]

    only = alone.stream("c_exit", 5, COST)
    assert paid == [only.at(0) for _ in range(4)]
    assert paid == costs(COST, draws.key("c_exit", 0), 0, 4).tolist()
    assert len(set(paid)) > 1


def test_by_occurrence_payments_for_another_purpose_do_not_count() -> None:
    draws, quiet = Draws(1, Pairing.BY_OCCURRENCE), Draws(1, Pairing.BY_OCCURRENCE)
    draws.stream("c_entry", 0, COST).at(0)

    assert draws.stream("c_exit", 0, COST).at(0) == quiet.stream("c_exit", 0, COST).at(0)


@pytest.mark.parametrize("purpose", ["t_hit_2M", "t_walk_4K", "t_pass", "t_think"])
def test_by_occurrence_hits_are_still_counted_per_vcpu(purpose: str) -> None:
    draws = Draws(1, Pairing.BY_OCCURRENCE)
    zero, one = (draws.stream(purpose, actor, COST) for actor in (0, 1))
    by_access = Draws(1).stream(purpose, 0, COST)

    assert [zero.at(k) for k in (4, 2, 2)] == [by_access.at(k) for k in (4, 2, 2)]
    assert zero.slice(0, 50).tolist() != one.slice(0, 50).tolist()


def test_independent_draws_share_nothing_between_policies() -> None:
    n = 20_000
    eager, lazy = (Draws(1, Pairing.INDEPENDENT, policy) for policy in ("eager-drop", "lazy-drop"))
    a, b = (draws.stream("c_exit", 0, COST).slice(0, n) for draws in (eager, lazy))

    assert abs(float(scipy.stats.spearmanr(a, b).statistic)) < 5 / math.sqrt(n)
    assert eager.key("order", 0) != lazy.key("order", 0)


def test_independent_draws_of_one_policy_repeat() -> None:
    """Negative control, and reproducibility: independence is between policies, not calls."""
    once, again = (Draws(1, Pairing.INDEPENDENT, "lazy-drop") for _ in range(2))

    a, b = (draws.stream("c_exit", 0, COST).slice(0, 50) for draws in (once, again))
    assert a.tolist() == b.tolist()


@pytest.mark.parametrize("pairing", [Pairing.BY_ACCESS, Pairing.BY_OCCURRENCE])
def test_paired_draws_do_not_know_the_policy(pairing: Pairing) -> None:
    one, other = Draws(1, pairing, "eager-drop"), Draws(1, pairing, "lazy-drop")

    assert one.key("c_exit", 0) == other.key("c_exit", 0)
