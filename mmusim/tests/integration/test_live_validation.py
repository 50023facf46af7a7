"""Measured beside simulated: scores on made-up runs, and the comparison of recorded ones."""

from __future__ import annotations

import dataclasses
import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mmusim.base.errors import ConfigError
from mmusim.base.histogram import Histogram
from mmusim.cli import app
from mmusim.cli.evidence import evidence
from mmusim.cli.shared import arms
from mmusim.cli.shared.live_validation import miss_rows, row, sentences
from mmusim.config.host import load_profile
from mmusim.conformance.kernel_cases import read_cases
from mmusim.kvm.device import why_unusable
from mmusim.metrics.few_beyond import FEW
from mmusim.tests.support.places import ROOT
from mmusim.validation.live_arms import Arm, arms_of, predict_arms, read_arms
from mmusim.validation.live_grid import GridSetting, read_grid
from mmusim.validation.live_runs import Kind, RunOf, load_runs, save_runs, simulate_all
from mmusim.validation.live_score import (
    misses,
    score_all,
    summarise,
)
from mmusim.validation.sceptic import distributions, ks_matrix, sceptic

HOST = "emerald-rapids-pvm"
RUNS = ROOT / "mmusim" / "validation" / "recorded" / f"{HOST}.jsonl.gz"
ARMS = ROOT / "experiments" / "read-after-write-protect" / "live.toml"
ARMS_RUNS = ARMS.with_suffix(".jsonl.gz")
SETTING = GridSetting.model_validate({"memory": "32MiB", "writes": "60%", "order": "random"})


def made_up(
    kind: Kind, seed: int, *, scale: float = 1.0, drift: float = 0.0, faults: int = 4, n: int = 3000
) -> RunOf:
    """A run of made-up latencies; `drift` is the run-to-run spread of a machine."""
    rng = np.random.default_rng(seed + 1000 * (kind == "simulated"))
    level = scale * (1 + drift * rng.normal())
    ns = (level * (20_000 + rng.gamma(4, 500, n))).astype(np.int64)
    histogram = Histogram()
    histogram.add(ns)
    counters = {"pf_taken": faults, "pf_fixed": faults}
    return RunOf(
        SETTING.name, "steady", kind, seed, float(ns.sum()), histogram, counters, faults, 1e5
    )  # fmt: skip


def groups(**simulated: float) -> tuple[list[RunOf], list[RunOf]]:
    """Ten runs of a machine, and ten that were simulated."""
    measured = [made_up("measured", seed, drift=0.01) for seed in range(1, 11)]
    return measured, [
        made_up("simulated", seed, drift=simulated.get("drift", 0.01),
                scale=simulated.get("scale", 1.0))
        for seed in range(1, 11)
    ]  # fmt: skip


def test_a_sceptic_keeps_the_level() -> None:
    """Where both are the same machine, about 5 % of tests say otherwise."""
    told = 0
    for trial in range(60):
        runs = [made_up("measured", 100 * trial + i, drift=0.02, n=300) for i in range(12)]
        told += sceptic(runs[:6], runs[6:]).can_tell
    assert told <= 8


def test_a_sceptic_tells_what_differs() -> None:
    """Negative control: five standard deviations of the machine's own drift."""
    assert sceptic(*groups(scale=1.05)).can_tell
    seen = sceptic(*groups())
    assert not seen.can_tell
    assert seen.between == pytest.approx(seen.within, rel=0.5)
    assert seen.auc == pytest.approx(0.5, abs=0.15)


def test_a_tolerance_is_a_common_factor_and_no_other_difference() -> None:
    """Negative controls: a factor beyond it, and a shape that no factor makes equal."""
    near = sceptic(*groups(scale=1.045))
    assert near.can_tell
    assert not near.can_tell_beyond
    assert sceptic(*groups(scale=1.15)).can_tell_beyond
    measured, simulated = groups()
    half = [dataclasses.replace(run, latencies=doubled(run.latencies)) for run in simulated]
    assert sceptic(measured, half).can_tell_beyond
    same = sceptic(*groups())
    assert same.p <= same.p_within


