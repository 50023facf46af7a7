"""Cost distributions against scipy.stats and against their own definitions."""

from __future__ import annotations

import dataclasses
import math
from functools import cache
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mmusim.config.host import load_profile, shipped_profiles
from mmusim.costs.distributions import (
    CELLS,
    LONGEST_NS,
    OCTAVES,
    Constant,
    Distribution,
    Empirical,
    Gamma,
    Lognormal,
    Mixture,
    Shifted,
    mixture,
    quantile_nodes,
    uniform,
)
from mmusim.costs.random_streams import _quantiles, costs

P = np.array([1e-9, 1e-4, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.9999, 1 - 1e-9])

BODY = Lognormal(1000.0, 0.4)
INTERFERENCE = Lognormal(50_000.0, 0.8)
MEASURED = Empirical((0.0, 0.5, 0.9, 0.99, 1.0), (100.0, 200.0, 300.0, 900.0, 5000.0))

ORACLES = {
    "lognormal": (BODY, scipy.stats.lognorm(0.4, scale=1000.0)),
    "wide lognormal": (Lognormal(60_000.0, 1.5), scipy.stats.lognorm(1.5, scale=60_000.0)),
    "exponential": (Gamma(500.0, 1.0), scipy.stats.expon(scale=500.0)),
    "narrow gamma": (Gamma(500.0, 0.2), scipy.stats.gamma(25.0, scale=20.0)),
    "wide gamma": (Gamma(500.0, 2.0), scipy.stats.gamma(0.25, scale=2000.0)),
    "shifted": (Shifted(450.0, Gamma(500.0, 1.0)), scipy.stats.expon(450.0, 500.0)),
    "uniform": (uniform(100.0, 300.0), scipy.stats.uniform(100.0, 200.0)),
}
oracles = pytest.mark.parametrize(("ours", "theirs"), ORACLES.values(), ids=ORACLES)

SMOOTH: dict[str, Distribution] = {
    **{name: ours for name, (ours, _) in ORACLES.items()},
    "mixture": mixture([(9.0, BODY), (1.0, INTERFERENCE)]),
    "empirical": MEASURED,
    "shifted mixture": Shifted(10.0, mixture([(1.0, BODY), (1.0, Gamma(9000.0, 0.5))])),
}
smooth = pytest.mark.parametrize("distribution", SMOOTH.values(), ids=SMOOTH)


@oracles
def test_quantiles_are_those_of_scipy(ours: Distribution, theirs: Any) -> None:
    np.testing.assert_allclose(ours.quantile(P), theirs.ppf(P), rtol=1e-9)


@oracles
def test_probabilities_are_those_of_scipy(ours: Distribution, theirs: Any) -> None:
    x = theirs.ppf(P)

    np.testing.assert_allclose(ours.cdf(x), theirs.cdf(x), rtol=1e-9)


@oracles
def test_means_are_those_of_scipy(ours: Distribution, theirs: Any) -> None:
    assert ours.mean() == pytest.approx(theirs.mean(), rel=1e-12)


def test_another_sigma_would_be_noticed() -> None:
    """Negative control for the three theorems above."""
    wrong = scipy.stats.lognorm(0.401, scale=1000.0)

    assert not np.allclose(BODY.quantile(P), wrong.ppf(P), rtol=1e-4)
    assert BODY.mean() != pytest.approx(wrong.mean(), rel=1e-6)


@smooth
def test_probability_undoes_quantile(distribution: Distribution) -> None:
    np.testing.assert_allclose(distribution.cdf(distribution.quantile(P)), P, atol=1e-12)


@smooth
def test_the_mean_is_the_integral_of_the_quantile_function(distribution: Distribution) -> None:
    """E X is the integral of Q(p) over p; substituting p = 3 t^2 - 2 t^3 tames both tails."""
    t = (np.arange(50_000) + 0.5) / 50_000
    p, weight = t * t * (3 - 2 * t), 6 * t * (1 - t)

    assert np.mean(distribution.quantile(p) * weight) == pytest.approx(
        distribution.mean(), rel=2e-4
    )


