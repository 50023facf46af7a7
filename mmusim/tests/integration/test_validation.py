"""Published times: what the table means, how costs are fitted, how predictions are judged."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmusim.base.errors import ConfigError
from mmusim.cli import app
from mmusim.cli.shared.published_times import disordered, knee_rows
from mmusim.config.cost import rescaled
from mmusim.config.host import load_profile
from mmusim.costs.machine import LAWS
from mmusim.policies import choose
from mmusim.tests.support.command_line import mmusim_here
from mmusim.validation import fit as fitting
from mmusim.validation.ablation import concern, sets_of_laws
from mmusim.validation.fit import is_for_fitting
from mmusim.validation.full_size import Speed, phase_seconds
from mmusim.validation.left_out import leave_out
from mmusim.validation.misses import CAUSES, cause
from mmusim.validation.predict import (
    POPULATE,
    PROFILE,
    REGIONS,
    Times,
    phases,
    populating,
    the_machine,
    times,
)
from mmusim.validation.published import COLUMNS, TABLE, PublishedValue, Run, phase_of, read, run_of
from mmusim.validation.score import knee, score

VALUES = read()
PREDICTED = [f for f in VALUES if f.run is not None]
SMALL = Run("linux-6.1+lazy-drop+pml", 2, 1, "1GiB", 100)


def find(
    id: str, variant: str, vcpus: int, phase: str = "iteration 1 dirty memory"
) -> PublishedValue:
    (found,) = [
        f for f in PREDICTED
        if (f.id, f.variant, f.phase) == (id, variant, phase) and f.run and f.run.vcpus == vcpus
        and f.run.writes == 100
    ]  # fmt: skip
    return found


# The table.


def test_every_value_is_predicted_or_says_why_not() -> None:
    assert len(PREDICTED) > 200
    for value in VALUES:
        assert (value.run is None) == bool(value.why_not), value.label


def test_setups_are_read_as_their_authors_meant_them() -> None:
    run = find("A3", "eager_page_split=N zap on fault", 64).run
    assert run == Run("linux-6.1+lazy-drop+pml", 64, 1, "1GiB", 100)
    run = find("B1", "eager_page_split=Y", 8, "iteration 1 clear dirty log").run
    assert run == Run(
        "linux-5.17+legacy+eager_page_split-legacy+pml", 8, 1, "1GiB", 100, all_set=True
    )
    e1 = [f.run for f in PREDICTED if f.id == "E1"]
    assert e1 == [
        Run("linux-5.17+legacy+lazy-drop+pml", 1, 128, "4KiB", 100),
        Run("linux-5.7+legacy+lazy-drop+pml", 1, 128, "4KiB", 100, all_set=True),
    ]
    g2 = [f.run for f in PREDICTED if f.id == "G2"]
    assert g2 == [
        Run(f"linux-6.{minor}+pml", 64, 4, "2MiB", 100, all_set=True, running=True)
        for minor in (12, 13)
    ]
    h3 = [f.run for f in PREDICTED if f.id == "H3"]
    assert [(run.vcpus, run.gib, run.backing) for run in h3 if run] == [(96, 3, "4KiB")] * 2


def test_every_policy_that_was_published_exists() -> None:
    for run in {f.run for f in PREDICTED if f.run}:
        choose(run.policy)


def test_a_value_that_stands_beside_two_others_is_one_value() -> None:
    same = [f for f in VALUES if f.id == "A3" and f.seconds == pytest.approx(0.332305091)]
    assert len(same) == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "cannot be read"),
        ("id,metric\nA,b\n", "lacks setup, policy_before"),
        ("", "lacks id"),
        (
            ",".join(COLUMNS) + "\nA1,populate,1 vCPU,x,fast,y,2,s\n",
            "line 2: value_before = 'fast'",
        ),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(
    text: str | None, says: str, tmp_path: Path
) -> None:
    path = tmp_path / "table.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=says):
        read(path)


# Predictions: time is affine in the memory that is touched.


@pytest.mark.parametrize(
    "run",
    [
        SMALL,
        SMALL._replace(policy="linux-5.17+legacy+lazy-drop+pml", vcpus=8),
        SMALL._replace(policy="linux-6.1+eager_page_split+pml", all_set=True),
        SMALL._replace(policy="linux-5.17+legacy+lazy-drop+pml", vcpus=4, backing="4KiB"),
    ],
    ids=lambda run: run.policy,
)
def test_time_is_affine_in_the_memory_that_is_touched(run: Run) -> None:
    """Sizes 4 and 8 foretell size 24; the negative control is a line through the origin."""
    one, two, three = (phases(run, {}, regions) for regions in (4, 8, 24))
    affine, proportional = [], []
    for name in three:
        told = one[name].ns + (two[name].ns - one[name].ns) * (24 - 4) / 4
        assert told == pytest.approx(three[name].ns, rel=0.06, abs=20_000), name
        affine.append(abs(told / three[name].ns - 1))
        proportional.append(abs(6 * one[name].ns / three[name].ns - 1))
    assert max(proportional) > 2 * max(affine)


def test_each_gib_of_a_large_backing_page_takes_its_time() -> None:
    """Parts of 1 GiB foretell a full simulation of 2; the control pays for one page a vCPU."""
    run, machine = SMALL._replace(gib=2, rounds=1), the_machine()
    told = times(run, {}, machine=machine)
    whole = phases(run, {}, 2 * REGIONS, machine)
    assert told.keys() == whole.keys()
    for name, found in whole.items():
        assert told[name].ns == pytest.approx(found.ns, rel=0.06, abs=20_000), name
    once = {
        name: found.ns for name, found in times(run._replace(gib=1), {}, machine=machine).items()
    }
    assert once[POPULATE] < 0.7 * whole[POPULATE].ns


def test_populating_grows_with_the_memory_that_is_cleared() -> None:
    run, machine = SMALL._replace(gib=4), the_machine()
    (told, whole) = times(run, {}, 2, machine)[POPULATE], populating(run, {}, 4, machine)
    assert told.ns == pytest.approx(whole.ns, rel=0.001)
    bandwidth = 26.8e9
    assert whole.ns >= run.vcpus * run.gib * 2**30 / bandwidth * 1e9, "clearing alone"
    without = populating(run, {}, 4, the_machine([law for law in LAWS if law != "first-touch"]))
    assert without.ns < 0.5 * whole.ns, "control: without the law nothing is cleared"


def test_what_a_phase_is_made_of_adds_up() -> None:
    for name, found in times(SMALL, {}, touched=16).items():
        if "dirty log" in name or "logging" in name:
            assert sum(found.parts.values()) == pytest.approx(found.ns, rel=1e-6), name
        else:
            assert sum(found.parts.values()) <= found.ns * 1.001, "vCPUs wait for the last"


# The fit.


def test_only_the_rows_of_the_guide_are_fitted() -> None:
    used = [f for f in VALUES if fitting.is_for_fitting(f)]
    assert {f.id for f in used} == {"A3", "B1", "B4", "C2", "E1", "G2", "K1"}
    for value in used:
        if value.id in ("A3", "B1", "B4"):
            assert value.run is not None
            assert value.run.vcpus == 2
    predicted = [f for f in PREDICTED if not fitting.is_for_fitting(f)]
    assert {"A1", "B2", "B5", "F1", "H3", "H4"} <= {f.id for f in predicted}


def test_costs_that_made_the_times_are_found_again() -> None:
    """Times are made with other costs than the profile's; solving gives these costs."""
    rows = [f for f in PREDICTED if f.id == "B1" and f.run and f.run.vcpus == 2][:6]
    names = ["c_fault_slow", "c_pml_log", "c_head", "c_split_2M", "c_wclear", "t_hit_2M"]
    true = {"c_fault_slow": 1.5, "c_pml_log": 0.6, "c_head": 2.0}
    causes = {"c_fault_slow": "fault_slow", "c_pml_log": "pml_log"}
    made, measured = [], []
    for number, row in enumerate(rows):
        cost = names[number % 3]
        made.append(Times(1e9, {causes.get(cost, cost): 0.9e9}))
        seconds = 0.1 + 0.9 * true[cost]
        measured.append(row.__class__(**{
            **{f: getattr(row, f) for f in row.__slots__}, "seconds": seconds}))  # fmt: skip
    means = dict.fromkeys(fitting.FREE, 1.0)
    found = fitting.solve(measured, made, means, dict.fromkeys(fitting.FREE, 1.0))
    for cost, factor in true.items():
        assert found[cost] == pytest.approx(factor, rel=0.02)
    assert found["c_dclear"] == pytest.approx(1, rel=1e-3), "what nothing determines stays"