def doubled(times: Histogram) -> Histogram:
    """Half of the times as they are, and half of them twice as long."""
    made = Histogram()
    for p in np.linspace(0.005, 0.995, 100).tolist():
        made.add([int(times.quantile(p))] * 15 + [2 * int(times.quantile(p))] * 15)
    return made


def test_both_sides_have_as_many_runs() -> None:
    measured, simulated = groups()
    few = sceptic(measured, simulated[:4])
    assert few == sceptic(measured[:4], simulated[:4])
    assert few.runs == 4


def test_ks_of_histograms_is_that_of_samples() -> None:
    one, two = Histogram(), Histogram()
    one.add(np.arange(1000, 2000))
    two.add(np.arange(1500, 2500))
    assert ks_matrix(distributions([one, two]))[0, 1] == pytest.approx(0.5, abs=0.02)
    assert ks_matrix(distributions([one, one]))[0, 1] == 0
    scaled = np.vstack([distributions([one], 1.5), distributions([two])])
    assert ks_matrix(scaled)[0, 1] == pytest.approx(0.33, abs=0.02), "1,500 to 3,000 and to 2,500"


def test_scores_know_tolerance_spread_and_miss() -> None:
    (near,) = score_all([SETTING], [*groups()[0], *groups(scale=1.05)[1]])
    assert near.of("p50").close
    assert near.exact is True
    (far,) = score_all([SETTING], [*groups()[0], *groups(scale=1.5)[1]])
    assert not far.of("p50").met
    assert far.of("p50").ratio == pytest.approx(1.5, rel=0.05)
    assert {c.metric for _, c in misses([far])} == {"total", "p50", "p90", "p99", "p99.9"}
    assert all(row["likely_cause"] for row in miss_rows([far]))
    summary = summarise([near, far])
    assert summary.met["p50"] == (1, 1)
    assert not summary.reached("p50")
    assert "in 50% of them" in " ".join(sentences([near, far], {"warning": ""}))


def test_a_quantile_with_fewer_than_ten_beyond_is_marked() -> None:
    """Of the run that has fewest, on either side; p99.9 of 3,000 times is the third largest."""
    for n, marked in ((999, {"p99", "p99.9"}), (1_000, {"p99.9"}), (10_000, set())):
        runs = [made_up("measured", 1, n=20_000), made_up("simulated", 1, n=n)]
        (score,) = score_all([SETTING], runs)
        assert {c.metric for c in score.compared if c.few} == marked
        assert {name for name, text in row(score).items() if str(text).endswith(FEW)} == marked
        assert any(FEW in line for line in sentences([score], {})) == bool(marked)
        arm = Arm("one", runs[:1], runs[1:])
        shown = {name for name, text in arms.rows([arm])[0].items() if str(text).endswith(FEW)}
        assert shown == marked
        assert any(FEW in line for line in arms.sentences([arm], {})) == bool(marked)


def test_a_count_that_differs_is_found() -> None:
    measured, simulated = groups()
    simulated[3] = made_up("simulated", 4, faults=5)
    (score,) = score_all([SETTING], [*measured, *simulated])
    assert score.exact is False
    assert score.differences == (
        "seed 4: pf_taken 4, simulated 5", "seed 4: pf_fixed 4, simulated 5",
        "seed 4: dirty 4, simulated 5",
    )  # fmt: skip


def test_grids_are_checked(tmp_path: Path) -> None:
    assert len({setting.name for setting in read_grid()}) == len(read_grid()) >= 24
    grid = tmp_path / "grid.toml"
    for text, message in (
        ('memory = "33MiB"\nwrites = "1%"\norder = "random"', "must be whole 2 MiB regions"),
        ('memory = "32MiB"\nwrites = "1%"\norder = "backwards"', "is not one of the choices"),
        ('memory = "32MiB"\norder = "random"', "writes: is required"),
    ):
        grid.write_text(f"[[settings]]\n{text}\n")
        with pytest.raises(ConfigError, match=message):
            read_grid(grid)