@smooth
def test_quantiles_keep_the_shape_they_are_asked_in(distribution: Distribution) -> None:
    grid = np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])

    assert distribution.quantile(grid).shape == (2, 3)
    assert distribution.cdf(distribution.quantile(grid)).shape == (2, 3)
    assert float(distribution.quantile(0.5)) == distribution.quantile([0.5])[0]


def test_a_constant_has_one_quantile_and_a_step() -> None:
    constant = Constant(43.5)

    assert constant.quantile(P).tolist() == [43.5] * len(P)
    assert constant.cdf([43.4, 43.5, 43.6]).tolist() == [0.0, 1.0, 1.0]
    assert constant.mean() == 43.5


@settings(deadline=None)
@given(st.floats(1, 1e6), st.floats(1.01, 50), st.sampled_from([0.9, 0.95, 0.99, 0.999]))
def test_a_lognormal_fitted_to_median_and_quantile_has_both(
    median: float, factor: float, p: float
) -> None:
    made = Lognormal.from_quantile(median, p, median * factor)

    assert float(made.quantile(0.5)) == pytest.approx(median, rel=1e-12)
    assert float(made.quantile(p)) == pytest.approx(median * factor, rel=1e-9)


@settings(deadline=None)
@given(st.floats(1, 1e6), st.floats(0.01, 0.99), st.sampled_from([0.9, 0.95, 0.99, 0.999]))
def test_a_lognormal_fitted_to_mean_and_quantile_has_both_and_is_the_narrow_one(
    mean: float, part: float, p: float
) -> None:
    z = scipy.stats.norm.ppf(p)
    value = mean * math.exp(part * z * z / 2)  # part 1 is the largest there can be
    made = Lognormal.from_mean(mean, p, value)

    assert made.median * math.exp(made.sigma**2 / 2) == pytest.approx(mean, rel=1e-9)
    beyond = scipy.stats.norm.sf(math.log(LONGEST_NS / made.median) / made.sigma - made.sigma)
    assert made.mean() == pytest.approx(mean, rel=1e-9 + beyond), (
        "no time is longer than the longest"
    )
    assert float(made.quantile(p)) == pytest.approx(value, rel=1e-9)
    assert 0 < made.sigma <= z
    other = 2 * z - made.sigma  # the second root
    wide = Lognormal(mean * math.exp(-other * other / 2), other)
    assume(other < 7)
    assert float(wide.quantile(p)) == pytest.approx(value, rel=1e-6)
    assert wide.sigma >= made.sigma


@pytest.mark.parametrize("factor", [0.5, 1.0, 15.1, 1000.0])
def test_a_quantile_no_lognormal_has_is_refused_with_the_possible_range(factor: float) -> None:
    with pytest.raises(ValueError) as caught:
        Lognormal.from_mean(1000.0, 0.99, 1000.0 * factor)

    assert str(caught.value) == (
        f"no lognormal has its 0.99 quantile at {factor:.3g} times its mean; "
        "choose a factor between 1 and 15"
    )


@pytest.mark.parametrize("factor", [1.0001, 14.9])
def test_the_range_named_in_the_refusal_is_possible(factor: float) -> None:
    """Negative control: refusal is not the answer to everything near the bounds."""
    assert Lognormal.from_mean(1000.0, 0.99, 1000.0 * factor).mean() == pytest.approx(1000.0)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0.01, 100), st.floats(10, 1e5), st.floats(0.1, 1.5)),
        min_size=1,
        max_size=4,
    ),
    st.floats(1e-6, 1 - 1e-6),
)
def test_a_mixture_inverts_its_own_brute_force_distribution(
    parts: list[tuple[float, float, float]], p: float
) -> None:
    mixed = mixture([(weight, Lognormal(median, sigma)) for weight, median, sigma in parts])
    total = sum(weight for weight, _, _ in parts)

    def brute(x: float) -> float:
        each = (w / total * scipy.stats.lognorm.cdf(x, s, scale=m) for w, m, s in parts)
        return sum(each)

    x = float(mixed.quantile(p))
    assert brute(x) == pytest.approx(p, rel=1e-7, abs=1e-12)
    assert brute(x * (1 - 1e-6)) < p < brute(x * (1 + 1e-6))