def test_one_row_that_contradicts_the_others_bends_nothing() -> None:
    """As a clear of B1 does. The negative control: with two against two there is no majority."""
    row = find("B1", "eager_page_split=N", 2, "enabling dirty logging")

    def found(*factors: float) -> float:
        rows = [
            row.__class__(**{**{f: getattr(row, f) for f in row.__slots__}, "seconds": factor})
            for factor in factors
        ]
        made = [Times(1e9, {"c_head": 1e9})] * len(rows)
        ones = dict.fromkeys(fitting.FREE, 1.0)
        return fitting.solve(rows, made, ones, ones)["c_head"]

    assert found(1.2, 1.2, 1.2, 3.0) == pytest.approx(1.2, rel=0.02)
    assert found(1.2, 3.0, 3.0, 3.0) == pytest.approx(3.0, rel=0.05)


def test_costs_that_one_value_gives() -> None:
    """K1: 1,529 cycles at 2.7 GHz. G2: (14.334 - 4.795) s by 131,072 - 76 flushes is 72.8 us."""
    profile = load_profile(PROFILE)
    factors = fitting.by_itself(VALUES, profile)
    mean = {name: factor * profile.costs[name].distribution().mean() for name, factor in
            factors.items()}  # fmt: skip
    assert mean["c_exit"] + mean["c_entry"] == pytest.approx(1529 / 2.7, rel=1e-6)
    flush = profile.costs["c_flush_init"].distribution().mean() + 64 * mean["c_flush_target"]
    assert flush == pytest.approx(72_800, rel=0.01)


