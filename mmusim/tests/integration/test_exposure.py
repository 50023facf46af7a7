"""What measured windows met: recorded and compared; no verdict where nothing met the log."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from typer.testing import CliRunner

from mmusim.base.errors import ConfigError
from mmusim.cli import app
from mmusim.comparison.exposure import differ, differences, no_verdict, objections
from mmusim.engine import simulate
from mmusim.engine.choice import SIMPY
from mmusim.experiment.contrasts import contrasts
from mmusim.experiment.exposure import apart, in_window, rows, warnings
from mmusim.experiment.run import Outcome, run_experiment
from mmusim.metrics.exposure import Exposure
from mmusim.metrics.measure import Metrics, measure
from mmusim.plan.make import make_plan
from mmusim.report.answers import answers
from mmusim.store.provenance import commit
from mmusim.tests.support.settings import only, setting

FAR = {"at": "100us"}


def experiment(
    at: str, folder: Path, tlb: Any = "unlimited", requests: int = 10, **driver: Any
) -> Path:
    """Ten requests a vCPU, for some 200 us, and logging that begins at some time."""
    folder.mkdir(exist_ok=True)
    data: dict[str, Any] = {
        "schema": 1,
        "id": "exposed",
        "question": "Which is better?",
        "answer_by": "max_request",
        "vm": {"vcpus": 2, "memory": "8MiB", "kernel": "linux-6.8"},
        "host": {"profile": "skylake-2021", "tlb": tlb},
        "policies": {"baseline": "eager_page_split", "compare": ["split-on-fault"]},
        "driver": {
            "measure": "requests",
            "phases": [
                {"do": "write"},
                {"do": "run", "workload": "requests", "name": "requests", "background": True},
                {"do": "enable-logging", "at": at},
                {"do": "sync-dirty-log", "after": "50us"},
                {"do": "wait"},
            ],
        }
        | driver,
        "workloads": {
            "requests": {
                "pattern": "open-loop-requests", "requests": requests, "interarrival": "20us",
                "arrivals": "regular", "touches": 4, "writes": "50%",
            },
        },
        "replications": {"seeds": 5},
        "claims": [
            {"says": "no slower", "metric": "max_request", "expect": [0.0, 100.0],
             "ratio": "split-on-fault / eager_page_split"},
            {"says": "enabling is cheaper", "metric": "enable_time",
             "ratio": "split-on-fault / eager_page_split", "expect": [0.0, 1.0]},
        ],
    }  # fmt: skip
    path = folder / "experiment.toml"
    path.write_text(tomli_w.dumps(data))
    return path


def outcome(at: str, folder: Path, **driver: Any) -> Outcome:
    path = experiment(at, folder, **driver)
    return run_experiment(path, folder / "out", workers=1, engine="simpy")


def test_there_is_no_verdict_where_requests_were_over_before_logging_began(
    tmp_path: Path,
) -> None:
    made = outcome("5ms", tmp_path)
    (result,) = made.settings
    for runs in result.runs.values():
        for run in runs:
            assert run.exposures[""].missed_the_log
            assert run.exposures[""].requests == 20
    (answer,) = answers(made)
    assert "no verdict on split-on-fault" in answer
    assert "never met the log" in answer
    assert "never met the log" in warnings(made)[0]
    guest, host = made.verdicts
    assert guest.outcome == "inconclusive"
    assert host.outcome == "supported", "what the host does is measured wherever the guest is"


def test_a_run_that_met_the_log_is_answered(tmp_path: Path) -> None:
    """Control: requests go on until logging is on under either policy."""
    made = outcome("30us", tmp_path, requests=60)
    (result,) = made.settings
    assert not any(run.exposures[""].missed_the_log for run in result.runs["eager_page_split"])
    assert "no verdict" not in " ".join(answers(made))
    assert not any("never met" in line for line in warnings(made))
    assert made.verdicts[0].outcome != "inconclusive"


def test_every_window_has_its_exposure_and_can_be_compared_by_itself(tmp_path: Path) -> None:
    windows = [
        {"name": "before", "from": "requests", "to": "enable-logging"},
        {"name": "after", "from": "end of enable-logging", "lasts": "400us"},
    ]
    made = outcome("100us", tmp_path, windows=windows, measure="after")
    table = {(row["window"], row["policy"]): row for row in rows(made)}
    assert len(table) == 4
    assert table["after", "eager_page_split"]["operations_ended"] == 1
    assert table["after", "eager_page_split"]["time_with_logging_on"] == 400_000
    assert table["before", "eager_page_split"]["operations_begun"] == 0
    assert "never met the log" in table["before", "eager_page_split"]["objections"]
    assert table["after", "eager_page_split"]["requests"] == 40
    (one,) = contrasts(in_window(made, "before"), ["max_request"])
    assert one.comparison.difference.estimate == 0, "nothing differs before logging begins"
    (two,) = contrasts(made, ["max_request"])
    assert two.comparison.difference.estimate != 0
    with pytest.raises(ConfigError, match="did you mean 'before'"):
        in_window(made, "befor")


def test_the_command_line_says_what_was_met(tmp_path: Path) -> None:
    path = experiment("5ms", tmp_path)
    runner = CliRunner()
    ran = runner.invoke(
        app,
        ["run", str(path), "--out", str(tmp_path / "out"), "--engine", "simpy", "--workers", "1"],
    )
    assert ran.exit_code == 0, ran.output
    assert "warning: eager_page_split never met the log" in ran.output
    assert "There is no verdict on split-on-fault" in ran.output
    said = runner.invoke(app, ["exposure", str(path), "--out", str(tmp_path / "out")])
    assert said.exit_code == 0
    head, *rows = [line.split("│")[1:-1] for line in said.output.splitlines() if "│" in line]
    assert len({row[-2].strip() for row in [head, *rows]}) == 1, "operations begun, and ended"
    assert {cell.strip() for row in [head, *rows] for cell in row[-2:]} == {"0"}


def test_a_long_operation_beside_a_tlb_that_keeps_everything_is_said(tmp_path: Path) -> None:
    """And not where it is short, or where TLBs have a reach."""

    made = {tlb: outcome("30us", tmp_path / str(tlb), tlb=tlb) for tlb in ("unlimited", 1536)}

    def said(longest_ns: int, tlb: Any = "unlimited") -> list[str]:
        (result,) = made[tlb].settings
        longer = {
            policy: [
                replace(run, exposures={"": replace(run.exposures[""], longest_ns=longest_ns)})
                for run in runs
            ]
            for policy, runs in result.runs.items()
        }
        lines = warnings(replace(made[tlb], settings=[replace(result, runs=longer)]))
        return [line for line in lines if "host.tlb" in line]

    assert said(1_000_000) == []
    (line,) = said(345_000_000)
    assert "took 345 ms" in line
    assert said(345_000_000, tlb=1536) == []


# --- objections ----------------------------------------------------------------------------------

PLAIN = Exposure(
    length_ns=1000, logged_ns=800, guest_ns=1000, begun=3, ended=3, unfinished=0, armed=100,
    reported=50, false=0, accesses=1000, requests=100, lock_busy_ns=100, leftover_faults=0, late=0,
    latest_ns=0, has_log=True, logs=True,
)  # fmt: skip


def run_of(policy: str, exposure: Exposure) -> Metrics:
    trace = simulate(make_plan(setting([{"do": "write"}], memory="2MiB"), "lazy-drop", 1))
    return replace(measure(trace), policy=policy, exposures={"": exposure})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"logged_ns": 0}, "never met the log"),
        ({"unfinished": 1}, "1 of 1 runs an operation had not ended"),
        ({"lock_busy_ns": 710}, "busy for 71%"),
        ({"leftover_faults": 3}, "had not settled: 3 faults"),
        ({"late": 2, "latest_ns": 5000}, "2 of 3 operations began late, by up to 5 us"),
        ({"guest_ns": 500}, "as little as 50% of the window"),
        ({"requests": 111}, "requests 111 against 100"),
        ({"accesses": 880}, "accesses 880 against 1,000"),
        ({"ended": 2}, "operations ended 2 against 3"),
        ({"armed": 120}, "pages armed 120 against 100"),
        ({"false": 1}, "falsely dirty 1 against 0"),
        (
            {"length_ns": 1500, "guest_ns": 1500, "accesses": 1010},
            "met different things: length 1.5 us against 1 us",
        ),
        ({"logged_ns": 500}, "share of the time with logging on 50% against 80%"),
    ],
)
def test_each_objection_is_made_by_name(changes: dict[str, Any], words: str) -> None:
    runs = {"a": [run_of("a", PLAIN)], "b": [run_of("b", replace(PLAIN, **changes))]}
    made = objections(runs, "a")
    assert any(words in o.text and o.policy == "b" for o in made), made
    assert bool(no_verdict(runs)) == (changes.get("logged_ns") == 0)


def test_there_is_no_verdict_on_a_guest_that_was_over_before_logging_was_on() -> None:
    early = replace(PLAIN, before_on=True)
    most = [run_of("a", e) for e in (early, early, PLAIN)]
    few = [run_of("b", e) for e in (early, PLAIN, PLAIN)]
    assert "a: in 2 of 3 runs what is measured was over before logging was on" in no_verdict(
        {"a": most, "b": few}
    )
    assert no_verdict({"a": most, "b": most})
    assert not no_verdict({"a": few, "b": few}), "control"


def test_a_phase_that_ends_within_enabling_is_told_from_a_window() -> None:
    workload = {"r": {"pattern": "uniform", "accesses_per_page": 0.2, "writes": "50%"}}
    phases = [
        {"do": "write"},
        {"do": "run", "workload": "r", "name": "guest", "background": True},
        {"do": "enable-logging", "at": "1us"},
        {"do": "wait"},
    ]
    window = {"name": "w", "from": "enable-logging", "lasts": "2us"}
    for windows, measured, told in (([], "guest", True), ([window], "w", False)):
        made = setting(
            phases, memory="16MiB", workloads=workload, policies=only("linux-6.8"),
            vm={"kernel": "linux-6.8"}, driver={"windows": windows, "measure": measured},
        )  # fmt: skip
        trace = simulate(make_plan(made, "linux-6.8", 1), engine=SIMPY)
        assert measure(trace).exposures[""].before_on == told


def test_there_is_no_objection_where_there_is_nothing_to_object_to() -> None:
    """Control: what is within a tenth, and policies that log nothing."""
    for other in (
        PLAIN,
        replace(PLAIN, requests=109, accesses=920, lock_busy_ns=690),
        replace(PLAIN, logs=False, logged_ns=0, armed=0, reported=0),
        # the same accesses in more time: the time is the answer
        replace(PLAIN, length_ns=2000, guest_ns=2000, logged_ns=1600),
    ):
        runs = {"a": [run_of("a", PLAIN)], "b": [run_of("b", other)]}
        assert objections(runs, "a") == ()


def test_less_than_a_page_in_a_run_is_no_difference() -> None:
    for false, what in ((1, []), (2, ["pages reported falsely dirty"])):
        runs = {
            "a": [run_of("a", PLAIN)] * 2,
            "b": [run_of("b", replace(PLAIN, false=n)) for n in (0, false)],
        }
        assert [one.what for one in differences(runs, "b", "a")] == what


def test_what_differs_is_listed_by_setting_window_and_policy(tmp_path: Path) -> None:
    made = outcome("30us", tmp_path)
    (result,) = made.settings
    runs = result.runs["split-on-fault"]
    fewer = [
        replace(run, exposures={"": replace(run.exposures[""], requests=10, accesses=40)})
        for run in runs
    ]
    worse = replace(result, runs=result.runs | {"split-on-fault": fewer})
    listed = apart(replace(made, settings=[worse]))
    assert {(row["window"], row["policy"]) for row in listed} == {("requests", "split-on-fault")}
    (row,) = [row for row in listed if row["differs_in"] == "requests"]
    assert (row["value"], row["baseline"], row["shown"]) == (10, 20, ("10", "20"))
    twice = replace(result, runs=dict.fromkeys(result.runs, result.runs["eager_page_split"]))
    assert not apart(replace(made, settings=[twice])), "control"


def test_two_names_of_one_policy_are_said(tmp_path: Path) -> None:
    policies = {"baseline": "eager_page_split", "compare": ["linux-6.8", "split-on-fault"]}
    path = experiment("30us", tmp_path)
    data = tomllib.loads(path.read_text()) | {"policies": policies, "claims": []}
    path.write_text(tomli_w.dumps(data))
    made = run_experiment(path, tmp_path / "out", workers=1, engine="simpy")
    twins = [line for line in warnings(made) if "two names of one policy" in line]
    assert len(twins) == 1, "split-on-fault is the control"
    assert twins[0].startswith("linux-6.8 did what eager_page_split did in each of 5 seeds")


def test_a_policy_that_logs_nothing_neither_begins_nor_ends_an_operation() -> None:
    windows = [{"name": "w", "from": "enable-logging", "lasts": "50us"}]
    phases = [
        {"do": "write"},
        {"do": "read", "background": True, "repeat": True},
        {"do": "enable-logging", "at": "20us"},
        {"do": "wait"},
    ]
    policies = {"baseline": "none", "compare": ["lazy-drop"]}
    made = setting(phases, driver={"windows": windows, "measure": "w"}, policies=policies)
    found = {
        policy: measure(simulate(make_plan(made, policy, 1), engine=SIMPY)).exposures["w"]
        for policy in ("none", "lazy-drop")
    }
    assert [found[policy].begun for policy in found] == [0, 1]
    assert [found[policy].ended for policy in found] == [0, 1]


def test_a_tenth_is_the_bound() -> None:
    assert not differ(100, 91)
    assert not differ(0, 0)
    assert differ(100, 89)
    assert differ(0, 1)


def test_a_guest_that_has_not_touched_all_its_memory_has_not_settled() -> None:
    """Six accesses a page leave 0.25 % of the pages; what they fault on is left over."""

    def leftover(accesses_per_page: float) -> int:
        made = setting(
            [
                {"do": "write"},
                {"do": "enable-logging"},
                {"do": "run", "workload": "settle"},
                {"do": "run", "workload": "steady", "name": "steady"},
            ],
            memory="16MiB",
            driver={"measure": "steady"},
            workloads={
                "settle": {"pattern": "uniform", "accesses_per_page": accesses_per_page,
                           "writes": "0%"},
                "steady": {"pattern": "uniform", "accesses_per_page": 4.0, "writes": "0%"},
            },
        )  # fmt: skip
        return measure(simulate(make_plan(made, "eager-drop", 1))).exposures[""].leftover_faults

    few = leftover(6.0)
    assert 1 <= few <= 40
    assert leftover(14.0) == 0


def test_a_command_writes_the_page_of_evidence(tmp_path: Path) -> None:
    """What it says is what the stored runs say."""
    path = experiment("30us", tmp_path / "asked", requests=60)
    told = CliRunner().invoke(
        app,
        ["exposure", str(tmp_path), "--to", str(tmp_path / "page"), "--out", str(tmp_path / "out"),
         "--seeds", "2", "--workers", "1"],
    )  # fmt: skip
    assert told.exit_code == 0, told.output
    page = (tmp_path / "page" / "exposure-full-size.md").read_text()
    assert f"at commit {commit()} by" in page, "runs of another commit are other runs"
    made = run_experiment(path, tmp_path / "out" / "exposed", seeds=2, workers=1)
    for row in rows(made):
        begun = f"{row['operations_begun']:g}"
        assert f"| `asked` | {row['window']} | `{row['policy']}` | {begun} |" in page
    for row in apart(made):
        assert f"| `asked` | {row['window']} | {row['differs_in']} |" in page
    assert "All settings and 2 seeds." in page
    path.write_text(path.read_text() + "\n[reduced]\nseeds = 2\n")
    small = CliRunner().invoke(
        app,
        ["exposure", str(tmp_path), "--to", str(tmp_path / "page"), "--out", str(tmp_path / "out"),
         "--reduced", "--seeds", "2", "--workers", "1"],
    )  # fmt: skip
    assert small.exit_code == 0, small.output
    assert "at commit" not in (tmp_path / "page" / "exposure.md").read_text(), "made anew by a test"
    refused = CliRunner().invoke(app, ["exposure", str(path), "--reduced"])
    assert refused.exit_code != 0, "the control: without --to nothing is run"
