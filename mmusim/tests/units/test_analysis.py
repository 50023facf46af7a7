"""Frames of outcomes and runs: units in their names, sums that hold, and seaborn takes them."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import seaborn as sns

from mmusim import analysis
from mmusim.base.errors import ConfigError
from mmusim.comparison.compare import compare
from mmusim.config.host import load_profile
from mmusim.engine import simulate
from mmusim.experiment.run import Outcome, run_experiment
from mmusim.metrics.measure import measure
from mmusim.plan.make import make_plan
from mmusim.store.run_table import frame
from mmusim.tests.support.experiment_files import SMALL
from mmusim.tests.support.reports import run_in
from mmusim.tests.support.settings import BUSY, busy_setting, setting
from mmusim.timeline.record import Timeline, record
from mmusim.trace.records import Trace
from mmusim.vocabulary import METRICS
from mmusim.vocabulary.causes import LOST_CAUSES

SWEPT = SMALL + '\n[sweep]\n"vm.memory" = ["2MiB", "4MiB"]\n'
MIGRATION = {"bandwidth": "400MB/s", "max-bandwidth": "0B/s", "downtime-limit": "1ms"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("analysis")
    run_in(folder, SWEPT)
    return folder


@pytest.fixture(scope="module")
def outcome(folder: Path) -> Outcome:
    return analysis.load(folder / "experiment.toml", folder / "out")


@pytest.fixture(scope="module")
def busy() -> tuple[Trace, Timeline]:
    plan = make_plan(busy_setting(), "lazy-drop", 1)
    return simulate(plan), record(plan)


def test_runs_are_those_of_the_run_directory(folder: Path, outcome: Outcome) -> None:
    runs = analysis.runs(outcome)
    assert len(runs) == 2 * 2 * 5
    assert set(runs["vm.memory"]) == {"2MiB", "4MiB"}
    assert set(runs["memory_bytes"]) == {2 << 20, 4 << 20}
    stored = frame(folder / "out")
    same = [c for c in stored.columns if c.endswith("_ns")]
    order = ["setting", "policy", "seed"]
    pd.testing.assert_frame_equal(
        runs.sort_values(order, ignore_index=True)[[*order, *same]], stored[[*order, *same]],
        check_dtype=False,
    )  # fmt: skip


def test_every_time_has_its_unit(outcome: Outcome) -> None:
    """A column of a metric is its name and its unit, and there is no other column of it."""
    columns = set(analysis.runs(outcome).columns)
    for name, unit in ((metric.name, metric.unit) for metric in METRICS.values()):
        column = name if name.endswith(f"_{unit}") or not unit else f"{name}_{unit}"
        assert column in columns
        assert not unit or column.endswith(f"_{unit}")


def test_metrics_are_long(outcome: Outcome) -> None:
    tidy = analysis.metrics(outcome, "phase_time", "faults")
    assert list(tidy.columns) == [
        "setting", "vm.memory", "policy", "seed", "metric", "unit", "value", "few_beyond",
    ]  # fmt: skip
    assert len(tidy) == 2 * 2 * 5 * 2
    assert set(tidy[["metric", "unit"]].apply(tuple, axis=1)) == {
        ("phase_time", "ns"),
        ("faults", ""),
    }
    assert "downtime" not in set(analysis.metrics(outcome)["metric"]), "nothing migrated"
    with pytest.raises(ConfigError, match="did you mean 'phase_time'"):
        analysis.metrics(outcome, "phase_tme")


def test_comparisons_have_their_intervals(outcome: Outcome) -> None:
    """Also of a metric that the experiment is not evaluated by."""
    found = analysis.comparisons(outcome, "phase_time", "mean_latency")
    assert len(found) == 4
    result = outcome.settings[1]
    ratio = compare(result.runs["eager-drop"], result.runs["lazy-drop"], "mean_latency").ratio
    row = found[
        (found["metric"] == "mean_latency") & (found["setting"] == result.setting.name)
    ].iloc[0]
    assert ratio is not None
    assert (row["ratio"], row["ratio_low"], row["ratio_high"]) == (
        ratio.estimate, ratio.low, ratio.high,
    )  # fmt: skip
    assert (row["seeds"], row["candidate"], row["unit"]) == (5, "lazy-drop", "ns")
    assert analysis.comparisons(outcome, "downtime").empty
    assert "ratio" in analysis.comparisons(outcome, "downtime").columns


def test_verdicts_are_the_outcomes(outcome: Outcome) -> None:
    found = analysis.verdicts(outcome)
    assert list(found["verdict"]) == [v.outcome for v in outcome.verdicts]
    assert list(found["unit"]) == ["", ""], "a ratio has none"
    assert (found["measured_low"] <= found["measured"]).all()


def test_a_ledger_sums_to_the_time(outcome: Outcome) -> None:
    by_run = analysis.ledger(outcome).groupby(["setting", "policy", "seed"])["time_ns"].sum()
    for result in outcome.settings:
        for policy, runs in result.runs.items():
            for run in runs:
                assert by_run[result.setting.name, policy, run.seed] == sum(run.ledger.values())
    lost = analysis.ledger(outcome).query("kind == 'lost'")["time_ns"].sum()
    assert lost == analysis.runs(outcome)["lost_time_ns"].sum()


def test_times_of_operations_sum_to_the_time_of_the_host(outcome: Outcome) -> None:
    by_run = (
        analysis.operation_times(outcome).groupby(["setting", "policy", "seed"])["time_ns"].sum()
    )
    runs = analysis.runs(outcome).set_index(["setting", "policy", "seed"])["protect_time_ns"]
    pd.testing.assert_series_equal(
        by_run.sort_index(), runs.sort_index(), check_names=False, check_dtype=False
    )


def test_latencies_are_distributions(outcome: Outcome) -> None:
    found = analysis.latencies(outcome)
    for _, run in found.groupby(["setting", "policy", "seed"]):
        assert run["latency_ns"].is_monotonic_increasing
        assert run["share_longer"].iloc[-1] == 0
        assert np.allclose(run["share_longer"] + run["share_up_to"], 1)
    accesses = found.groupby(["setting", "policy", "seed"])["count"].sum()
    assert set(accesses) == {512, 1024}
    tail = analysis.quantiles(outcome, [0.5, 0.99]).pivot(
        index=["setting", "policy", "seed"], columns="p", values="latency_ns"
    )
    runs = analysis.runs(outcome).set_index(["setting", "policy", "seed"])
    assert (tail[0.99].sort_index() == runs["p99_latency_ns"].sort_index()).all()


def test_rounds_of_a_migration(tmp_path: Path) -> None:
    path = tmp_path / "experiment.toml"
    path.write_text(
        SMALL.replace('"read" }]', '"migrate", workload = "w" }]\n[driver.migration]\n'
                      'bandwidth = "400MB/s"\nmax-bandwidth = "0B/s"\n'
                      '[workloads.w]\npattern = "uniform"\nwrites = "20%"\naccesses_per_page = 1.0')
        .replace('{ do = "enable-logging" }, ', "").replace("seeds = 5", "seeds = 2")
    )  # fmt: skip
    outcome = run_experiment(path, tmp_path / "out", workers=1)
    assert not outcome.failures
    rounds = analysis.rounds(outcome)
    runs = analysis.runs(outcome)
    assert rounds.groupby(["policy", "seed"])["round"].max().sum() == runs["rounds"].sum()
    assert set(rounds["outcome"]) == {"completed"}
    assert (rounds["end_ns"] > rounds["start_ns"]).all()
    assert rounds["bandwidth_bytes_per_s"].max() > 0


def test_phases_and_counters(busy: tuple[Trace, Timeline]) -> None:
    trace, _ = busy
    phases = analysis.phases(trace)
    assert list(phases["do"]) == [p["do"] for p in BUSY]
    assert phases["measured"].sum() == 1
    counters = analysis.counters(trace)
    taken = counters[counters["counter"] == "pf_taken"]["change"].sum()
    assert taken == sum(p.counters["pf_taken"] for p in trace.phases)


def test_stalls_are_all_that_is_lost(busy: tuple[Trace, Timeline]) -> None:
    """Their sum is that of the trace; stalls that follow each other at once are one."""
    trace, timeline = busy
    stalls = analysis.stalls(timeline)
    ledgers = [p.ledger for p in trace.phases if p.ledger]
    assert stalls["time_ns"].sum() == sum(ledger[c] for ledger in ledgers for c in LOST_CAUSES)
    assert 0.99 * sum(p.stalls.count for p in trace.phases) < len(stalls)
    assert len(stalls) <= sum(p.stalls.count for p in trace.phases)
    assert stalls["time_ns"].iloc[0] >= max(p.stalls.maximum for p in trace.phases)
    causes = list(stalls.columns[5:])
    assert (stalls[causes].sum(axis=1) == stalls["time_ns"]).all()
    assert set(stalls["main_cause"] + "_ns") <= set(causes)


def test_stalls_with_time_between_are_those_of_the_trace() -> None:
    """Number, sum and maximum, where a guest alone faults on every page it writes."""
    plan = make_plan(setting([{"do": "enable-logging"}, {"do": "write"}], memory="2MiB"), "none", 1)
    (phase,) = [p for p in simulate(plan).phases if p.guest]
    stalls = analysis.stalls(record(plan))["time_ns"]
    assert (len(stalls), stalls.sum(), stalls.max()) == (
        phase.stalls.count, phase.stalls.total_ns, phase.stalls.maximum,
    )  # fmt: skip


def test_a_timeline_tiles_the_time_of_vcpus(busy: tuple[Trace, Timeline]) -> None:
    trace, timeline = busy
    slices = analysis.timeline(timeline)
    assert slices["time_ns"].sum() == sum(p.vcpu_ns for p in trace.phases)
    holds = analysis.lock_holds(timeline)
    assert holds["wait_ns"].sum() == trace.lock.wait_ns
    assert len(holds) == trace.lock.acquisitions


def test_utilisation_agrees_with_the_metric() -> None:
    """Windows on a fine grid lose at most what the worst of all loses, and nearly that."""
    driver = [{"do": "write"}, {"do": "enable-logging"}, {"do": "write"}]
    plan = make_plan(setting(driver, vcpus=2, memory="8MiB"), "lazy-drop", 1)
    trace = simulate(plan)
    worst = measure(trace).values["worst_utilisation_100us"]
    phase = trace.phases[trace.measured]
    timeline = record(plan, start_ns=phase.start_ns)
    found = analysis.utilisation(timeline, 100_000, points=4000)
    assert found["utilisation"].between(0, 1).all()
    assert worst - 1e-9 <= found["utilisation"].min() < worst + 0.02
    assert set(found["vcpu"]) == {0, 1}
    with pytest.raises(ValueError, match="choose a shorter one"):
        analysis.utilisation(timeline, 10**12)


def test_a_window_in_which_a_vcpu_did_not_run_is_left_out() -> None:
    """Negative control of the same: between two phases nothing is lost, and nothing is there."""
    driver = [{"do": "write"}, {"do": "sleep", "time": "2ms"}, {"do": "write"}]
    timeline = record(make_plan(setting(driver, memory="2MiB"), "none", 1))
    found = analysis.utilisation(timeline, 50_000)
    first = next(p for p in timeline.phases if p.do == "sleep")
    there = found["time_ns"].between(first.start_ns + 25_000, first.end_ns - 25_000)
    assert not there.any()
    assert (found["time_ns"] < first.start_ns).any()
    assert (found["time_ns"] > first.end_ns).any()


def test_costs_of_a_host() -> None:
    found = analysis.costs(load_profile("skylake-2021")).set_index("cost")
    assert found.loc[["c_lock_handoff"], ["mean_ns", "p50_ns", "provenance"]].iloc[0].tolist() == [
        140, 140, "assumed",
    ]  # fmt: skip
    assert (found["p50_ns"] <= found["p99_ns"]).all()


@pytest.mark.filterwarnings("ignore:The figure layout has changed")
def test_seaborn_takes_them_as_they_are(outcome: Outcome, busy: tuple[Trace, Timeline]) -> None:
    """One call each, columns by name, no reshaping; and what is drawn has the frame's values."""
    mpl.use("agg")
    _, timeline = busy
    runs = analysis.runs(outcome)
    ax = sns.pointplot(runs, x="vm.memory", y="phase_time_ns", hue="policy", errorbar=None)
    drawn = sorted(y for line in ax.lines for y in line.get_ydata())
    means = runs.groupby(["vm.memory", "policy"])["phase_time_ns"].mean()
    assert drawn[:4] == pytest.approx(sorted(means))
    assert re.fullmatch("phase_time_ns", ax.get_ylabel())
    grids = [
        sns.catplot(analysis.metrics(outcome, "phase_time", "faults"), x="policy", y="value",
                    col="metric", sharey=False, kind="strip"),
        sns.relplot(analysis.latencies(outcome), x="latency_ns", y="share_longer", hue="policy",
                    units="seed", estimator=None, kind="line", col="setting"),
        sns.displot(analysis.ledger(outcome), x="time_ns", hue="cause", weights="time_ns",
                    bins=10),
        sns.relplot(analysis.utilisation(timeline), x="time_ns", y="utilisation", hue="vcpu"),
        sns.displot(analysis.stalls(timeline), x="time_ns", hue="main_cause", kind="ecdf"),
        sns.relplot(analysis.quantiles(outcome), x="p", y="latency_ns", hue="policy"),
    ]  # fmt: skip
    for grid in grids:
        assert all(ax.has_data() for ax in grid.axes.flat)
    sns.mpl.pyplot.close("all")