def test_a_rescaled_cost_keeps_its_shape() -> None:
    for name, cost in load_profile(PROFILE).costs.items():
        from mmusim.config.host import Cost

        twice = Cost.model_validate(
            {"value": rescaled(cost.value, 2.5), "provenance": "derived", "note": "x"}
        )
        p = [0.1, 0.5, 0.99]
        assert twice.distribution().mean() == pytest.approx(2.5 * cost.distribution().mean()), name
        assert twice.distribution().quantile(p) == pytest.approx(
            2.5 * cost.distribution().quantile(p), rel=1e-6
        ), name


# The judgement.


def told(factor: float) -> dict[Run, dict[str, Times]]:
    """Predictions that are off by one factor everywhere."""
    found: dict[Run, dict[str, Times]] = {}
    for value in PREDICTED:
        assert value.run is not None
        found.setdefault(value.run, {})[value.phase] = Times(value.seconds * factor * 1e9, {})
    return found


@pytest.mark.parametrize(("factor", "close"), [(1.0, 0.85), (1.2, 0.85), (2.0, 0.1)])
def test_a_score_says_how_far_off_predictions_are(factor: float, close: float) -> None:
    """Values published twice differ, so even they are no perfect prediction of themselves."""
    result = score(VALUES, told(factor))
    assert result.median == pytest.approx(factor, rel=0.07)
    assert (result.close >= close) if close > 0.5 else (result.close <= close)
    assert sum(row.miss for row in result.rows) == round((1 - result.close) * len(result.rows))


def test_a_model_that_turns_the_order_round_is_found() -> None:
    right = score(VALUES, told(1.0))
    assert right.ordered >= 0.97 * right.pairs > 50
    wrong = {
        run: {name: Times(1e18 / t.ns, t.parts) for name, t in by_phase.items()}
        for run, by_phase in told(1.0).items()
    }
    turned = score(VALUES, wrong)
    assert turned.ordered <= 0.03 * right.pairs
    told_of = disordered(turned)
    assert len(told_of) == turned.pairs - turned.ordered
    for row in told_of:
        faster, slower = (float(text.split()[0]) for text in row["published"].split(", "))
        assert faster < slower
        faster, slower = (float(text.split()[0]) for text in row["predicted"].split(", "))
        assert faster > slower


