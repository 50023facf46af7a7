"""Access patterns: what each of them promises in its docstring, and what a wrong one gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from mmusim.base.errors import ConfigError
from mmusim.config.workloads import PATTERNS, load_workload, workload_of
from mmusim.costs.random_streams import Draws, uniforms
from mmusim.engine import simulate
from mmusim.plan.make import make_plan
from mmusim.tests.support.settings import setting
from mmusim.workload.base import Accesses
from mmusim.workload.page_pass import PagePass
from mmusim.workload.working_set import mean_working_set
from mmusim.workload.zipf import ranks

PAGES = 2048
ROOT = Path(__file__).parents[3]


def given(key: str, value: str) -> dict[str, Any]:
    return {key: value}


def made(pattern: str, seed: int = 1, pages: int = PAGES, base: int = 0, **more: Any) -> Accesses:
    draws = Draws(seed)
    workload: Any = workload_of({"pattern": pattern, **more}, Path(), "test")
    accesses: Accesses = workload.accesses(
        base, pages, lambda purpose, first, count: uniforms(draws.key(purpose, 0), first, count)
    )
    assert len(accesses.gfn) == len(accesses.write) == workload.length(pages)
    return accesses


def p_value(observed: Any, expected: Any) -> float:
    """Chi-square test of counts, with cells joined that expect fewer than 8."""
    observed, expected = np.asarray(observed, float), np.asarray(expected, float)
    setting_of = np.floor(np.cumsum(expected) / 8).astype(int)
    joined = [np.bincount(setting_of, counts) for counts in (observed, expected)]
    used = joined[1] > 0
    observed, expected = joined[0][used], joined[1][used]
    return float(stats.chisquare(observed, expected * observed.sum() / expected.sum()).pvalue)


ALL = sorted(set(PATTERNS) - {"replay", "dirty-rate", "stress"})  # these have no list of accesses


@pytest.mark.parametrize("pattern", ALL)
def test_a_pattern_stays_on_its_pages_and_is_a_function_of_the_seed(pattern: str) -> None:
    here, again, there = made(pattern), made(pattern), made(pattern, base=10_000)
    assert here.gfn.min() >= 0
    assert here.gfn.max() < PAGES
    assert (here.gfn == again.gfn).all()
    assert (here.gfn + 10_000 == there.gfn).all()
    assert here.write.dtype == np.bool_
    assert here.gfn.dtype == np.int64
    other = made(pattern, seed=2)
    assert (here.gfn != other.gfn).any() or (here.write != other.write).any()


@pytest.mark.parametrize("pattern", ALL)
@pytest.mark.parametrize("pages", [1, 2, 511])
def test_a_pattern_fits_on_few_pages(pattern: str, pages: int) -> None:
    gfn = made(pattern, pages=pages).gfn
    assert gfn.min() >= 0
    assert gfn.max() < pages


@pytest.mark.parametrize("pattern", ALL)
def test_a_pattern_runs_in_an_experiment(pattern: str) -> None:
    phases = [{"do": "write"}, {"do": "enable-logging"}, {"do": "run", "workload": "it"}]
    more = {"requests": 300} if pattern == "open-loop-requests" else {}
    trace = simulate(
        make_plan(setting(phases, workloads={"it": {"pattern": pattern, **more}}), "lazy-drop", 1)
    )
    counted = trace.phases[2].reads.count + trace.phases[2].writes.count
    assert counted == len(made(pattern, pages=1024, **more).gfn)


@pytest.mark.parametrize(
    ("pattern", "key", "share"),
    [
        ("sequential", "writes", 0.25), ("uniform", "writes", 0.25), ("zipf", "writes", 0.25),
        ("hot-cold", "writes", 0.25), ("phased", "writes", 0.25),
        ("pointer-chase", "updated", 0.25), ("open-loop-requests", "writes", 0.25),
        ("reads-beside-writes", "writes", 0.25),
    ],
)  # fmt: skip
def test_the_share_of_writes_is_the_one_asked_for(pattern: str, key: str, share: float) -> None:
    write = made(pattern, **given(key, f"{share:.0%}")).write
    n = PAGES if pattern == "pointer-chase" else len(write)
    near = 4 * np.sqrt(share * (1 - share) / n)
    assert abs(write.mean() - share) < near
    assert abs(write.mean() - 1.5 * share) > near, "negative control"
    assert not made(pattern, **given(key, "0%")).write.any()
    assert made(pattern, **given(key, "100%")).write.all()


def test_sequential_sweeps_in_the_order_of_addresses() -> None:
    assert made("sequential", pages=6, sweeps=2).gfn.tolist() == [0, 1, 2, 3, 4, 5] * 2
    assert made("sequential", pages=7, stride="12KiB").gfn.tolist() == [0, 3, 6, 1, 4, 2, 5]


def test_uniform_is_uniform() -> None:
    gfn = made("uniform", accesses_per_page=50.0).gfn
    assert 1e-3 < p_value(np.bincount(gfn, minlength=PAGES), np.full(PAGES, 50.0)) < 0.999
    half = made("uniform", accesses_per_page=50.0, footprint="50%").gfn
    assert half.max() == PAGES // 2 - 1
    assert p_value(np.bincount(half, minlength=PAGES), np.full(PAGES, 50.0)) < 1e-6, "control"


def test_uniform_touches_as_many_pages_as_the_occupancy_formula_says() -> None:
    touched = [len(np.unique(made("uniform", seed).gfn[:PAGES])) for seed in range(20)]
    expected = PAGES * (1 - (1 - 1 / PAGES) ** PAGES)
    assert np.mean(touched) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("exponent", [0.0, 0.7, 0.99, 1.0, 2.5])
def test_zipf_follows_its_law(exponent: float) -> None:
    gfn = made("zipf", accesses_per_page=30.0, exponent=exponent, scattered=False).gfn
    weight = np.arange(1, PAGES + 1) ** -exponent
    expected = weight / weight.sum() * len(gfn)
    assert p_value(np.bincount(gfn, minlength=PAGES), expected) > 1e-3
    wrong = np.arange(1, PAGES + 1) ** -(exponent + 0.1)
    wrong = wrong / wrong.sum() * len(gfn)
    assert p_value(np.bincount(gfn, minlength=PAGES), wrong) < 1e-6, "control: another exponent"


def test_zipf_scatters_popularity_by_seed() -> None:
    plain = made("zipf", scattered=False).gfn
    one, other = made("zipf").gfn, made("zipf", seed=2).gfn
    counts = [np.sort(np.bincount(gfn, minlength=PAGES)) for gfn in (plain, one)]
    assert (counts[0] == counts[1]).all(), "a permutation of the pages"
    assert np.bincount(plain).argmax() == 0
    assert np.bincount(one).argmax() != np.bincount(other).argmax()


def test_zipf_ranks_are_the_inverse_of_the_cdf() -> None:
    total = 1 + 1 / 2 + 1 / 3
    edges = np.array([1, 1.5]) / total
    assert ranks(edges - 1e-9, 3, 1.0).tolist() == [0, 1]
    assert ranks(edges + 1e-9, 3, 1.0).tolist() == [1, 2]


def hot_cold(**more: Any) -> tuple[np.ndarray, np.ndarray]:
    a = made("hot-cold", accesses_per_page=60.0, hot="10%", hot_reads="90%", hot_writes="70%",
             writes="40%", **more)  # fmt: skip
    counts = [np.bincount(a.gfn[w], minlength=PAGES) for w in (~a.write, a.write)]
    return counts[0], counts[1]


@pytest.mark.parametrize("overlap", [0, 50, 100])
def test_hot_cold_puts_reads_and_writes_apart(overlap: int) -> None:
    reads, writes = hot_cold(overlap=f"{overlap}%")
    hot = 205
    start = round(hot * (1 - overlap / 100))
    for counts, first, share in ((reads, 0, 0.9), (writes, start, 0.7)):
        expected = np.full(PAGES, (1 - share) / (PAGES - hot))
        expected[first : first + hot] = share / hot
        assert p_value(counts, expected * counts.sum()) > 1e-3
    if overlap == 0:
        assert writes[:hot].sum() < 0.05 * writes.sum()
        expected = np.full(PAGES, 0.3 / (PAGES - hot))
        expected[:hot] = 0.7 / hot
        assert p_value(writes, expected * writes.sum()) < 1e-6, "control: the hot set of the reads"


def test_phases_hold_their_working_set_and_then_leave_it() -> None:
    gfn = made("phased", accesses_per_page=20.0, phase_length=4096, working_set="10%").gfn
    phases = gfn[: len(gfn) // 4096 * 4096].reshape(-1, 4096)
    sizes = [len(np.unique(phase)) for phase in phases]
    assert set(sizes) == {205}, "4096 draws miss none of 205 pages"
    starts = [min(phase) if np.ptp(phase) < PAGES / 2 else -1 for phase in phases]
    assert len(set(starts)) > len(starts) / 2
    whole = made("uniform", accesses_per_page=20.0).gfn[:4096]
    assert len(np.unique(whole)) > 1000, "control"


def test_strays_go_to_the_phase_before() -> None:
    gfn = made("phased", accesses_per_page=20.0, phase_length=4096, strays="25%").gfn
    sets = [set(gfn[i : i + 4096].tolist()) for i in range(0, 8 * 4096, 4096)]
    assert len(sets[0]) == 205
    assert max(len(s) for s in sets[1:]) > 300


def test_bursts_write_neighbours_and_nothing_else_writes() -> None:
    a = made("write-bursts", accesses_per_page=100.0, reads_between=200.0, burst="64KiB")
    edges = np.flatnonzero(np.diff(a.write.astype(int)))
    starts = edges[a.write[edges + 1]] + 1
    for start in starts[:-1].tolist():
        written = a.gfn[start : start + 16]
        assert a.write[start : start + 16].all()
        assert (written == (written[0] + np.arange(16)) % PAGES).all()
    share = 16 / (16 + 200)
    assert a.write.mean() == pytest.approx(share, rel=0.1)
    gaps = np.diff(starts)
    gaps = gaps[gaps > 16] - 16
    assert gaps.mean() == pytest.approx(201, rel=0.12)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.12), "geometric: cv 1"
    assert p_value(np.bincount(a.gfn[~a.write]), np.full(PAGES, (~a.write).sum() / PAGES)) > 1e-3


def test_a_pointer_chase_visits_every_page_once_per_cycle() -> None:
    cycles = made("pointer-chase", cycles=3, updated="30%")
    gfn, write = cycles.gfn.reshape(3, PAGES), cycles.write.reshape(3, PAGES)
    assert all(sorted(row) == list(range(PAGES)) for row in gfn.tolist())
    assert (gfn == gfn[0]).all()
    assert (write == write[0]).all()
    steps = np.diff(gfn[0])
    assert np.mean(steps == 1) < 0.01, "no order of addresses"
    random = made("uniform").gfn[:PAGES]
    assert len(np.unique(random)) < 0.7 * PAGES, "control: chance visits two thirds"


# --- working sets --------------------------------------------------------------------------------


def counted(page: np.ndarray, at: np.ndarray, span: int, window: int) -> float:
    """The definition, word by word."""
    sizes = [
        len(set(page[(at > t - window) & (at <= t)].tolist())) for t in range(window - 1, span)
    ]
    return float(np.mean(sizes))


@pytest.mark.parametrize("seed", range(4))
def test_the_mean_working_set_is_that_of_the_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    at = np.sort(rng.integers(0, 150, 60))
    page = rng.integers(0, 12, 60)
    windows = [1, 2, 7, 40, 150]
    means = mean_working_set(page, at, 150, windows)
    assert means == pytest.approx([counted(page, at, 150, w) for w in windows], rel=1e-12)
    assert means[-1] == len(np.unique(page))
    assert (np.diff(means) > 0).all()


# --- wrong input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "test: pattern: is required; choose sequential, uniform"),
        ({"pattern": "zip"}, "pattern = 'zip': is not one of the choices; did you mean 'zipf'?"),
        ({"pattern": "zipf", "exponent": "1"}, "exponent = '1': must be a number; write a "),
        ({"pattern": "zipf", "expo": 1.0}, "expo = 1.0: is not a known key; did you mean 'exp"),
        ({"pattern": "uniform", "writes": 0.1}, "writes = 0.1: must be text with a unit; "),
        ({"pattern": "sequential", "stride": "5KiB"}, "stride = '5KiB': must be a positive mul"),
        ({"pattern": "sequential", "sweeps": 0}, "sweeps = 0: "),
        ({"pattern": "hot-cold", "hot": "60%"}, "leaves no room for both hot sets; lower hot, or"),
        (
            {"pattern": "open-loop-requests", "peak": 20.0, "in_bursts": "10%"},
            "times in_bursts = 10.000000% exceeds the mean rate; lower one of the two",
        ),
        (
            {"pattern": "open-loop-requests", "arrivals": "bursty", "interarrival": "1s",
             "requests": 10**6, "burst": "1us"},
            "makes about 1e+11 bursts; write a longer one",
        ),
        ({"pattern": "open-loop-requests", "interarrival": "0ns"}, "interarrival = '0ns': "),
        ({"pattern": "replay"}, "trace: is required; add it"),
    ],
)  # fmt: skip
def test_a_wrong_workload_is_refused_with_the_way_out(table: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        workload_of(table, Path(), "test")
    assert message in str(caught.value)


def test_an_experiment_names_the_key_of_a_wrong_workload() -> None:
    phases = [{"do": "run", "workload": "it"}]
    with pytest.raises(ConfigError) as caught:
        setting(phases, workloads={"it": {"pattern": "zipf", "exponent": -1.0}})
    assert "workloads.it.exponent = -1.0: " in str(caught.value)


@pytest.mark.parametrize("path", sorted(ROOT.glob("workloads/*.toml")), ids=lambda p: p.stem)
def test_every_shipped_workload_file_is_valid(path: Path) -> None:
    workload = load_workload(path)
    assert workload.model_dump()["pattern"] in PATTERNS
    assert path.read_text().startswith("# ")


@pytest.mark.parametrize("order", ["sequential", "permuted", "random"])
@pytest.mark.parametrize("writes", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("pages", [7, 1 << 17])
def test_a_pass_that_is_said_to_be_in_a_row_is(order: Any, writes: float, pages: int) -> None:
    made = PagePass(writes=writes, order=order).accesses(
        300, pages, lambda purpose, first, count: uniforms(3, first, count)
    )
    follows = bool((np.diff(made.gfn) == 1).all()) and bool((made.write == made.write[0]).all())
    assert made.in_a_row == (order == "sequential" and writes in (0, 1))
    assert follows or not made.in_a_row
    assert made.gfn[0] == 300 or not made.in_a_row
