"""From samples to costs: on samples whose answer is known, and on those recorded from a machine."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from typer.testing import CliRunner

from mmusim.base.errors import ConfigError
from mmusim.calibration.fault_costs import difference, fault_costs
from mmusim.calibration.foreign import from_bins, read_foreign
from mmusim.calibration.foreign_fit import fits
from mmusim.calibration.interference import (
    Interruptions,
    as_renewal,
    best_split,
    interruptions,
    without,
)
from mmusim.calibration.lock_share import lock_waits, mean_wait
from mmusim.calibration.log_costs import log_costs, nonnegative_fit
from mmusim.calibration.profile import find_costs, profile_data
from mmusim.calibration.samples import Samples, load_samples
from mmusim.calibration.tables import (
    as_cost,
    convolution_rest,
    ks_distance,
    median_certainty,
    table,
)
from mmusim.cli import app
from mmusim.config.host import HostProfile, default_cost, load_profile, shipped_profiles
from mmusim.config.load import check
from mmusim.config.settings import settings_of
from mmusim.costs.distributions import Empirical, Gamma, Lognormal, Shifted
from mmusim.engine import simulate
from mmusim.plan.make import make_plan
from mmusim.tests.support.places import ROOT
from mmusim.vocabulary import COSTS

RNG = np.random.default_rng(20)
HOST = "emerald-rapids-pvm"
FAULT = Shifted(20_000, Lognormal.from_quantile(2_000, 0.99, 9_000))


def test_a_table_has_the_quantiles_and_the_mean_of_its_samples() -> None:
    ns = FAULT.quantile(RNG.random(20_000))
    fitted = table(ns)
    for p in (0.01, 0.5, 0.9, 0.99):
        assert float(fitted.quantile(p)) == pytest.approx(float(np.quantile(ns, p)), rel=1e-3)
    assert fitted.mean() == pytest.approx(ns.mean(), rel=5e-3)
    assert ks_distance(ns, fitted) < 0.02
    assert ks_distance(ns + 500, fitted) > 0.05, "control: a shift is seen"
    assert Empirical(fitted.p, fitted.ns) == fitted
    with pytest.raises(ValueError, match="no samples"):
        table(np.zeros(0))


def test_rare_long_samples_keep_the_mean_of_a_table() -> None:
    ns = np.full(5_000, 100.0)
    ns[:3] = 1e6
    assert table(ns).mean() == pytest.approx(ns.mean(), rel=0.2)


def test_the_interval_of_a_median_covers_it() -> None:
    """95 % intervals over replicates that drift; the unit is the replicate."""
    covered = 0
    for trial in range(100):
        rng = np.random.default_rng(trial)
        replicates = [rng.normal(1000 + rng.normal(0, 20), 50, 200) for _ in range(12)]
        sure = median_certainty(replicates)
        covered += sure.low <= 1000 <= sure.high
        assert sure.replicates == 12
    assert 85 <= covered <= 99


def test_what_must_be_added_is_found() -> None:
    part = Gamma(30, 1.0).quantile(RNG.random(20_000))
    walk = Gamma(150, 0.5).quantile(RNG.random(20_000))
    rest = convolution_rest(part[:10_000] + walk[:10_000], part[10_000:])
    p = (np.arange(256) + 0.5) / 256
    for q in (0.2, 0.5, 0.9):
        assert np.interp(q, p, rest) == pytest.approx(np.quantile(walk, q), rel=0.1)


def test_interruptions_are_taken_out_and_nothing_else() -> None:
    """10,000 faults of 24 us, of which 1 % were interrupted for 40 to 80 us."""
    body = FAULT.quantile(RNG.random(10_000))
    hit = RNG.random(10_000) < 0.01
    found = Interruptions(0.01 / 22_200e-9, np.linspace(40_000, 80_000, 50), 0.0, 1.0)
    cleaned = without(body + hit * RNG.uniform(40_000, 80_000, 10_000), found)
    assert abs(len(body) - len(cleaned) - hit.sum()) < 40
    assert cleaned.mean() == pytest.approx(body.mean(), rel=0.01)
    assert len(without(body, None)) == len(body)
    untouched = without(body, found)
    assert untouched.mean() == pytest.approx(body.mean(), rel=0.01), "none there: none taken"


def test_interruptions_keep_rate_and_lengths() -> None:
    samples = Samples()
    samples.add("interruption/exposure", [2e9])
    samples.add("interruption/lasts", np.full(500, 50_000.0))
    found = interruptions(samples)
    assert found is not None
    assert found.per_second == pytest.approx(250)
    every, lasts = as_renewal(found._replace(overhead=20_000.0))
    assert every.mean() == pytest.approx(4e6, rel=1e-6)
    assert lasts.mean() == pytest.approx(30_000)
    assert interruptions(Samples()) is None
    samples.add("fault/slow/x", np.concatenate([np.full(10_000, 2e5), np.full(100, 8e6)]))
    both = interruptions(samples)
    assert both is not None
    assert both.per_second == pytest.approx(250 + 100 / 4.8, rel=0.01), "long ones are rarer"
    assert (both.lasts > 7e6).sum() == 100


def test_what_a_guest_pays_and_the_host_does_not_is_found() -> None:
    """250 ticks a second of 60 us in guest mode, of which 40 us are exit, way and entry."""
    rng = np.random.default_rng(4)
    body = FAULT.quantile(rng.random(40_000))
    ticks = rng.uniform(55_000, 65_000, 500)
    rate = 250.0
    hit = rng.random(40_000) < body / 1e9 * rate
    faults = body + hit * (rng.choice(ticks, 40_000) - 40_000)
    found = best_split(np.concatenate([ticks, np.full(40, 9_000.0)]), 500 / rate * 1e9, faults)
    assert found.overhead == pytest.approx(40_000, rel=0.2)
    assert found.per_second == pytest.approx(rate, rel=0.1), "what is shorter is none"
    assert found.host_lasts().mean() == pytest.approx(20_000, rel=0.4)


def test_a_line_is_found_through_interrupted_operations() -> None:
    pages, dirty = RNG.integers(1, 64, 80) * 1000.0, RNG.integers(0, 2000, 80) * 1.0
    ns = 3_000 + 0.05 * pages + 12 * dirty
    ns[RNG.random(80) < 0.1] += 4e6  # preempted
    line = nonnegative_fit(np.column_stack([np.ones(80), pages, dirty]), ns * 1.0)
    assert line.value == pytest.approx([3_000, 0.05, 12], rel=0.15)
    assert (line.low <= line.value).all()
    assert (line.value <= line.high + 1e-9).all()


def test_no_coefficient_is_negative() -> None:
    terms = np.column_stack([np.ones(40), np.linspace(0, 1, 40)])
    line = nonnegative_fit(terms, 100 - 50 * terms[:, 1])
    assert (line.value >= 0).all()


def made_up(**more: np.ndarray) -> Samples:
    """Samples of a machine with 10 us of exit and entry, and 12 us faults."""
    samples = Samples()
    for replicate in range(6):
        rng = np.random.default_rng(replicate)
        body = 12_000 + rng.gamma(4, 100, 400)
        samples.add("clock", np.full(50, 20.0))
        samples.add("loop", np.full(50, 15.0))
        samples.add("cpuid", rng.normal(10_000, 50, 50))
        for kind in ("write-protected-4K", "read-after-drop", "write-after-recreate"):
            samples.add(f"fault/slow/{kind}", body + 20)
        samples.add("fault/slow/first-of-region", body[:30] + 520)
        samples.add("fault/slow/write-read-only-2M", body[:30] + 1_520)
        samples.add("flush/idle", rng.normal(5_000, 50, 12))
        samples.add("flush/beside", rng.normal(13_000, 50, 12))
        samples.add("log/get", [[16384, d, 2_000 + 0.5 * 256 + 800 * (d > 0) + 15 * d]
                                for d in (0, 0, 100, 400, 1200)])  # fmt: skip
        samples.add("contention/alone", body)
        samples.add("contention/both", body + more.get("wait", np.zeros(1)))
    return samples


def test_known_parts_of_a_fault_are_found() -> None:
    found = find_costs(made_up())
    mean = {name: finding.distribution.mean() for name, finding in found.items()}
    assert mean["c_fault_slow"] == pytest.approx(12_400, rel=0.01), "the clock is taken off"
    assert mean["c_exit"] + mean["c_entry"] == pytest.approx(10_000, rel=0.01)
    assert mean["c_alloc_table"] == pytest.approx(500, rel=0.1)
    assert mean["c_zap_large"] + mean["c_flush_init"] == pytest.approx(1_000, rel=0.1)
    assert mean["c_flush_target"] == pytest.approx(8_000, rel=0.05)
    assert "c_ack" not in mean, "without interruptions nobody knows"
    assert mean["c_wclear"] == pytest.approx(15, rel=0.1)
    assert mean["c_get_floor"] == pytest.approx(2_000, rel=0.1)
    for finding in found.values():
        if finding.certainty is not None:
            assert 0 <= finding.certainty.low <= finding.certainty.high
    assert found["c_fault_fast"].provenance == "derived", "no lockless fault was seen"


def test_a_share_under_the_lock_that_cannot_be_seen_is_bounded() -> None:
    (alone,) = (fault_costs(made_up(), None)["c_lock_section"],)
    assert alone.provenance == "derived"
    assert "not significant" in alone.note
    waits = fault_costs(made_up(wait=np.full(1, 200.0)), None)["c_lock_section"]
    assert waits.provenance == "measured"
    assert 0 < waits.distribution.mean() < 2_400


def test_the_share_under_the_lock_is_found_again() -> None:
    """A section that the simulator was given is what its waits are traced back to."""
    fault = table(Gamma(12_000, 0.6).quantile(RNG.random(4_000)))
    waits = mean_wait(fault, 4_000, 5_000)
    assert waits > 100
    law = lock_waits(fault, 4_000, 8_000)
    assert law.section(waits) == pytest.approx(5_000, rel=0.2)
    assert law.section(-5.0) == 0
    assert law.section(1e9) == 8_000
    steady = mean_wait(Gamma(12_000, 0.02), 4_000, 3_000)
    assert steady < waits / 10, "vCPUs that do the same in the same time fall into step"


def test_differences_are_paired_by_replicate() -> None:
    drift = [np.full(20, 1000.0 * i) for i in range(1, 8)]
    value, sure = difference([a + 7 for a in drift], drift)
    assert value == sure.low == sure.high == pytest.approx(7)


def test_samples_survive_the_file(tmp_path: Path) -> None:
    samples = made_up()
    samples.facts = {"date": "today"}
    samples.save(tmp_path / "s.npz")
    again = load_samples(tmp_path / "s.npz")
    assert again.facts == samples.facts
    assert again.arrays.keys() == samples.arrays.keys()
    assert len(again.arrays["log/get"]) == 6
    np.testing.assert_allclose(again.of("log/get"), samples.of("log/get"), atol=0.051)


def test_damaged_samples_are_refused(tmp_path: Path) -> None:
    made_up().save(tmp_path / "s.npz")
    whole = (tmp_path / "s.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigError, match="is not a file of samples, or damaged"):
        load_samples(tmp_path / "cut.npz")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_samples(tmp_path / "none.npz")


def test_a_profile_of_samples_runs_an_experiment(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(tomli_w.dumps(profile_data(made_up(), "mine")))
    profile = load_profile("mine.toml", tmp_path)
    assert set(profile.costs) == set(COSTS)
    assert "not measured on this host" in profile.costs["c_emulate"].note
    data = {
        "schema": 1, "id": "t", "question": "?", "vm": {"memory": "4MiB", "kernel": "linux-3.7"},
        "host": {"profile": "mine.toml"},
        "policies": {"baseline": "lazy-drop", "compare": ["none"]},
        "driver": {"phases": [{"do": "enable-logging"}, {"do": "write"}]},
    }  # fmt: skip
    (only,) = settings_of(data, "t", tmp_path)
    phase = simulate(make_plan(only, "lazy-drop", 1)).phases[1]
    assert phase.writes.quantile(0.5) == pytest.approx(12_350, rel=0.02)
    data["host"]["variance"] = "none"  # type: ignore[index]
    (flat,) = settings_of(data, "t", tmp_path)
    assert flat.experiment.host.interference == []


FOREIGN = {
    "samples": "latency_us\n1.5\n2.5\n3.5\n",
    "beside": "timestamp,vcpu,fault_us,gfn\n7.1,0,1.5,9\n7.2,1,2.5,8\n7.3,0,3.5,7\n",
    "histogram": "low_us,high_us,count\n1,2,1\n2,3,1\n3,4,1\n",
    "bpftrace": "Attaching 2 probes...\n@us: \n[1]    1 |@@  |\n[2, 4)   2 |@@@@|\n",
    "perf": " 0.0 ( 0.0015 ms): q/1 ioctl(fd: 3) = 0\n 1.0 ( 0.0025 ms): q/1 ioctl()\n"
    " 2.0 ( 0.0035 ms): q/2 ioctl() = 0\n",
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_data_are_read(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "data.txt"
    path.write_text(FOREIGN[kind])
    data = read_foreign(path)
    assert data.count == 3
    best = fits("c_fault_slow", data)[0]
    assert best.distribution.mean() == pytest.approx(2_500, rel=0.1)


def test_bpftrace_suffixes_and_open_bins() -> None:
    path = ROOT / "none"
    with pytest.raises(ConfigError, match="cannot be read"):
        read_foreign(path)


def test_bins_of_bpftrace(tmp_path: Path) -> None:
    path = tmp_path / "hist.txt"
    path.write_text("@ns:\n[512, 1K)  10 |@@|\n[1K, 2K)  30 |@@@@|\n[2K, ...)  2 ||\n")
    data = read_foreign(path, "ns")
    assert data.edges.tolist() == [[512, 1024], [1024, 2048], [2048, 4096]]
    assert data.counts.tolist() == [10, 30, 2]


def test_gaps_between_bins_have_no_probability() -> None:
    fitted = from_bins(np.array([[0.0, 10.0], [100.0, 110.0]]), np.array([1.0, 1.0]))
    assert float(fitted.cdf(50.0)) == pytest.approx(0.5, abs=1e-6)
    assert fitted.mean() == pytest.approx(55.0, rel=1e-6)


def test_the_right_shape_fits_best(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    for shape, truth in (("lognormal", Lognormal(900, 0.4)), ("gamma", Gamma(900, 0.8))):
        ns = truth.quantile(RNG.random(4_000))
        path.write_text("latency_ns\n" + "".join(f"{x:.3f}\n" for x in ns))
        found = {f.shape: f for f in fits("c_exit", read_foreign(path))}
        other = {"lognormal": "gamma", "gamma": "lognormal"}[shape]
        right, wrong = found[shape].ks, found[other].ks
        assert right is not None
        assert wrong is not None
        assert right < 0.03 < wrong
        assert found[shape].distribution.mean() == pytest.approx(truth.mean(), rel=0.05)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("latency_us\nfast\n", "has a value that is not a number"),
        ("latency_us\n-3\n", "must be finite and not negative"),
        ("low_us,high_us,count\n3,2,1\n", "must have 0 <= low < high"),
        ("latency\n1\n", "unit: is not said by 'latency'"),
        ("\n", "is neither CSV nor a histogram of bpftrace"),
    ],
)
def test_foreign_data_that_are_none_are_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_foreign(path)


def test_fit_from_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "faults.csv").write_text(FOREIGN["samples"])
    out = tmp_path / "mine.toml"
    run = CliRunner().invoke(
        app, ["fit", f"c_fault_slow={tmp_path}/faults.csv", "--to", str(out), "--json"]
    )
    assert run.exit_code == 0, run.output
    rows = json.loads(run.stdout)["rows"]
    assert {row["shape"] for row in rows} == {"quantiles", "lognormal", "gamma"}
    profile = load_profile(str(out))
    assert profile.costs["c_fault_slow"].provenance == "measured"
    assert "3 observations" in profile.costs["c_fault_slow"].note
    for wrong, message in ((f"nonsense={tmp_path}/faults.csv", "not a cost"), ("x", "has no =")):
        with pytest.raises(ConfigError, match=message):
            CliRunner().invoke(app, ["fit", wrong], catch_exceptions=False)


@pytest.mark.parametrize("host", [HOST, f"{HOST}-2"])
def test_a_shipped_profile_is_what_its_samples_give(host: str) -> None:
    """The recorded samples give the profile in the repository, cost by cost."""
    path = shipped_profiles()[host]
    samples = load_samples(path.with_name(f"{host}.samples.npz"))
    data = profile_data(samples, host, f"{host}.samples.npz")
    again, shipped = check(data, HostProfile, "again"), load_profile(host)
    for name in COSTS:
        one, two = (p.costs[name].distribution().mean() for p in (again, shipped))
        assert one == pytest.approx(two, rel=1e-3, abs=0.2), name
    assert again.measurement == shipped.measurement
    assert len(shipped.measurement.hits) == 6  # type: ignore[union-attr]
    if host.endswith("-2"):  # the first is older than the laws of a machine
        keeps_bounds_of_what_was_not_measured(again, shipped)


def keeps_bounds_of_what_was_not_measured(again: HostProfile, shipped: HostProfile) -> None:
    """A default of the model has the bounds of its source, and a profile of a probe says them.

    Control: a default without bounds has none.
    """
    for profile in (again, shipped):
        for name, cost in profile.costs.items():
            if "not measured on this host" not in cost.note:
                continue
            assert cost.provenance == "assumed", name
            assert cost.plausible == default_cost(name).plausible, name
            assert (cost.plausible is None) == (COSTS[name].plausible is None), name


def test_the_shipped_profile_says_how_sure_it_is() -> None:
    profile = load_profile(HOST)
    measured = [c for c in profile.costs.values() if c.provenance == "measured"]
    assert len(measured) >= 14
    for cost in measured:
        assert cost.certainty is not None or "tenth percentile" in cost.note or "in c_" in cost.note
    assert profile.costs["c_fault_slow"].ks is not None
    assert profile.costs["c_fault_slow"].ks < 0.05
    assert profile.measurement is not None
    assert profile.measurement.load.seconds > 30
    assert as_cost(table(np.arange(100.0)))["quantiles"]["p"][0] == 0


def test_hits_follow_order_and_footprint() -> None:
    profile = load_profile(HOST)
    small = profile.distributions("random", 16 << 20)["t_walk_4K"].mean()
    large = profile.distributions("random", 512 << 20)["t_walk_4K"].mean()
    assert large != small
    plain = load_profile("skylake-2021")
    assert plain.distributions("random", 1 << 30) == plain.distributions("sequential", 1 << 20)


def test_log_costs_need_enough_gets() -> None:
    few = Samples()
    few.add("log/get", [[16384, 0, 100.0]] * 3)
    assert log_costs(few, {}) == {}


def test_a_profile_has_the_topology_and_follows_no_law_until_told() -> None:
    """The constants of laws are not measured, so runs on a measured host are as before."""
    assert "machine" not in profile_data(made_up(), "mine"), "samples of before have none"
    samples = made_up()
    samples.facts["topology"] = {"nodes": 2, "cores": 4, "threads_per_core": 2}
    machine = check(profile_data(samples, "mine"), HostProfile, "mine").machine
    assert machine is not None
    assert (machine.threads, machine.provenance, machine.laws) == (8, "measured", [])