def test_knees() -> None:
    assert knee([(2, 1.0), (4, 1.4), (8, 1.6), (16, 9.0)]) == 8
    assert knee([(2, 1.0), (4, 1.1)]) is None
    exact, flat = (score(VALUES, predicted) for predicted in (told(1.0), without_contention()))
    published = {k.series: k.published for k in exact.knees}
    assert published["B1 legacy+lazy-drop+pml, eager_page_split=N"] == 8
    assert all(row["why"] == "" for row in knee_rows(exact) if row["series"].startswith("B1"))
    row = next(row for row in knee_rows(flat) if row["series"].startswith("B2"))
    assert (row["published"], row["predicted"]) == (4, "never")
    assert row["why"].startswith("Under shadow paging")


def without_contention() -> dict[Run, dict[str, Times]]:
    """A model in which nothing takes longer with more vCPUs."""
    return {run: dict.fromkeys(found, Times(1e9, {})) for run, found in told(1.0).items()}


def test_every_cause_of_a_miss_is_that_of_some_value() -> None:
    found = {cause(value) for value in PREDICTED}
    assert {text for text, _ in CAUSES} <= found


# All of it, small.


def test_validate_predicts_a_table_from_its_own_rows(tmp_path: Path) -> None:
    """The real fit rows of one series, and two values to be predicted at 8 vCPUs."""
    lines = TABLE.read_text().splitlines()
    kept = [line for line in lines[1:] if line.startswith(("A3", "B1")) and (
        " 2 vCPU x" in line or ("dirty memory" in line and " 8 vCPU x" in line))]  # fmt: skip
    table = tmp_path / "table.csv"
    table.write_text("\n".join([lines[0], *kept]) + "\n")
    done = mmusim_here("validate", table, "--to", tmp_path / "out", "--workers", 1, "--json")
    assert done.returncode == 0, done.stderr
    import json

    data = json.loads(done.stdout)
    assert len(data["predicted"]) == 5
    assert data["median_factor"] < math.exp(0.35)
    assert data["ordered_pairs"][0] == data["ordered_pairs"][1] > 5
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["published-times.csv", "published-times.md", "published-times.svg"]
    text = (tmp_path / "out" / "published-times.md").read_text()
    assert "5 published values that were not fitted are predicted" in text
    assert text.count("| A3 |") >= 6


def test_a_table_without_anything_to_predict_is_refused(tmp_path: Path) -> None:
    lines = TABLE.read_text().splitlines()
    table = tmp_path / "table.csv"
    kept = [lines[0], *[line for line in lines if line.startswith("K")]]
    table.write_text("".join(f"{line}\n" for line in kept))
    done = mmusim_here("validate", table)
    assert done.returncode == 2
    assert "has nothing to predict" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("metric", "setup", "variant", "date", "phase", "expected"),
    [
        ("Iteration 2 dirty memory time", "dirty_log_perf_test -v 12 -b 2g tdp_mmu=N 30% writes",
         "eager_page_split=N", "2022-05-01", "iteration 2 dirty memory",
         Run("linux-5.17+legacy+lazy-drop+pml", 12, 2, "1GiB", 30)),
        ("Disabling dirty logging time", "96 vCPUs x 1GiB", "eager_page_split=Y", "2023-01-01",
         "disabling dirty logging", Run("linux-6.1+eager_page_split+pml", 96, 1, "1GiB", 100)),
        ("memory_global_dirty_log_start", "2T VM, 4K leaf sptes", "write-protect", "2017-06-01",
         "enabling dirty logging", Run("linux-5.17+legacy+lazy-drop+pml", 1, 2048, "4KiB", 100)),
    ],
)  # fmt: skip
def test_values_that_are_not_in_the_table_are_read_as_well(
    metric: str, setup: str, variant: str, date: str, phase: str, expected: Run
) -> None:
    assert phase_of(metric) == phase
    assert run_of(setup, variant, metric, date) == expected


def test_full_size_runs_are_timed_phase_by_phase() -> None:
    """On a small part of memory: each published phase has its wall time, and all are in the sum."""
    run = next(f.run for f in read(TABLE) if f.run is not None and f.run.vcpus == 4)
    seconds = phase_seconds(run, {}, 2)
    assert {"populate memory", "iteration 1 dirty memory"} <= seconds.keys()
    assert all(wall > 0 for wall in seconds.values())


