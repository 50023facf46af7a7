"""Measurements of others are read for what they are, or refused with the choices."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from mmusim.base.errors import ConfigError
from mmusim.calibration.foreign import from_bins, read_foreign
from mmusim.calibration.foreign_fit import fits, fits_of, foreign_profile
from mmusim.calibration.foreign_series import histogram
from mmusim.calibration.tables import as_cost, table
from mmusim.cli import app
from mmusim.config.host import Cost, HostProfile, load_profile
from mmusim.config.load import check
from mmusim.vocabulary import COSTS

TIMES = "7.5,0,1.4,901\n7.6,1,1.5,902\n7.7,2,1.6,903\n"


def written(tmp_path: Path, text: str, name: str = "data.txt") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "median_ns"),
    [
        ("@ns:\n[1K, 2K)  4 |@@|\n", 1_536),
        ("@wait_usecs[7, qemu]:\n[1, 2)  4 |@@|\n", 1_500),
        ("@ms:\n[2, 4)  0 ||\n[4, 8)  4 |@|\n", 6e6),
        (f"ts,vcpu,fault_us,gfn\n{TIMES}", 1_500),
        (f"timestamp_s;who;Latency (us);gfn\n{TIMES.replace(',', ';')}", 1_500),
        (f"vcpu\tx\tduration-ns\tgfn\n{TIMES.replace(',', chr(9))}", 1.5),
        ("\ufefflatency_us\r\n1.4\r\n1.5\r\n1.6\r\n", 1_500),
        ('"latency_us"\n"1.4"\n"1.5"\n"1.6"\n', 1_500),
        ("latency (\u03bcs)\n1.4\n1.5\n1.6\n", 1_500),
        ("low_ns,high_ns,count\n0,1,1\n1,2,0\n8,16,9\n", 11.56),
        (" 0.0 ( 0.012 ms): CPU 0/KVM/22 ioctl(fd: 1, cmd: KVM_RUN) = 0\n", 12_000),
        ("[12:30:01] begun\n(of 3)\n@ns:\n[1K, 2K)  4 |@@|", 1_536),
    ],
)
def test_the_unit_is_that_of_the_name(text: str, median_ns: float, tmp_path: Path) -> None:
    assert read_foreign(written(tmp_path, text)).median() == pytest.approx(median_ns, rel=1e-3)


TWO_MAPS = "@fast_us:\n[1, 2)  4 |@|\n\n@hlt_ms:\n[16, 32)  9 |@|\n"
CALLS = (
    " 0.0 ( 0.010 ms): q/1 ioctl(fd: 2, cmd: KVM_GET_DIRTY_LOG) = 0\n"
    " 0.1 (         ): q/1 ioctl(fd: 2, cmd: KVM_CLEAR_DIRTY_LOG)  ...\n"
    " 0.2 ( 0.001 ms): CPU 0/KVM/3 read(fd: 5) = 0\n"
    " 0.3 ( 0.040 ms): q/1  ... [continued]: ioctl()) = 0\n"
)


@pytest.mark.parametrize(
    ("text", "choices", "chosen", "median_ns"),
    [
        (TWO_MAPS, "@fast_us, @hlt_ms", "hlt_ms", 24e6),
        (TWO_MAPS, "@fast_us, @hlt_ms", "@fast_us", 1_500),
        (CALLS, "KVM_GET_DIRTY_LOG, read, KVM_CLEAR_DIRTY_LOG", "KVM_CLEAR_DIRTY_LOG", 40_000),
        ("min_us,max_us\n1,9\n2,8\n", "min_us, max_us", "max_us", 8_500),
        ("1,5\n2,6\n", "column 1, column 2", "column 2:us", 5_500),
    ],
)
def test_one_of_several_is_asked_for(
    text: str, choices: str, chosen: str, median_ns: float, tmp_path: Path
) -> None:
    """Three system calls, two maps or two columns are never pooled, and none is guessed."""
    path = written(tmp_path, text)
    with pytest.raises(ConfigError, match=f"NAME with one of {choices}$"):
        read_foreign(path)
    with pytest.raises(ConfigError, match="choice = 'nothing': is not in the file"):
        read_foreign(path, choice="nothing")
    fitted = fits_of(f"c_fault_slow={path}:{chosen}", implausible=True)[0]
    assert float(fitted.distribution.quantile(0.5)) == pytest.approx(median_ns, rel=0.4)
    name, _, unit = chosen.partition(":")
    assert read_foreign(path, unit, name).median() == pytest.approx(median_ns)


@pytest.mark.parametrize(
    ("text", "unit", "message"),
    [
        ("@ns:\n[1, 2) 4 |@|\n", "us", "is contradicted by the name '@ns'"),
        ("@lat:\n[1, 2) 4 |@|\n", "", "unit: is not said by '@lat'"),
        ("@vcpus:\n[1, 2) 4 |@|\n", "", "unit: is not said by '@vcpus'"),
        ("1500\n1600\n", "", "unit: is not said by"),
        ("low_us,high_ms,count\n1,2,3\n", "", "is not the same for low and high"),
        ("low_us,high_us,count\n1,3,3\n2,4,3\n", "", "overlap"),
        ("@us:\n[1, 2) 0 ||\n", "", "has no observation"),
        ("@us:\n[1, 2) 3 |@|\n@us:\n[1, 2) 9 |@|\n", "", "has '@us' 2 times"),
        ("latency_us\n3\nnan\n", "", "latency_us = nan: must be finite .* row 2"),
        ("latency_us\n1e999\n", "", "must be finite .* row 1"),
        ("latency_us\n1,4\n1,5\n", "", "row = 1: has 2 cells, and the first line 1; write decimal"),
        ("low_us,count\n0,5\n1,4\n", "", "has bins without high"),
        ("low_us,high_us,count\n0,1,0.5\n1,2,0.25\n", "", "count = 0.5: must be a whole number"),
        ("low_us,high_us,count\n0,1,1e300\n", "", "must be a whole number .* at most 1e"),
        ("@us:\n[4, 2) 3 |@@|\n", "", "must have 0 <= low < high, both finite, and bin 1"),
        (" 0.0 ( 1.2.3 ms): CPU 0/KVM/2 ioctl(cmd: KVM_RUN) = 0\n", "", "is"),
        ("a,b_us\nx,1\ny\n", "", "not a number in row 2"),
        ("latency_us\n1\n", "parsec", "is not one of"),
        ("  VM-EXIT    Samples  Samples%\n", "", "looks like perf kvm stat and has no whole row"),
        ("Migration status: completed\n", "", "migration's statistics"),
        ("CPU 0/KVM-1 [3] d..1. 9.1: kvm_exit: vcpu 0\n", "", "has no kvm_exit with a reason"),
        (
            " contended   total wait     max wait     avg wait\n",
            "",
            "a wait is what the simulation",
        ),
        ("kvm statistics - summary\n", "", "kvm_stat, which counts events and times none"),
        ("Populate memory time: 0.4s\n", "", "dirty_log_perf_test"),
        ("latency_us\n1.4\n1.5\n1", "", "no line end after line 4, so it may be cut"),
        ("low_us,high_us,count\n0,1,50\n1,2,4", "", "no line end after line 3"),
        ("@us:\n[1, 2)  4 |@|\n[2, 4)  7", "", r"bin that is not valid: \[2, 4\)  7"),
        ("@us:\n[1, 2)  4 |@|\n[2", "", r"bin that is not valid: \[2;"),
    ],
)
def test_what_is_ambiguous_or_no_measurement_is_refused(
    text: str, unit: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        read_foreign(written(tmp_path, text), unit)


def test_implausible_times_need_an_option(tmp_path: Path) -> None:
    """Timestamps, or microseconds read as milliseconds, are no faults; a slow host's are."""
    stamps = written(tmp_path, "timestamp_s\n1736244001.1\n1736244001.2\n", "stamps.csv")
    with pytest.raises(
        ConfigError, match=r"median of 1.736e\+09 s, and plausible is .* to 548.8 us"
    ):
        fits_of(f"c_fault_slow={stamps}:timestamp_s")
    slow = written(tmp_path, "fault_us\n180\n190\n200\n", "slow.csv")
    assert fits_of(f"c_fault_slow={slow}")
    thousandfold = written(tmp_path, "fault_ms\n1.4\n1.5\n1.6\n", "off.csv")
    command = ["fit", f"c_fault_slow={thousandfold}", "--to", str(tmp_path / "p.toml")]
    with pytest.raises(ConfigError, match="--implausible"):
        CliRunner().invoke(app, command, catch_exceptions=False)
    assert CliRunner().invoke(app, [*command, "--implausible"]).exit_code == 0
    median = (
        load_profile(str(tmp_path / "p.toml")).costs["c_fault_slow"].distribution().quantile(0.5)
    )
    assert float(median) == pytest.approx(1.5e6, rel=0.01)


