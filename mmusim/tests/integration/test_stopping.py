"""An experiment that runs until it is precise, from the file to the answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mmusim.config.settings import load_settings
from mmusim.experiment.run import Outcome, evaluate, run_experiment
from mmusim.experiment.scheduler import RunDirectory
from mmusim.experiment.stopping import current_analysis
from mmusim.stats.sequential import analysis_sizes, is_narrow, levels
from mmusim.stats.shift import QUANTILES
from mmusim.store import Store
from mmusim.tests.support.experiment_files import MINIMAL, changed, only


def write(folder: Path, replications: str) -> Path:
    """Two policies that write alike, on streams of their own, so that the ratio varies."""
    path = folder / "experiment.toml"
    path.write_text(
        MINIMAL
        + '[vm]\nmemory = "2MiB"\n[[claims]]\nsays = "alike"\nratio = "lazy-drop / eager-drop"\n'
        + f'expect = [0.5, 2.0]\n[replications]\nseeds = 5\npairing = "independent"\n{replications}'
    )
    return path


def seeds(outcome: Outcome) -> int:
    return len(outcome.settings[0].runs["lazy-drop"])


def test_seeds_are_added_until_the_ratio_is_precise(tmp_path: Path) -> None:
    out = tmp_path / "out"
    path = write(tmp_path, 'precision = "1%"\nmax_seeds = 60\n')
    outcome = run_experiment(path, out, workers=1)
    at = analysis_sizes(5, 60)
    (setting,) = outcome.settings
    number = at.index(seeds(outcome))
    assert 0 < number < len(at) - 1, "neither at once nor never"
    assert setting.look.precise
    assert setting.look.number == number + 1
    (comparison,) = setting.comparisons["phase_time"]
    assert comparison.ratio is not None
    assert is_narrow(comparison.ratio, 0.01)
    assert comparison.ratio.confidence == pytest.approx(1 - levels(at)[number])
    assert comparison.ratio.confidence > 0.95, "a look spends only a part of the error"
    assert outcome.verdicts[0].measured.confidence == comparison.ratio.confidence
    assert comparison.adjusted_p >= comparison.p_value

    experiment, settings = load_settings(path)
    store = Store.open(out)
    try:
        again = evaluate(experiment, settings, store)
        directory = RunDirectory(experiment=experiment, settings=settings, store=store, engine=None)
        earlier = {policy: runs[: at[number] - 1] for (_, policy), runs in directory.runs().items()}
    finally:
        store.close()
    assert seeds(again) == seeds(outcome), "what is stored tells where it ended"
    assert again.settings[0].comparisons == outcome.settings[0].comparisons
    before = current_analysis(settings[0], earlier)
    assert len(before.seeds) == at[number]
    assert not before.precise, "a look that is not complete is not looked at"


def test_the_limit_ends_it_and_a_number_of_seeds_replaces_it(tmp_path: Path) -> None:
    path = write(tmp_path, 'precision = "0.01%"\nmax_seeds = 7\n')
    outcome = run_experiment(path, tmp_path / "out", workers=1)
    assert seeds(outcome) == 7
    assert outcome.settings[0].look.precise is False
    outcome = run_experiment(path, tmp_path / "out", workers=1, seeds=6)
    assert seeds(outcome) == 6
    assert outcome.settings[0].comparisons["phase_time"][0].difference.confidence == 0.95


def test_a_ratio_that_does_not_exist_asks_for_no_more_seeds(tmp_path: Path) -> None:
    path = write(tmp_path, 'precision = "1%"\nmax_seeds = 50\nprecise = "false_dirty"\n')
    assert seeds(run_experiment(path, tmp_path / "out", workers=1)) == 5


def test_without_precision_each_metric_is_a_family(tmp_path: Path) -> None:
    outcome = run_experiment(write(tmp_path, ""), tmp_path / "out", workers=1)
    (setting,) = outcome.settings
    assert setting.look.precise is None
    assert [made[0].family for made in setting.comparisons.values()] == [1] * 5, "one a metric"
    assert setting.comparisons["faults"][0].ratio is not None
    assert setting.comparisons["faults"][0].ratio.mark == "identical"
    assert setting.comparisons["faults"][0].answer.outcome == "unknown", "of 5 seeds"


@pytest.mark.parametrize(
    ("replications", "rule"),
    [
        ({"precision": "5%"}, "needs both precision and max_seeds"),
        ({"max_seeds": 40}, "needs both precision and max_seeds"),
        ({"precision": "0%", "max_seeds": 40}, "precision must be above 0"),
        ({"precision": "5%", "max_seeds": 20}, "begins with 30 seeds and ends with 20"),
        ({"seeds": 4, "precision": "5%", "max_seeds": 20}, "begins with 4 seeds and ends with 20"),
        ({"matters": "0%"}, "must be more than 0"),
        ({"precision": 0.05, "max_seeds": 40}, "must be text with a unit"),
        ({"precision": "5%", "max_seeds": 40, "precise": "p99"}, "is not one of the choices"),
    ],
)
def test_what_cannot_end_is_refused(replications: dict[str, object], rule: str) -> None:
    assert rule in only(changed("replications", replications)).rule


def test_all_that_the_statistics_say_from_the_command_line(
    tmp_path: Path, mmusim: Callable[..., tuple[int, str, str]]
) -> None:
    path, out = write(tmp_path, ""), tmp_path / "out"
    run_experiment(path, out, workers=1)
    common = ("statistics", path, "--out", out)
    status, text, _ = mmusim(*common)
    assert status == 0
    assert "lazy-drop against eager-drop" in text
    assert "5 comparisons are one family" in text
    chosen = ("--metric", "faults", "--metric", "p50_write", "--metric", "p50_read")
    status, text, _ = mmusim(*common, *chosen, "--baseline", "lazy-drop", "--json")
    rows = json.loads(text)["rows"]
    assert [row["metric"] for row in rows] == ["faults", "p50_write"], "nobody reads here"
    assert {row["candidate"] for row in rows} == {"eager-drop"}
    assert {row["family"] for row in rows} == {2}
    assert rows[0]["says"] == "unknown (59 seeds needed)", "the rule of three"
    everything = json.loads(mmusim(*common, "--metric", "all", "--json")[1])["rows"]
    assert len(everything) > 30
    assert mmusim(*common, "--shift", "latency")[1].count("lazy-drop against") == len(QUANTILES)
    for wrong, message in [
        (("--metric", "fautls"), "did you mean 'faults'?"),
        (("--baseline", "eagerdrop"), "did you mean 'eager-drop'?"),
        (("--setting", "R1"), "is not a setting with runs"),
        (("--shift", "requests"), "choose latency or request"),
        (("--shift", "request"), "has no request histogram"),
    ]:
        status, _, err = mmusim(*common, *wrong)
        assert status == 2
        assert message in err