def test_targets_of_speed_depend_on_what_bounds_a_phase() -> None:
    runs = [f.run for f in read(TABLE) if f.run is not None and f.run.gib == 1]
    first = "iteration 1 dirty memory"
    bound = {r for r in runs if Speed(r, first, 1.0, 1.0).lock_bound}
    assert bound
    assert all("legacy" in r.policy or "shadow" in r.policy for r in bound)
    assert Speed(next(iter(bound)), first, 1.0, 0.99).meets
    assert not Speed(next(iter(bound)), first, 1.0, 1.01).meets
    free = next(r for r in runs if "eager_page_split" in r.policy and "legacy" not in r.policy)
    assert Speed(free, first, 1.0, 9.9).meets
    assert not Speed(free, first, 1.0, 10.1).meets


# The machine of the hosts, and its laws.


def test_each_law_is_tried_alone_and_left_out() -> None:
    sets = dict(sets_of_laws())
    assert len(sets) == 2 + 2 * len(LAWS)
    assert sets["all"] == LAWS
    for law in LAWS:
        assert sets[f"{law} alone"] == (law,)
        assert set(LAWS) - set(sets[f"all but {law}"]) == {law}


@pytest.mark.parametrize(
    ("phase", "laws"),
    [
        ("iteration 2 clear dirty log", {"fresh-leaves"}),
        ("iteration 1 dirty memory", {"memory"}),
        ("enabling dirty logging", {"bitmaps"}),
        ("populate memory", {"memory", "first-touch"}),
    ],
)
def test_a_law_that_does_not_concern_a_phase_changes_nothing(phase: str, laws: set[str]) -> None:
    """So a run is simulated once for all sets of laws that are the same to it."""
    run = Run("linux-5.17+legacy+eager_page_split-legacy+pml", 4, 1, "1GiB", 100, all_set=True)
    assert concern(run, [phase], LAWS) == laws
    every, some = (times(run, {}, 16, the_machine(names))[phase] for names in (None, laws))
    assert every == some
    none = times(run, {}, 16)[phase]
    assert (none == some) == (phase == "iteration 2 clear dirty log"), "negative control"


def test_a_source_that_is_left_out_is_predicted_whole_and_not_fitted() -> None:
    """Its values for fitting become predictions. Control: with all sources they are none."""
    others, own = leave_out(VALUES, ["A3"])
    assert {value.id for value in own} == {"A3"}
    assert "A3" not in {value.id for value in others}
    to_fit = [value for value in own if is_for_fitting(value)]
    assert len(to_fit) == 6
    right = {v.run: dict.fromkeys([v.phase], Times(v.seconds * 1e9, {})) for v in own if v.run}
    found = score(own, right, fitted=lambda value: False)
    assert [row.published for row in found.rows] == own
    assert (found.median, found.close) == (1.0, 1.0)
    usual = score(own, right)
    assert not set(to_fit) & {row.published for row in usual.rows}, "control"
    assert len(usual.rows) == len(own) - len(to_fit)


@pytest.mark.parametrize(
    ("sources", "says"),
    [
        (["A9"], "'A9': is no source with values to predict"),
        (["E3a"], "is no source with values to predict"),  # an Arm host
        ([], "leaves no values to fit costs to"),
        (["A3", "B1", "B4", "E1", "C2"], "leaves no values to fit costs to"),
    ],
)
def test_sources_that_cannot_be_left_out_are_told(sources: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        leave_out(VALUES, sources)


def test_leaving_out_goes_with_the_shipped_laws_and_writes_no_page() -> None:
    for more in (["--laws", "memory"], ["--to", "x"], ["--ablation"]):
        with pytest.raises(ConfigError, match="makes no difference with"):
            CliRunner().invoke(
                app, ["validate", "--leave-out", "A3", *more], catch_exceptions=False
            )


def test_a_law_that_does_not_exist_is_refused() -> None:
    done = mmusim_here("validate", "--laws", "memory,gravity")
    assert done.returncode == 2
    assert "--laws = 'gravity': is not a law of load" in done.stderr
    done = mmusim_here("validate", "--ablation", "--laws", "memory")
    assert "--laws" in done.stderr
    assert the_machine([]) is None