def read_back(value: object) -> object:
    text = tomli_w.dumps({"value": value, "provenance": "measured", "note": "n"})
    return check(tomllib.loads(text), Cost, "t").distribution()


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(0, 10**15), min_size=1, max_size=40).filter(any),
    st.integers(0, 2**32 - 1),
)
def test_every_histogram_is_written_and_read_again(counts: list[int], seed: int) -> None:
    """With empty bins at any place, and counts so large that shares differ in the last bit."""
    ends = np.cumsum(np.random.default_rng(seed).random(len(counts) + 1) * 1e3)
    exact = from_bins(np.stack([ends[:-1], ends[1:]], axis=1), np.array(counts, float))
    assert read_back(as_cost(exact)) == exact


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1e12), min_size=1, max_size=300))
def test_every_table_of_samples_is_written_and_read_again(values: list[float]) -> None:
    exact = table(np.array(values))
    assert read_back(as_cost(exact)) == exact


def test_every_shape_is_written_and_read_again() -> None:
    """What is said to fit is what the profile then has, to the last bit."""
    gap = histogram([(1e3, 2e3), (2e3, 4e3), (16e3, 32e3)], [4100, 640, 9])
    for one in fits("c_fault_slow", gap):
        profile = foreign_profile({"c_fault_slow": one}, "t", "skylake-2021")
        again = check(tomllib.loads(tomli_w.dumps(profile)), HostProfile, "t")
        assert again.costs["c_fault_slow"].distribution() == one.distribution