def test_a_mixture_of_equals_is_the_part() -> None:
    mixed = mixture([(3.0, BODY), (5.0, BODY)])

    np.testing.assert_allclose(mixed.quantile(P), BODY.quantile(P), rtol=1e-12)
    assert mixed.mean() == pytest.approx(BODY.mean())


def test_a_mixture_weighs_its_parts() -> None:
    """Scaling all weights changes nothing; scaling one does (negative control)."""
    mixed = mixture([(1.0, BODY), (3.0, INTERFERENCE)])

    assert mixed == mixture([(0.5, BODY), (1.5, INTERFERENCE)])
    assert mixed.weights == (0.25, 0.75)
    assert mixed.mean() == pytest.approx(0.25 * BODY.mean() + 0.75 * INTERFERENCE.mean())
    assert mixed != mixture([(1.0, BODY), (4.0, INTERFERENCE)])


def test_an_atom_in_a_mixture_is_found_exactly() -> None:
    """Quantiles within the atom are its value; cdf jumps there by its weight."""
    mixed = mixture([(3.0, Constant(100.0)), (1.0, Constant(900.0))])

    assert mixed.quantile([0.1, 0.5, 0.7499]).tolist() == [100.0] * 3
    assert mixed.quantile([0.7501, 0.99]).tolist() == [900.0] * 2
    assert mixed.cdf([99.9, 100.0, 899.9, 900.0]).tolist() == [0.0, 0.75, 0.75, 1.0]


@pytest.mark.parametrize("parts", [[], [(0.0, BODY)], [(1.0, BODY), (-1.0, BODY)]])
def test_a_mixture_without_weight_is_refused(parts: list[tuple[float, Distribution]]) -> None:
    with pytest.raises(ValueError, match=r"^a mixture needs parts with positive weights$"):
        mixture(parts)


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 10**6), min_size=2, max_size=8, unique=True).map(sorted),
    st.floats(0, 1, exclude_max=True),
)
def test_an_empirical_distribution_is_linear_between_its_quantiles(ns: list[int], p: float) -> None:
    grid = np.linspace(0, 1, len(ns))
    made = Empirical(tuple(grid.tolist()), tuple(map(float, ns)))
    cell = min(int(np.searchsorted(grid, p, side="right")) - 1, len(ns) - 2)
    share = (p - grid[cell]) / (grid[cell + 1] - grid[cell])

    assert float(made.quantile(p)) == pytest.approx(
        ns[cell] + share * (ns[cell + 1] - ns[cell]), rel=1e-9, abs=1e-9
    )
    assert float(made.cdf(made.quantile(p))) == pytest.approx(p, abs=1e-9)


def test_an_empirical_distribution_ends_where_its_table_ends() -> None:
    assert MEASURED.quantile([0.0, 1.0]).tolist() == [100.0, 5000.0]
    assert MEASURED.cdf([99.9, 100.0, 5000.0, 9999.0]).tolist() == [0.0, 0.0, 1.0, 1.0]


def test_an_atom_of_an_empirical_distribution_counts_from_above() -> None:
    made = Empirical((0.0, 0.5, 0.9, 1.0), (100.0, 200.0, 200.0, 900.0))

    assert made.quantile([0.5, 0.7, 0.9]).tolist() == [200.0] * 3
    assert float(made.cdf(200.0)) == 0.9


