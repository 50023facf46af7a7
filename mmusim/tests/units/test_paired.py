"""Paired replications: level, coverage and power on data with known answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest, norm, permutation_test

from mmusim.base.histogram import Histogram
from mmusim.base.units import MOST_SEEDS
from mmusim.comparison.compare import UnlikeRunsError, compare, corrected, shift
from mmusim.metrics.stored import from_record, to_record
from mmusim.stats import (
    cohens_d,
    holm,
    paired_difference,
    seeds_needed,
    sign_flip,
    superiority,
    variance_ratio,
)
from mmusim.stats.outcomes import Answer
from mmusim.stats.shift import critical_value, shift_function
from mmusim.stats.significance import seeds_to_find
from mmusim.stats.studentized import mean_estimate
from mmusim.tests.support.made_up_runs import run, runs

RNG = np.random.default_rng


def at_most(hits: int, of: int, level: float) -> bool:
    """Whether so many hits are what a rate of no more than `level` gives."""
    return bool(binomtest(hits, of, level, alternative="greater").pvalue > 0.001)


def test_the_interval_of_a_difference_covers_and_pairing_is_what_makes_it_narrow() -> None:
    rng = RNG(0)
    hits = wide = 0
    for _ in range(300):
        common = rng.normal(100, 20, 20)
        a, b = common + rng.normal(0, 1, 20), common + rng.normal(3, 1, 20)
        interval = paired_difference(a, b, resamples=499)
        unpaired = paired_difference(a, rng.permutation(b), resamples=499)
        hits += 3 in interval
        wide += unpaired.high - unpaired.low > 5 * (interval.high - interval.low)
    assert binomtest(hits, 300, 0.93).pvalue > 0.001 or hits / 300 > 0.93
    assert wide > 295, "negative control: pairs torn apart"


def test_a_sign_flip_p_value_is_that_of_all_sign_flips() -> None:
    d = RNG(1).normal(0.4, 1, 9)
    signs = 1 - 2 * ((np.arange(2**9)[:, None] >> np.arange(9)) & 1)
    at_least = np.abs(signs @ d) >= abs(d.sum()) - 1e-9
    found = sign_flip(d)
    assert found.exact
    assert found.p == pytest.approx(at_least.mean())


@pytest.mark.parametrize("n", [3, 8, 12])
def test_differences_of_one_sign_have_a_p_value_without_a_search(n: int) -> None:
    d = RNG(2).uniform(1, 2, n)
    by_search = permutation_test(
        (d,), lambda x, axis: x.mean(axis=axis), permutation_type="samples", vectorized=True
    ).pvalue
    assert sign_flip(d).p == pytest.approx(by_search) == 2.0 ** (1 - n)
    assert sign_flip([*d, 0.0, 0.0]).p == sign_flip(d).p, "zeros say nothing"
    assert sign_flip([0.0, 0.0]).p == 1


def test_the_level_of_the_test_holds_and_ignoring_the_pairs_loses_its_power() -> None:
    rng = RNG(3)
    common = rng.lognormal(0, 1, (250, 9))
    a, b = (common * rng.lognormal(0, 0.05, (250, 9)) for _ in range(2))
    false = sum(sign_flip(d).p <= 0.05 for d in b - a)
    assert at_most(false, 250, 0.05)
    found = sum(sign_flip(d).p <= 0.05 for d in 1.1 * b - a)
    torn = sum(sign_flip(d).p <= 0.05 for d in rng.permuted(1.1 * b, axis=1) - a)
    assert found > 180
    assert torn < 40, "negative control"


def test_a_random_sample_of_sign_flips_keeps_the_level_too() -> None:
    d = RNG(4).normal(size=(200, 30))
    found = [sign_flip(x, flips=199) for x in d]
    assert not any(p.exact for p in found)
    assert at_most(sum(p.p <= 0.05 for p in found), 200, 0.05)
    assert min(p.p for p in found) >= 1 / 200, "never below what the sample can tell"


def test_holm_keeps_the_level_of_the_family_and_no_correction_does_not() -> None:
    """20 comparisons per family, 15 of them without a difference; they share a baseline."""
    rng = RNG(5)
    base = rng.normal(0, 1, (500, 1, 12))
    others = rng.normal(0, 1, (500, 20, 12)) + 3 * (np.arange(20) >= 15)[:, None]
    d = others - base
    t = d.mean(axis=2) / d.std(axis=2, ddof=1) * np.sqrt(12)
    from scipy.stats import t as student

    p = 2 * student.sf(np.abs(t), 11)
    corrected_ = np.array([holm(list(row)) for row in p])
    wrong = (corrected_[:, :15] <= 0.05).any(axis=1).sum()
    assert at_most(int(wrong), 500, 0.05)
    assert (corrected_[:, 15:] <= 0.05).mean() > 0.5, "and finds what is there"
    uncorrected = (p[:, :15] <= 0.05).any(axis=1).sum()
    assert not at_most(int(uncorrected), 500, 0.05), "negative control"


def test_holm_is_that_of_statsmodels_to_the_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    from statsmodels.stats.multitest import multipletests

    monkeypatch.setattr("gc.collect", lambda: 0)  # statsmodels does it in every call
    rng = RNG(8)
    for size in range(1, 30):
        p = list(np.round(rng.uniform(0, 1, size) ** 4, 3))  # with ties, and some that end above 1
        assert holm(p) == list(multipletests(p, method="holm")[1])
    assert holm([]) == []
    assert holm([0.02, 0.01]) != [0.02, 0.01], "negative control"


@pytest.mark.parametrize("p", [0.5, 0.8, 0.97])
def test_the_probability_of_superiority_is_covered(p: float) -> None:
    rng = RNG(6)
    shift_by = float(norm.ppf(p)) * np.sqrt(2)
    hits = ties = 0
    for _ in range(300):
        a, b = rng.normal(0, 1, 25), rng.normal(-shift_by, 1, 25)
        hits += p in superiority(a, b)
        # Rounded, every third pair is a tie: the truth moves, and is one half where p is.
        ties += 0.5 in superiority(np.round(a), np.round(rng.normal(0, 1, 25)))
    assert at_most(300 - hits, 300, 0.05)
    assert at_most(300 - ties, 300, 0.05)


def test_who_beats_whom_depends_on_the_metric() -> None:
    a, b = np.full(8, 1.0), np.full(8, 2.0)
    assert superiority(a, b).estimate == 0
    assert superiority(a, b, more_is_better=True).estimate == 1
    assert superiority(a, a).estimate == 0.5
    assert compare(runs("a", a), runs("b", b), "phase_time").superiority.estimate == 0
    names = runs("a", a, "guest_share"), runs("b", b, "guest_share")
    assert compare(*names, "guest_share").superiority.estimate == 1


def test_the_effect_size_is_that_of_the_pairs() -> None:
    assert cohens_d([1, 2, 3], [3, 3, 5]) == pytest.approx(
        np.mean([2, 1, 2]) / np.std([2, 1, 2], ddof=1)
    )
    assert cohens_d([1, 2, 3], [2, 3, 4]) is None


def test_the_recommended_seeds_have_the_power_they_promise() -> None:
    d = RNG(7).normal(0, 1, 10)
    n = seeds_needed(d, 0.7)
    trials = RNG(8).normal(0.7, d.std(ddof=1), (400, n))

    def found(rows: np.ndarray) -> int:
        return sum(mean_estimate(x, resamples=999).p_value() <= 0.05 for x in rows)

    assert binomtest(found(trials), 400, 0.8, alternative="less").pvalue > 0.001
    few = found(trials[:, : n // 3])
    assert binomtest(few, 400, 0.8, alternative="less").pvalue < 1e-6, "negative control"
    assert seeds_needed([1.0, 1.0], 1.0) == 5, "fewer give no interval"
    assert seeds_needed([-1.0, 1.0], 1e-9) == MOST_SEEDS == 100_000


def said(a: np.ndarray, b: np.ndarray, metric: str = "phase_time") -> str:
    return str(compare(runs("a", a, metric), runs("b", b, metric), metric).answer)


def test_every_outcome_there_is() -> None:
    rng = RNG(9)
    a = rng.normal(100, 1, 30)
    assert said(a, a + rng.normal(20, 1, 30)) == "worse"
    assert said(a, a - rng.normal(20, 1, 30)) == "better"
    assert said(a, a + rng.normal(20, 1, 30), "guest_share") == "better", "of this, more is better"
    assert said(a, a + rng.normal(2, 1, 30)) == "worse, but below what matters (5 %)"
    assert said(a, a + rng.normal(0, 1, 30)) == "equivalent within 5 %"
    assert said(a, a) == "equivalent within 5 %"
    assert said(a, a * rng.lognormal(0, 0.5, 30)).startswith("unknown (")
    assert said(a, a * rng.lognormal(0, 0.5, 30)).endswith(" seeds needed)")
    few = said(a[:3], a[:3] + 30)
    assert few == "unknown (fewer than 5 seeds give no interval, 5 seeds needed)"


def test_seeds_that_all_differ_alike_need_as_many_as_a_sign_test() -> None:
    """29 were asked for, the number of equivalence: no seed changes 1 ms or 0.9 ms."""
    assert said(np.full(5, 1e6), np.full(5, 9e5)) == "unknown (6 seeds needed)"
    assert said(np.full(6, 1e6), np.full(6, 9e5)) == "better"
    for n, why in ((5, False), (6, True)):  # five are not significant alone
        alone = compare(runs("a", np.full(n, 1e6)), runs("b", np.full(n, 9e5)), "phase_time")
        together = corrected([alone] * 12)[0].answer
        assert together.needed == 9, "2^-8 is below 0.05 / 12"
        assert ("significant alone" in together.why) == why
    assert said(np.full(5, 1e6), np.full(5, 1e6)).endswith("59 seeds needed)"), "negative control"


def test_nothing_is_called_equivalent_that_one_seed_in_twenty_makes_different() -> None:
    """+10 % that 5 % of the seeds carry: 60 of 100 samples of ten seeds do not show it."""
    rng, wrong = RNG(13), 0
    for _ in range(100):
        a = rng.normal(100, 1, 10)
        b = a * np.where(rng.random(10) < 0.05, 3.0, 1.0) + rng.normal(0, 0.3, 10)
        answer = compare(runs("a", a), runs("b", b), "phase_time").answer
        wrong += answer.outcome != "unknown"
        if not answer.why.startswith("up to"):
            assert answer.needed == 29
    assert wrong <= 5


def test_what_a_few_seeds_carry_is_unknown_and_said() -> None:
    rng = RNG(14)
    a = rng.normal(100, 1, 30)
    b = a.copy()
    b[:3] += 50
    assert "fewer than 5 seeds differ" in said(a, b)
    b = a + rng.normal(0, 1, 30)
    b[:2] += 300
    assert "far from the others" in said(a, b)


def test_a_mode_that_two_settings_show_is_not_ruled_out_where_none_shows_it() -> None:
    rng = RNG(17)
    a = rng.normal(100, 1, 30)
    plain = a + rng.normal(20, 1, 30)
    odd = plain.copy()
    odd[3] += 500
    made = [compare(runs("a", a), runs("b", b), "phase_time") for b in (plain, odd, odd)]
    assert made[0].answer.outcome == "worse"
    together = corrected(made)[0]
    assert together.answer.outcome == "unknown"
    assert "other settings show a rare mode" in together.answer.why
    assert corrected(made[:2])[0].answer.outcome == "worse", "one setting may be an accident"
    apart = corrected(made, ["later", "first", "first"])
    assert apart[0].answer.outcome == "worse", "a mode of another window says nothing"
    assert apart[0].adjusted_p == together.adjusted_p, "the family is the same"
    assert corrected(made, ["first"] * 3)[0].answer.outcome == "unknown"


def test_a_family_is_stricter_than_its_members() -> None:
    rng = RNG(10)
    a = rng.normal(100, 10, 12)
    b = a + rng.normal(22, 17, 12)
    alone = compare(runs("a", a), runs("b", b), "phase_time")
    assert alone.answer.outcome == "worse"
    family = corrected([alone] * 20)
    assert family[0].family == 20
    assert family[0].adjusted_p == pytest.approx(min(1, 20 * alone.p_value))
    assert family[0].answer.outcome == "unknown"
    assert "not after correction for 20 comparisons" in family[0].answer.why
    assert replace(family[0], adjusted_p=alone.adjusted_p, family=1, answer=alone.answer) == alone


def test_the_outcome_never_contradicts_the_interval() -> None:
    rng = RNG(15)
    for _ in range(30):
        a = rng.normal(100, 3, 12)
        made = compare(runs("a", a), runs("b", a + rng.normal(2, 3, 12)), "phase_time")
        assert made.ratio is not None
        apart = 1 not in made.ratio
        assert apart == (made.answer.outcome in ("better", "worse"))


def test_pairing_that_helps_and_pairing_that_harms_are_told_apart() -> None:
    rng = RNG(16)
    common = rng.normal(100, 10, 200)
    a = common + rng.normal(0, 1, 200)
    helps = variance_ratio(a, common + rng.normal(0, 1, 200))
    nothing = variance_ratio(a, rng.normal(100, 10, 200))
    harms = variance_ratio(a, 200 - common)
    assert helps is not None
    assert helps < 0.05
    assert nothing is not None
    assert 0.8 < nothing < 1.2
    assert harms is not None
    assert harms > 1.8
    assert variance_ratio(np.ones(5), np.ones(5)) is None


# --- shift function ---


def histogram(times: np.ndarray) -> Histogram:
    made = Histogram()
    made.add(times.astype(np.int64))
    return made


def test_the_shift_function_shows_where_two_distributions_differ() -> None:
    """The candidate has the same body and a longer tail."""
    rng = RNG(11)
    body = [rng.lognormal(8, 0.3, 4000) for _ in range(8)]
    tails = [np.where(np.arange(4000) % 20 == 0, x * 5, x) for x in body]
    found = shift_function([histogram(x) for x in body], [histogram(x) for x in tails])
    middle, tail = found.p == 0.5, found.p == 0.99
    assert abs(found.difference_ns[middle][0]) < 0.05 * found.baseline_ns[middle][0]
    assert found.low_ns[tail][0] > found.baseline_ns[tail][0]
    same = shift_function([histogram(x) for x in body], [histogram(x) for x in body])
    assert not same.difference_ns.any()
    assert not (same.high_ns - same.low_ns).any()


def test_the_band_holds_the_whole_curve_and_pointwise_intervals_do_not() -> None:
    """Rows of seeds x quantiles with a common factor; the true curve is zero."""
    rng = RNG(12)
    inside = pointwise = 0
    for _ in range(300):
        d = rng.normal(0, 1, (12, 15)) + rng.normal(0, 0.5, (12, 1))
        t = np.abs(d.mean(axis=0)) / (d.std(axis=0, ddof=1) / np.sqrt(12))
        inside += t.max() <= critical_value(d, 0.95, 999, 0)
        pointwise += t.max() <= critical_value(d[:, :1], 0.95, 999, 0)
    assert at_most(300 - inside, 300, 0.07)
    assert not at_most(300 - pointwise, 300, 0.07), "negative control"


def test_a_shift_function_needs_latencies_on_equal_seeds() -> None:
    one = [replace(run("a", s), latency=histogram(np.array([1, 2, 3]))) for s in range(4)]
    assert shift(one, one).seeds == 4
    with pytest.raises(UnlikeRunsError, match="has no request histogram"):
        shift(one, one, of="request")
    with pytest.raises(UnlikeRunsError, match="different seeds"):
        shift(one, one[1:])
    with pytest.raises(ValueError, match="at least 4 seeds on both sides, got 3 and 3"):
        shift(one[:3], one[:3])


def test_a_record_keeps_the_latencies_of_requests_and_one_without_them_is_read() -> None:
    made = replace(run("a", 1), requests=histogram(np.array([5, 700])))
    record = to_record(made)
    assert from_record("a", 1, record) == made
    del record["requests"]
    assert from_record("a", 1, record).requests is None


def test_an_answer_asks_for_no_more_seeds_than_a_setting_may_have() -> None:
    """Negative control: a difference that a setting can find names its number of seeds."""
    out_of_reach = seeds_to_find(1e-6, 1.0)
    assert out_of_reach == MOST_SEEDS
    assert str(Answer(outcome="unknown", needed=out_of_reach)) == (
        "unknown (over 100,000 seeds needed)"
    )
    within = seeds_to_find(0.01, 1.0)
    assert 80_000 < within < MOST_SEEDS, "not the next power of two"
    assert str(Answer(outcome="unknown", needed=within)) == f"unknown ({within:,} seeds needed)"