def test_the_machine_and_the_bounds_of_the_base_stay(tmp_path: Path) -> None:
    """Fitting a fault says nothing of processors: the laws of the base, and what is known of their
    costs, are those of the new profile too. Control: the default base has no machine.
    """
    (tmp_path / "base.toml").write_text(
        'name = "base"\ndescribes = "a host"\nsource = "me"\n'
        "[machine]\ncores = 56\nnodes = 2\nplausible = { cores = [48, 64] }\n"
        "[costs]\nt_line = { value = '0.7ns', provenance = 'assumed', note = 'x', "
        "plausible = ['0.6ns', '0.9ns'] }\n"
    )
    (one, *_) = fits("c_fault_slow", histogram([(1e3, 2e3), (2e3, 4e3)], [4100, 640]))
    base = load_profile(str(tmp_path / "base.toml"))
    made = foreign_profile({"c_fault_slow": one}, "t", str(tmp_path / "base.toml"))
    again = check(tomllib.loads(tomli_w.dumps(made)), HostProfile, "t")
    assert again.machine == base.machine
    same = [name for name in COSTS if again.costs[name] == base.costs[name]]
    assert set(COSTS) - set(same) == {"c_fault_slow"}
    assert again.costs["t_line"].plausible == [0.6, 0.9]
    assert "machine" not in foreign_profile({"c_fault_slow": one}, "t", "skylake-2021")


def test_an_empty_bin_has_no_probability() -> None:
    """Control: without the gap the mass in between is not zero."""
    gap = from_bins(np.array([[1.0, 2.0], [2.0, 8.0], [8.0, 16.0]]), np.array([3.0, 0.0, 1.0]))
    full = from_bins(np.array([[1.0, 2.0], [2.0, 8.0], [8.0, 16.0]]), np.array([3.0, 1.0, 1.0]))
    assert gap.cdf(7.9) - gap.cdf(2.1) == pytest.approx(0, abs=1e-12)
    assert full.cdf(7.9) - full.cdf(2.1) > 0.1


def test_few_observations_are_told(tmp_path: Path) -> None:
    """Of 100 observations ten lie beyond p90, and one beyond p99."""
    few = written(tmp_path, "fault_us\n" + "1.4\n1.5\n" * 50, "few.csv")
    many = written(tmp_path, "fault_us\n" + "1.4\n1.5\n" * 500, "many.csv")
    said = [
        CliRunner()
        .invoke(app, ["fit", f"c_fault_slow={file}", "--to", str(tmp_path / "p.toml")])
        .output
        for file in (few, many)
    ]
    assert "of 100 observations fewer than 10 lie beyond p99" in said[0]
    assert "observations fewer than" not in said[1]