def test_left_of_its_atom_an_empirical_distribution_is_still_linear() -> None:
    made = Empirical((0.0, 0.5, 0.9, 1.0), (100.0, 200.0, 200.0, 900.0))

    assert float(made.cdf(150.0)) == pytest.approx(0.25)


def test_what_is_not_said_about_a_distribution_is_refused() -> None:
    class Silent(Distribution):
        pass

    for question in (Silent().mean, lambda: Silent().cdf(1.0), lambda: Silent().quantile(0.5)):
        with pytest.raises(NotImplementedError, match="Silent has no "):
            question()


def test_distributions_are_values() -> None:
    """Equal ones are interchangeable as keys, because tables are cached by them."""
    assert Lognormal(1000.0, 0.4) == BODY
    assert quantile_nodes(Lognormal(1000.0, 0.4)) is quantile_nodes(BODY)
    assert quantile_nodes(Lognormal(1000.0, 0.41)) is not quantile_nodes(BODY)
    with pytest.raises(dataclasses.FrozenInstanceError):
        BODY.sigma = 1.0  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        quantile_nodes(BODY)[0][0] = 1.0


# The tabulated quantile function, by which costs are drawn.


def shipped() -> dict[str, Distribution]:
    found = {}
    for profile in shipped_profiles():
        for name, cost in load_profile(profile).costs.items():
            if not isinstance(cost.distribution(), Constant):
                found[f"{profile}/{name}"] = cost.distribution()
    return found


SHIPPED = shipped()
SMOOTH_TABLES = {
    "lognormal": BODY,
    "exponential": Gamma(500.0, 1.0),
    "narrow gamma": Gamma(500.0, 0.2),
    "shifted": Shifted(450.0, BODY),
    "uniform": uniform(100.0, 300.0),
    "wide lognormal": Lognormal(60_000.0, 1.5),
}


def random_words(seed: int = 5) -> np.ndarray:
    """Words of every magnitude: half uniform, half with a random number of leading zeros."""
    rng = np.random.default_rng(seed)
    every = rng.integers(0, 1 << 64, 20_000, np.uint64)
    small = rng.integers(0, 1 << 63, 20_000, np.uint64) >> rng.integers(0, 44, 20_000, np.uint64)
    return np.concatenate([every, small, small | np.uint64(1 << 63)])


