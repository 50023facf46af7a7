"""The map of where a policy is better: numbers, colours, and what has neither."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text

from mmusim import plots
from mmusim.experiment.run import Outcome, run_experiment
from mmusim.tests.support.command_line import mmusim
from mmusim.tests.support.experiment_files import MINIMAL

SWEPT = (
    MINIMAL.replace("eager-drop", "none").replace("lazy-drop", "eager-drop")
    + '[vm]\nmemory = "4MiB"\n[replications]\nseeds = 10\n'
    + '[sweep]\n"host.costs.c_fault_slow" = ["2us", "20us"]\n"vm.vcpus" = [1, 2]\n'
)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("swept") / "experiment.toml"
    path.write_text(SWEPT)
    return path


@pytest.fixture(scope="module")
def outcome(experiment: Path) -> Outcome:
    return run_experiment(experiment, experiment.parent / "out", workers=1)


def place(text: Text) -> tuple[int, int]:
    """Column and row that a number stands in."""
    x, y = text.get_position()
    return int(x), int(y)


def test_every_setting_has_its_ratio(outcome: Outcome) -> None:
    ax = plots.phase_diagram(outcome, "phase_time", "eager-drop").axes[0]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["2us", "20us"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["vcpus 1", "vcpus 2"]
    ratios = [
        comparison.ratio.estimate
        for result in outcome.settings
        for comparison in result.comparisons["phase_time"]
        if comparison.candidate == "eager-drop" and comparison.ratio is not None
    ]
    drawn = {(place(t)[::-1], t.get_text()) for t in ax.texts}
    places = [(0, 0), (1, 0), (0, 1), (1, 1)]  # row, column: the first key varies slowest
    assert drawn == {(at, f"{r:.3g}") for at, r in zip(places, ratios, strict=True)}
    (image,) = ax.collections
    assert (np.asarray(image.get_array()) > 0).all(), "longer is worse"
    assert len(ax.lines) == 4, "and dotted, for those who see no colours"


def test_where_more_is_better_less_is_worse(outcome: Outcome) -> None:
    ax = plots.phase_diagram(outcome, "worst_utilisation_100us", "eager-drop").axes[0]
    (image,) = ax.collections
    ratios = {place(t): t.get_text() for t in ax.texts}
    less = [at for at, text in ratios.items() if text != "–"]
    assert len(less) >= 2, "with faults of 2 us something is left of the worst 100 us"
    assert all(float(ratios[x, y]) < 1 and np.asarray(image.get_array())[y, x] > 0 for x, y in less)


def test_no_difference_has_no_colour_and_no_figure_no_number(outcome: Outcome) -> None:
    same = plots.phase_diagram(outcome, "reported_dirty", "eager-drop").axes[0]
    assert {t.get_text() for t in same.texts} == {"–"}, "nothing was reported: zero has no ratio"
    (image,) = same.collections
    assert not same.lines
    assert (np.asarray(image.get_array()) == 0).all()
    requests = plots.phase_diagram(outcome, "p99_request", "eager-drop").axes[0]
    assert {t.get_text() for t in requests.texts} == {"–"}


def test_with_few_seeds_there_is_no_colour(experiment: Path, tmp_path: Path) -> None:
    """Negative control: the same settings, and fewer seeds than can be significant."""
    few = run_experiment(experiment, tmp_path / "out", seeds=3, workers=1)
    ax = plots.phase_diagram(few, "phase_time", "eager-drop").axes[0]
    (image,) = ax.collections
    assert (np.asarray(image.get_array()) == 0).all()
    assert all(t.get_text().endswith(" (unknown)") for t in ax.texts)


def test_without_a_sweep_there_is_no_map(experiment: Path, tmp_path: Path) -> None:
    plain = tmp_path / "experiment.toml"
    plain.write_text(MINIMAL)
    to = tmp_path / "x.svg"
    done = mmusim("plot", "phases", plain, "--to", to)
    assert (done.returncode, "add a sweep" in done.stderr) == (2, True)
    done = mmusim("plot", "phases", experiment, "--to", to, "--metric", "p99_latncy")
    assert "did you mean 'p99_latency'?" in done.stderr
    done = mmusim("plot", "phases", experiment, "--to", to, "--policy", "pml")
    assert "is not in the experiment" in done.stderr
    out = ["--out", experiment.parent / "out"]
    assert mmusim("run", experiment, *out).returncode == 0  # does nothing where another test ran it
    done = mmusim("plot", "phases", experiment, "--to", to, "--metric", "lost_time", *out)
    assert done.returncode == 0, done.stderr
    assert to.exists()
