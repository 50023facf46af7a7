"""The real selftest's lines stand beside the simulated ones, each beside its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmusim.base.errors import ConfigError
from mmusim.migration_logs import read_log
from mmusim.tests.support.command_line import mmusim_here
from mmusim.tests.support.selftest_runs import run
from mmusim.validation.selftest_output import (
    Measured,
    beside_measured,
    read_selftest,
    simulated_times,
    unlike,
)

OUTPUT = """\
Test iterations: 2
Testing guest mode: PA-bits:ANY, VA-bits:48,  4K pages
guest physical test memory: [0x7ffffe000000, 0x7fffff000000)
Random seed: 7
Populate memory time: 0.471220193s
Enabling dirty logging time: 0.025870330s

Iteration 1 dirty memory time: 0.058690114s
Iteration 1 get dirty log time: 0.000021007s
Iteration 1 clear dirty log time: 0.055331104s
Iteration 2 dirty memory time: 0.313001191s
Iteration 2 get dirty log time: 0.000020101s
Iteration 2 clear dirty log time: 0.015771203s
Disabling dirty logging time: 0.036110294s
Get dirty log over 2 iterations took 0.000041108s. (Avg 0.000020554s/iteration)
Clear dirty log over 2 iterations took 0.071102307s. (Avg 0.035551153s/iteration)
"""


def measured(tmp_path: Path, text: str = OUTPUT) -> Measured:
    path = tmp_path / "real.txt"
    path.write_text(text)
    return read_selftest(path)


def test_every_line_is_read_to_the_nanosecond(tmp_path: Path) -> None:
    real = measured(tmp_path)
    assert real.times["Populate memory time"] == 471_220_193
    assert real.times["Clear dirty log over 2 iterations, average"] == 35_551_153
    assert len(real.times) == 13
    assert (real.iterations, real.random_seed, real.memory_bytes) == (2, 7, 16 << 20)
    assert real.unread == ()


def test_lines_of_both_stand_beside_each_other(tmp_path: Path) -> None:
    trace = run("linux-6.13+manual-clear")
    rows = beside_measured(measured(tmp_path), trace)
    assert [row["line"] for row in rows] == list(measured(tmp_path).times)
    for row in rows:
        assert row["ratio"] == pytest.approx(row["simulated_ns"] / row["measured_ns"])
    assert simulated_times(trace)["Populate memory time"] == rows[0]["simulated_ns"]


def test_a_run_beside_itself_has_the_ratio_one() -> None:
    """Control: with one line doubled, that line alone has another ratio."""
    trace = run("linux-6.13+manual-clear")
    times = simulated_times(trace)
    assert {row["ratio"] for row in beside_measured(Measured(times), trace)} == {1.0}
    slower = times | {"Populate memory time": 2 * times["Populate memory time"]}
    ratios = {row["line"]: row["ratio"] for row in beside_measured(Measured(slower), trace)}
    assert ratios.pop("Populate memory time") == 0.5
    assert set(ratios.values()) == {1.0}


def test_a_line_that_one_side_lacks_is_none_and_never_another_line(tmp_path: Path) -> None:
    """A kernel that clears in its gets has no clears; a log that is cut has no last lines."""
    rows = {row["line"]: row for row in beside_measured(measured(tmp_path), run("linux-6.13"))}
    clear = rows["Iteration 1 clear dirty log time"]
    assert (clear["simulated_ns"], clear["ratio"], clear["measured_ns"]) == (None, None, 55_331_104)
    cut = measured(tmp_path, OUTPUT[: OUTPUT.index("0.015771203s") + 8])
    assert cut.unread == ("Iteration 2 clear dirty log time: 0.015771",)
    trace = run("linux-6.13+manual-clear")
    rows = {row["line"]: row for row in beside_measured(cut, trace)}
    assert rows["Disabling dirty logging time"]["measured_ns"] is None
    assert rows["Iteration 2 get dirty log time"]["measured_ns"] == 20_101
    assert "cannot be read: Iteration 2 clear dirty log time: 0.015771" in unlike(cut, 2, 16 << 20)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (OUTPUT + OUTPUT, "twice; keep the output of one run"),
        ("Test iterations: 2\n", "has no line of dirty_log_perf_test with a time"),
        ("Populate memory time: 471ms\n", "has no line of dirty_log_perf_test with a time"),
        ("@us:\n[1, 2)  3 |@@|\n", r"is the output of bpftrace's hist\(\); mmusim fit"),
    ],
)
def test_what_is_ambiguous_or_of_another_tool_is_refused(
    text: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        measured(tmp_path, text)


def test_what_differs_is_said(tmp_path: Path) -> None:
    real = measured(tmp_path)
    assert unlike(real, 2, 16 << 20) == []
    (iterations, memory) = unlike(real, 3, 8 << 20)
    assert "2 iterations, this one 3" in iterations
    assert "16MiB of memory, this one 8MiB" in memory


def test_the_verb_takes_iterations_and_seed_from_the_file(tmp_path: Path) -> None:
    measured(tmp_path, OUTPUT.replace("Test iterations: 2", "Test iterations: 3"))
    command = ["dirty-log-perf-test", "-b", "2M", "-s", "anonymous_thp", "--measured"]
    done = mmusim_here(*command, tmp_path / "real.txt", "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["line"]: row for row in json.loads(done.stdout)["rows"]}
    assert rows["Iteration 3 dirty memory time"]["simulated_ns"] > 0
    assert "this one 2MiB" in done.stderr
    done = mmusim_here(*command, tmp_path / "real.txt", "-i", "2")
    assert "the real run had 3 iterations, this one 2" in done.stderr
    assert "471.2 ms" in done.stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (OUTPUT, "dirty_log_perf_test, .*mmusim dirty-log-perf-test --measured FILE"),
        ("             VM-EXIT    Samples  Samples%\n", "perf kvm stat; mmusim fit"),
        ("# tracer: nop\n", "ftrace; mmusim fit c_fault_slow=FILE"),
        ("@ns:\n[1K, 2K)  4 |@@|\n", r"bpftrace's hist\(\); mmusim fit COST=FILE:MAP"),
        (" 0.0 ( 0.012 ms): q/1 ioctl(fd: 1) = 0\n", "perf trace; mmusim fit COST=FILE:CALL"),
        (" contended   total wait     max wait     avg wait\n", "perf lock contention"),
        ("nothing at all\n", "is not the log of a migration that mmusim knows"),
    ],
)
def test_import_says_where_measurements_belong(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_log(path)