def tail_of(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether a word means the upper tail, and the tail probability it means; independent."""
    upper = z >= np.uint64(1 << 63)
    rest = np.where(upper, z - np.uint64(1 << 63) * upper, z)
    return upper, (rest.astype(np.float64) + 1) / 2.0**64


def in_upper_tail(distribution: Distribution, tail: np.ndarray) -> np.ndarray:
    """The quantile at 1 - tail without forming 1 - tail, which would round the tail away."""
    match distribution:
        case Lognormal(median, sigma):
            return np.asarray(scipy.stats.lognorm.isf(tail, sigma, scale=median))
        case Gamma(average, cv):
            return np.asarray(scipy.stats.gamma.isf(tail, cv**-2, scale=average * cv**2))
        case Shifted(by, base):
            return by + in_upper_tail(base, tail)
    return distribution.quantile(1 - tail)


def table_error(distribution: Distribution, z: np.ndarray) -> np.ndarray:
    """Relative error of the tabulated quantiles."""
    upper, tail = tail_of(z)
    exact = np.where(upper, in_upper_tail(distribution, tail), distribution.quantile(tail))
    return np.abs(_quantiles(distribution, z) - exact) / exact


def words_in_the_table() -> np.ndarray:
    z = random_words()
    return z[tail_of(z)[1] >= 2.0**-45]


@pytest.mark.parametrize("distribution", SMOOTH_TABLES.values(), ids=SMOOTH_TABLES)
def test_the_table_is_right_to_1e_4_down_to_its_last_tail(distribution: Distribution) -> None:
    z = words_in_the_table()
    upper, tail = tail_of(z)

    assert tail[upper].min() < 1e-13
    assert tail[~upper].min() < 1e-13
    assert table_error(distribution, z).max() < 1e-4


def test_a_coarser_table_would_be_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: the same nodes joined 16 times as far apart miss the bound."""
    lower, upper = quantile_nodes(BODY)
    i = np.arange(len(lower))
    coarse = tuple(np.interp(i, i[::16], nodes[::16]) for nodes in (lower, upper))
    monkeypatch.setattr("mmusim.costs.random_streams.quantile_nodes", lambda _: coarse)

    assert table_error(BODY, words_in_the_table()).max() > 1e-4


@pytest.mark.parametrize("distribution", SMOOTH_TABLES.values(), ids=SMOOTH_TABLES)
def test_the_table_rises_from_the_lowest_tail_to_the_highest(distribution: Distribution) -> None:
    lower, upper = quantile_nodes(distribution)

    assert lower.shape == upper.shape == (OCTAVES * CELLS + 1,)
    assert np.all(np.diff(lower) >= 0)
    assert np.all(np.diff(upper) <= 0)
    assert lower[-1] == upper[-1] == distribution.quantile(0.5)
    assert lower[0] == distribution.quantile(2.0**-45)
    assert upper[0] == distribution.quantile(1 - 2.0**-45)


@pytest.mark.parametrize("rest", [0, 1, 5, 77_777, (1 << 19) - 2])
def test_beyond_the_last_tail_stands_the_end_of_the_table(rest: int) -> None:
    lower, upper = quantile_nodes(BODY)
    z = np.array([rest, rest + (1 << 63)], np.uint64)

    assert tail_of(z)[1].max() < 2.0**-45
    assert _quantiles(BODY, z).tolist() == [lower[0], upper[0]]


MIXTURES = [name for name in SHIPPED if isinstance(SHIPPED[name], Mixture)]


CORNERED = [name for name in SHIPPED if isinstance(SHIPPED[name], Empirical)]


@pytest.mark.parametrize("name", [n for n in SHIPPED if n not in MIXTURES and n not in CORNERED])
def test_the_table_is_right_to_1e_4_for_every_shape_shipped_that_is_smooth(name: str) -> None:
    assert table_error(SHIPPED[name], words_in_the_table()).max() < 1e-4


@pytest.mark.parametrize("name", CORNERED)
def test_the_table_of_a_measured_cost_is_off_only_where_that_has_a_corner(name: str) -> None:
    """Between its corners it is straight, and so is the table between its nodes."""
    measured = SHIPPED[name]
    assert isinstance(measured, Empirical)
    corners = set()
    for p in measured.p[1:-1]:
        upper, tail = (1, 1 - p) if p > 0.5 else (0, p)
        mantissa, exponent = np.frexp(tail)  # tail = (2 * mantissa) * 2 ** (exponent - 1)
        cell = (exponent - 1 + OCTAVES + 1) * CELLS + (2 * mantissa - 1) * CELLS
        corners |= {(upper, int(np.floor(cell + wide))) for wide in (-1e-6, 0, 1e-6)}
    assert set(cells_off(name)) <= corners


@cache
def cells_off(name: str) -> list[tuple[int, int]]:
    """Cells (tail, number) of the table in which it is off by 1e-4 or more, at 5 places in each."""
    cell, part = np.divmod(np.arange(5 * OCTAVES * CELLS), 5)
    octave, mantissa = np.divmod(cell, CELLS)
    tail = np.ldexp(1 + (mantissa + (part + 0.5) / 5) / CELLS, octave - OCTAVES - 1)
    lower = (np.ldexp(tail, 64) - 1).astype(np.uint64)
    words = np.concatenate([lower, lower + np.uint64(1 << 63)])
    off = np.flatnonzero(table_error(SHIPPED[name], words) >= 1e-4)
    return sorted({(int(i) // len(cell), int(cell[i % len(cell)])) for i in off})


@pytest.mark.parametrize("name", MIXTURES)
@pytest.mark.parametrize(
    "cells",
    [
        16,
        pytest.param(
            2,
            marks=pytest.mark.xfail(
                strict=True,
                reason="16 cells are off by 1e-4 or more (the first by 13 %, the second by 4 %, "
                "the third by 0.7 %); quantile_nodes promises all but a cell or two",
            ),
        ),
    ],
)
def test_the_table_is_right_to_1e_4_but_for_a_few_cells_where_a_mixture_jumps(
    name: str, cells: int
) -> None:
    off = cells_off(name)

    assert 0 < len(off) <= cells
    assert off[-1] == (off[0][0], off[0][1] + len(off) - 1)  # they lie side by side


def test_the_word_in_the_middle_means_the_median() -> None:
    middle = np.array([(1 << 63) - 1], np.uint64)

    assert _quantiles(BODY, middle)[0] == pytest.approx(BODY.median, rel=1e-4)


# Samples.

DRAWN = {
    "constant": Constant(43.5),
    "lognormal": BODY,
    "exponential": Gamma(500.0, 1.0),
    "shifted": Shifted(450.0, Gamma(500.0, 1.0)),
    "mixture": mixture([(9.0, BODY), (1.0, INTERFERENCE)]),
    "empirical": MEASURED,
    "uniform": uniform(100.0, 300.0),
}
N = 100_000


@pytest.mark.parametrize("distribution", DRAWN.values(), ids=DRAWN)
def test_a_sample_has_the_mean_within_four_standard_errors(distribution: Distribution) -> None:
    drawn = costs(distribution, 77, 0, N)
    error = drawn.std() / math.sqrt(N)

    assert abs(drawn.mean() - distribution.mean()) < 4 * error + 1e-3


@pytest.mark.parametrize("distribution", DRAWN.values(), ids=DRAWN)
@pytest.mark.parametrize("p", [0.01, 0.5, 0.9, 0.99, 0.999])
def test_a_sample_has_the_quantiles_within_their_standard_errors(
    distribution: Distribution, p: float
) -> None:
    """The share of draws below Q(p) is binomial; rounding moves a draw by less than 1 ns."""
    drawn = costs(distribution, 78, 0, N)
    q = float(distribution.quantile(p))
    margin = 4 * math.sqrt(p * (1 - p) / N)

    assert np.mean(drawn < q - 1) <= p + margin
    assert np.mean(drawn <= q + 1) >= p - margin


def test_a_sample_of_another_mean_would_be_noticed() -> None:
    """Negative control: two per cent is more than the noise of a hundred thousand draws."""
    drawn = costs(Lognormal(1020.0, 0.4), 77, 0, N)

    assert abs(drawn.mean() - BODY.mean()) > 4 * drawn.std() / math.sqrt(N)
    assert np.mean(drawn <= BODY.median + 1) < 0.5 - 4 * math.sqrt(0.25 / N)


# Bounds of the support.


@pytest.mark.parametrize(
    "distribution", [Gamma(500.0, 1.0), Constant(5.0), MEASURED, BODY, Shifted(450.0, BODY)]
)
def test_no_time_is_negative(distribution: Distribution) -> None:
    assert distribution.cdf([-1.0, -1e9]).tolist() == [0.0, 0.0]


def test_no_shifted_time_is_below_its_shift() -> None:
    assert Shifted(450.0, BODY).cdf([449.0, 450.0]).tolist() == [0.0, 0.0]
    assert Shifted(450.0, BODY).cdf(900.0) > 0  # negative control


def test_a_mixture_of_a_constant_and_a_later_lognormal_has_its_quantiles() -> None:
    mixed = mixture([(1.0, Constant(100.0)), (1.0, Shifted(5000.0, BODY))])
    low, high = mixed.quantile([0.3, 0.75])

    assert low == 100.0
    assert high == pytest.approx(5000.0 + BODY.median)
