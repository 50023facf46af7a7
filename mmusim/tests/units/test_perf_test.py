"""The driver and the command ``dirty-log-perf-test``: phases, options and printed names."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from mmusim.base.errors import ConfigError
from mmusim.cli.one_run.dirty_log_perf_test import Options, experiment, printed
from mmusim.config.settings import Setting, settings_of
from mmusim.tests.support.command_line import mmusim_here
from mmusim.tests.support.selftest_runs import run
from mmusim.trace.records import PhaseTrace, Trace

OPTIONS: dict[str, Any] = {
    "vcpus": 2, "memory": "4M", "backing": "anonymous_hugetlb_2mb", "iterations": 2,
    "write_percent": 100, "random_access": False, "overlap": False, "nested": False,
    "run_vcpus": False, "no_manual_protect": False, "memslots": 1, "guest_mode": 0,
    "pin": "", "offset": "",
    "random_seed": 1, "policy": "linux-6.13", "host": "skylake-2021", "sample": "100%",
}  # fmt: skip


def made(**options: Any) -> Setting:
    (made,) = settings_of(experiment(Options(**OPTIONS | options)), "test", Path())
    return made


def phase(trace: Trace, name: str) -> PhaseTrace:
    (found,) = [phase for phase in trace.phases if phase.name == name]
    return found


# The phases of the selftest, by way of reporting (domain, G.1).


@pytest.mark.parametrize(
    ("policy", "operations"),
    [
        ("linux-6.13", ["touch", "get-dirty-log"]),
        ("linux-6.13+manual-clear", ["touch", "get-dirty-log", "clear-dirty-log"]),
        ("linux-6.13+initially-all-set", ["touch", "get-dirty-log", "clear-dirty-log"]),
        ("linux-6.13+dirty-ring", ["touch", "harvest-ring"]),
    ],
)
def test_each_way_of_reporting_has_its_own_operations(policy: str, operations: list[str]) -> None:
    trace = run(policy, iterations=3)
    expected = ["touch", "enable-logging", *operations * 3, "disable-logging"]
    assert [phase.do for phase in trace.phases] == expected
    assert trace.phases[trace.measured].name == "iteration 1 dirty memory"


def test_the_first_round_populates_and_the_others_write_what_they_are_told_to() -> None:
    trace = run(iterations=2, write_percent=25)
    populate = phase(trace, "populate memory")
    assert (populate.writes.count, populate.reads.count) == (2048, 0)
    first, second = (phase(trace, f"iteration {i} dirty memory") for i in (1, 2))
    for dirtying in (first, second):
        assert dirtying.writes.count + dirtying.reads.count == 2048
        assert dirtying.writes.count == pytest.approx(512, abs=100)  # 5 sigma of the binomial
    assert first.writes.count != second.writes.count, "a fresh lot each round"
    reported = phase(trace, "iteration 2 get dirty log").dirty
    assert reported == second.writes.count


@pytest.mark.parametrize("percent", [0, 100])
def test_all_or_nothing_is_no_lottery(percent: int) -> None:
    dirtying = phase(run(write_percent=percent), "iteration 1 dirty memory")
    assert dirtying.writes.count == 2048 * percent // 100


def test_overlapping_vcpus_touch_the_memory_of_all() -> None:
    apart, together = run("linux-6.2+split-on-fault"), run(
        "linux-6.2+split-on-fault", overlap_memory=True
    )  # fmt: skip
    writes = [phase(t, "iteration 1 dirty memory").writes.count for t in (apart, together)]
    assert writes == [2048, 4096]
    dirty = [phase(t, "iteration 1 get dirty log").dirty for t in (apart, together)]
    assert dirty == [2048, 2048]


def test_random_access_changes_the_order_and_nothing_else() -> None:
    in_order, at_random = run("linux-5.15"), run("linux-5.15", random_access=True)
    one, other = (phase(t, "iteration 1 dirty memory") for t in (in_order, at_random))
    assert one.writes.count == other.writes.count
    assert one.counters["pf_fixed"] == other.counters["pf_fixed"]
    assert in_order.fingerprint != at_random.fingerprint


def test_a_sample_touches_less_and_leaves_log_operations_whole() -> None:
    whole, sample = run("linux-6.13"), run("linux-6.13", sample="25%")
    writes = [phase(t, "iteration 1 dirty memory").writes.count for t in (whole, sample)]
    assert writes == [2048, 512]
    enabling = [phase(t, "enabling dirty logging").spent for t in (whole, sample)]
    assert enabling[0]["c_tdp_split_2M"] == 4 * 100
    assert enabling[1]["c_tdp_split_2M"] == 2 * 100, "what was never touched is not mapped"
    assert phase(sample, "iteration 1 get dirty log").dirty == 512


def test_vcpus_may_run_while_logging_is_switched_off() -> None:
    trace = run(run_vcpus_while_disabling=True)
    disabling = phase(trace, "disabling dirty logging")
    running = trace.phases[-3]
    assert running.do == "touch"
    assert running.writes.count % 2048 == 0, "whole laps"
    assert running.writes.count >= 2 * 2048, "more than one, for as long as it takes"
    assert disabling.start_ns == running.start_ns
    assert disabling.counters["pf_taken"] > 0
    assert phase(run(), "disabling dirty logging").counters["pf_taken"] == 0


# The command line maps one to one.


def test_options_become_the_cell_that_they_mean() -> None:
    setting = made(
        vcpus=4, memory="512M", backing="anonymous_hugetlb_1gb", write_percent=5, iterations=3,
        random_access=True, overlap=True, run_vcpus=True, nested=True,
    )  # fmt: skip
    vm, driver = setting.experiment.vm, setting.experiment.driver
    assert (vm.vcpus, vm.memory, vm.backing, vm.mmu) == (4, 2 << 30, "1GiB", "nested")
    assert driver.model_dump(exclude_defaults=True) == {
        "kind": "dirty-log-perf-test", "iterations": 3, "write_percent": 5, "random_access": True,
        "overlap_memory": True, "run_vcpus_while_disabling": True,
        "manual_protect": "initially-all-set",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("policy", "without_g"),
    [("linux-6.13", "initially-all-set"), ("linux-5.2", "on"), ("linux-3.16", None),
     ("linux-6.13+dirty-ring", None)],
)  # fmt: skip
def test_manual_protect_is_used_as_far_as_the_kernel_has_it(
    policy: str, without_g: str | None
) -> None:
    assert made(policy=policy).experiment.driver.manual_protect == without_g


def test_g_switches_manual_protect_off() -> None:
    assert made(no_manual_protect=True).experiment.driver.manual_protect == "off"


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("backing", "anonymous_hugetlb_1g", "did you mean 'anonymous_hugetlb_1gb'?"),
        ("memory", "1X", "is not a size; write e.g. 512M or 1G"),
        ("memory", "3M", "cannot be parted among 2 vCPUs in whole 2 MiB regions"),
        ("memslots", 2, "is more memory slots than the model has"),
        ("guest_mode", 3, "is not a guest mode of the model"),
        ("write_percent", 101, "must be at most 100"),
        ("iterations", 1, "-i = 1: is fewer iterations than the test accepts; give at least 2"),
        ("pin", "0,one", "-c = '0,one': is not a list of processors; write e.g. 0,1,2"),
        ("pin", "3", "names 1 processors for 2 vCPUs; name one for each vCPU, and perhaps one"),
        ("pin", "0,1,2,3", "names 4 processors for 2 vCPUs"),
        ("offset", "here", "-p = 'here': is not an address; write e.g. 0x40000000"),
        ("policy", "linux-6.13+lazzy", "is not a policy"),
        ("policy", "linux-6.13+shadow+eager_page_split", "this MMU has no eager page splitting"),
    ],
)
def test_an_option_without_counterpart_is_refused(option: str, value: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)):
        made(**{option: value})


def test_the_command_prints_what_the_selftest_prints() -> None:
    done = mmusim_here(
        "dirty-log-perf-test", "-v", "2", "-b", "2M", "-s", "anonymous_thp", "-w", "50"
    )
    assert done.returncode == 0, done.stderr
    time = r"[0-9]+\.[0-9]{9}s"
    patterns = [
        "Test iterations: 2",
        f"Populate memory time: {time}",
        f"Enabling dirty logging time: {time}",
        *[
            f"Iteration {i} {what} time: {time}"
            for i in (1, 2)
            for what in ("dirty memory", "get dirty log", "clear dirty log")
        ],
        f"Disabling dirty logging time: {time}",
        rf"Get dirty log over 2 iterations took {time}\. \(Avg {time}/iteration\)",
        rf"Clear dirty log over 2 iterations took {time}\. \(Avg {time}/iteration\)",
    ]
    lines = done.stdout.splitlines()
    assert len(lines) == len(patterns)
    for line, pattern in zip(lines, patterns, strict=True):
        assert re.fullmatch(pattern, line), line


def test_options_that_mean_nothing_here_are_read_and_change_nothing() -> None:
    plain, others = made(), made(pin="4,5,0", offset="0x40000000", memslots=1, guest_mode=0)
    assert plain.key() == others.key()
    assert plain.key() != made(write_percent=50).key(), "control"


SELFTEST = set("vbwarsioxgnecmph")
"""Its options (domain, G.1)."""


def test_every_option_of_the_selftest_is_one_here_and_h_explains_them() -> None:
    done = mmusim_here("dirty-log-perf-test", "-h")
    assert done.returncode == 0, done.stderr
    offered = set(re.findall(r"(?:^|\s)-([a-z])\b", done.stdout))
    assert offered == SELFTEST


def test_the_same_as_data() -> None:
    done = mmusim_here("dirty-log-perf-test", "-b", "2M", "-s", "anonymous_thp", "--json")
    rows = json.loads(done.stdout)["rows"]
    assert [row["phase"] for row in rows[:3]] == [
        "populate memory", "enabling dirty logging", "iteration 1 dirty memory",
    ]  # fmt: skip
    assert [row["dirty_pages"] for row in rows if "dirty_pages" in row] == [512, 512]
    assert all(row["time_ns"] > 0 for row in rows)


def test_totals_and_averages_are_of_the_printed_times() -> None:
    lines = printed(run("linux-6.13+manual-clear"))
    (total,) = [line for line in lines if line.startswith("Clear dirty log over")]
    one, two = (float(line.split()[-1][:-1]) for line in lines if "clear dirty log time" in line)
    assert total == (
        f"Clear dirty log over 2 iterations took {one + two:.9f}s. "
        f"(Avg {(one + two) / 2:.9f}s/iteration)"
    )


def test_a_policy_that_does_not_exist_is_one_line_without_a_traceback() -> None:
    done = mmusim_here("dirty-log-perf-test", "--policy", "lazy")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "did you mean 'lazy-drop'?" in done.stderr