def test_the_grid_covers_what_was_promised() -> None:
    settings = read_grid()
    sizes = {s.memory >> 20 for s in settings}
    assert min(sizes) == 32
    assert max(sizes) == 512
    assert {s.writes for s in settings} >= {0.0, 1.0}
    assert {s.order for s in settings} == {"sequential", "random"}
    assert {s.vcpus for s in settings} == {1, 2}
    assert {s.every for s in settings if s.every} >= {2e6, 2e7}
    assert {s.reporting for s in settings} >= {"get-clears", "manual-clear", "dirty-ring"}


def test_nothing_is_fitted_to_the_grid() -> None:
    """The probe measures other sizes than the grid's, but for the faults of one."""
    from mmusim.kvm.hit_measures import hits  # noqa: F401
    from mmusim.kvm.measures import FOOTPRINTS

    assert not {s.memory >> 20 for s in read_grid()} & set(FOOTPRINTS)


def recorded(seeds: int) -> list[RunOf]:
    return [run for run in load_runs(RUNS)[0] if run.kind == "measured" and run.seed <= seeds]


def test_recorded_runs_have_the_simulators_counts() -> None:
    """Every count that does not depend on timing is equal."""
    _, facts = load_runs(RUNS)
    chosen = [read_grid()[i] for i in (1, 23)]
    simulated = simulate_all(chosen, facts["base"], facts["mmu"], HOST, [1], workers=1)
    scores = score_all(chosen, [*recorded(1), *simulated])
    assert [score.exact for score in scores] == [True] * 4
    for score in scores:
        assert score.of("p90").measured > 0
        assert 0 <= score.sceptic.p <= 1


def test_every_setting_was_recorded_ten_times() -> None:
    runs = recorded(1000)
    for setting in read_grid():
        for which in ("first", "steady"):
            seeds = {r.seed for r in runs if (r.setting, r.which) == (setting.name, which)}
            assert len(seeds) >= 10, setting.name


def test_runs_survive_the_file_and_damage_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl.gz"
    measured, _ = groups()
    save_runs(path, measured, {"mmu": "shadow"})
    again, facts = load_runs(path)
    assert again == measured
    assert facts == {"mmu": "shadow"}
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigError, match="is cut short; copy or record it again"):
        load_runs(path)
    path.write_bytes(gzip.compress(json.dumps({"format": 99}).encode()))
    with pytest.raises(ConfigError, match="format = 99: is not 1"):
        load_runs(path)


def test_the_command_line_compares_without_kvm(tmp_path: Path) -> None:
    grid = tmp_path / "grid.toml"
    grid.write_text('[[settings]]\nmemory = "64MiB"\nwrites = "0%"\norder = "random"\n')
    few = tmp_path / "few.jsonl.gz"
    save_runs(few, recorded(2), load_runs(RUNS)[1])
    command = ["validate", "--host", HOST, "--recorded", str(few), "--grid", str(grid)]
    run = CliRunner().invoke(app, [*command, "--workers", "1", "--json"])
    data = json.loads(run.stdout)
    assert run.exit_code in (0, 1), run.output
    assert [row["pass"] for row in data["rows"]] == ["first", "steady"]
    assert data["rows"][0]["exact"] is True
    with pytest.raises(ConfigError, match="is not a measured profile"):
        CliRunner().invoke(
            app, ["validate", "--host", "skylake-2021", "--recorded", str(few)],
            catch_exceptions=False,
        )  # fmt: skip


def test_the_arms_of_the_thread_are_predicted_from_the_profile(tmp_path: Path) -> None:
    """Recorded on a machine: the drop makes every read fault, keeping makes none."""
    file = read_arms(ARMS)
    runs, facts = load_runs(ARMS_RUNS)
    predicted = predict_arms(file, facts["policy"], facts["mmu"], HOST, [1])
    dropped, kept = arms_of(file, [*runs, *predicted])
    assert list(dropped.faults) == [16_384, 16_384]
    assert list(kept.faults) == [0, 0]
    for kind in ("measured", "predicted"):
        assert kept.total(kind)[0] < dropped.total(kind)[0] / 10
    assert load_profile(HOST).measurement is not None


def test_live_from_the_command_line(tmp_path: Path) -> None:
    few = tmp_path / "few.jsonl.gz"
    runs, facts = load_runs(ARMS_RUNS)
    save_runs(few, [run for run in runs if run.seed == 1], facts)
    command = ["live", str(ARMS), "--host", HOST, "--recorded", str(few), "--to", str(tmp_path)]
    run = CliRunner().invoke(app, command)
    assert run.exit_code == 0, run.output
    assert "'large sptes kept' takes" in run.stdout
    assert (tmp_path / "live.svg").read_text().startswith("<?xml")
    assert "| large sptes dropped |" in (tmp_path / "live.md").read_text()
    save_runs(few, [run for run in runs if run.setting == "large sptes kept"], facts)
    with pytest.raises(ConfigError, match="lacks the arm 'large sptes dropped'"):
        CliRunner().invoke(app, command, catch_exceptions=False)


def test_what_the_machine_counted_is_recorded() -> None:
    cases = read_cases(RUNS.with_name("conform.jsonl"))
    assert len(cases) >= 18
    assert all(case.host == "/dev/kvm of this machine" for case in cases)


def test_live_needs_kvm_and_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from mmusim.kvm import device

    monkeypatch.setattr(device.open_kvm, "__defaults__", (tmp_path / "kvm", ()))
    for command in (
        ["probe", "--to", str(tmp_path / "x.toml")], ["conform", "--live"], ["tlb-reach"],
        ["validate", "--live", "--host", HOST], ["live", str(ARMS), "--host", HOST],
    ):  # fmt: skip
        with pytest.raises(ConfigError, match="no KVM module is loaded"):
            CliRunner().invoke(app, command, catch_exceptions=False)
    assert why_unusable(tmp_path / "kvm")


def test_the_evidence_names_every_rung_and_every_miss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rung = {"published": ["190 figures."], "published_costs": "costs", "published_misses": "None."}
    monkeypatch.setattr(
        evidence, "published", lambda to, workers, scheduler: rung
    )  # see test_validation.py
    grid = tmp_path / "grid.toml"
    grid.write_text('[[settings]]\nmemory = "64MiB"\nwrites = "0%"\norder = "random"\n')
    few, arms, cases = (tmp_path / name for name in ("few.gz", "arms.gz", "cases.jsonl"))
    save_runs(few, recorded(2), load_runs(RUNS)[1])
    runs, facts = load_runs(ARMS_RUNS)
    save_runs(arms, [run for run in runs if run.seed == 1], facts)
    lines = RUNS.with_name("conform.jsonl").read_text().splitlines(keepends=True)
    cases.write_text("".join(lines[:3]))
    command = ["evidence", "--host", HOST, "--recorded", str(few), "--grid", str(grid), "--cases",
               str(cases), "--arms", str(ARMS), "--arms-recorded", str(arms), "--to", str(tmp_path),
               "--workers", "1"]  # fmt: skip
    run = CliRunner().invoke(app, command)
    assert run.exit_code == 0, run.output
    text = (tmp_path / "validation.md").read_text()
    assert "| linux-6.18 | 3 | 3 | 0 |" in text
    assert "190 figures." in text
    assert "64MiB, 0% writes, random | first |" in text
    assert "'large sptes kept' takes" in text
    assert "`c_fault_slow`" in text
    for name in ("validation-ratios.svg", "validation-latencies.svg"):
        assert (tmp_path / name).read_text().startswith("<?xml")
