"""Figures show what the frames say, name their units, and can be read without colour."""

from __future__ import annotations

import io
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb

from mmusim import analysis, plots
from mmusim.analysis.answers import compared
from mmusim.base.errors import ConfigError
from mmusim.cli.results.plot import plot
from mmusim.comparison.compare import Comparison, shift
from mmusim.experiment.run import Outcome, run_experiment
from mmusim.plan.make import make_plan
from mmusim.plots.catalogue import FIGURES
from mmusim.plots.latencies import longer_than
from mmusim.plots.shift import nines
from mmusim.plots.style import LINES, MARKS, PAPER, SERIES, line_styles, plain_power, rows_of
from mmusim.stats.intervals import Interval
from mmusim.tests.support.experiment_files import SMALL
from mmusim.tests.support.reports import run_in
from mmusim.tests.support.settings import busy_setting
from mmusim.timeline.record import record

SWEPT = SMALL.replace("seeds = 5", "seeds = 9").replace('"read" }]', '"read" }, { do = "write" }]')
SWEPT += '[sweep]\n"host.costs.c_fault_slow" = ["3us", "30us"]\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plots")
    run_in(folder, SWEPT)
    return folder


@pytest.fixture(scope="module")
def outcome(folder: Path) -> Outcome:
    return analysis.load(folder / "experiment.toml", folder / "out")


OF_OTHER_RUNS = ("theory", "rounds", "in-vain", "horizons", "service", "postcopy-waits")
"""Figures that need a theory, windows or a migration; they have tests of their own."""


@pytest.mark.parametrize("name", [name for name in FIGURES if name not in OF_OTHER_RUNS])
def test_every_figure_has_a_name_and_units(name: str, outcome: Outcome) -> None:
    figure = FIGURES[name].draw(outcome, "p99_latency", "lazy-drop")
    assert figure.axes
    labels = [ax.get_xlabel() + ax.get_ylabel() for ax in figure.axes if ax.has_data()]
    if name in ("across", "latencies", "ecdf", "shift"):
        assert "(ns)" in labels[0], labels  # those beside it have the same axis
    if name == "decomposition":
        assert "(ms)" in labels[0]
    if name in ("ratios", "swept"):
        assert "p99_latency relative to" in "".join(labels)
    ticks = [axis.get_ticklabels() for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)]
    assert not [text for texts in ticks for text in texts if "$" in text.get_text()]


def covered(figure: Any) -> list[str]:
    """Return the words at the edges of a figure that its legend lies upon."""
    renderer = figure.canvas.get_renderer()
    figure.draw(renderer)
    keys = [key.get_window_extent(renderer) for key in figure.legends]
    labels = [figure._supxlabel, *(ax.xaxis.label for ax in figure.axes)]
    return [
        text.get_text() for text in labels
        if text is not None and text.get_text()
        and any(key.overlaps(text.get_window_extent(renderer)) for key in keys)
    ]  # fmt: skip


def test_the_legend_of_a_figure_covers_no_words(outcome: Outcome) -> None:
    """Negative control: a label of the whole figure lies where the legend does."""
    for name in ("across", "shift", "ecdf", "decomposition"):
        figure = FIGURES[name].draw(outcome, "p9999_latency", "lazy-drop")
        FigureCanvasAgg(figure)
        assert figure.legends, name
        assert covered(figure) == [], name
    figure.supxlabel("hollow: few times lie beyond")
    assert covered(figure) == ["hollow: few times lie beyond"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(1e-3, "0.001"), (1.0, "1"), (2e4, "20000"), (1e-7, "10⁻⁷"), (3e12, "3 x 10¹²")],
)
def test_powers_are_labelled_in_plain_text(value: float, text: str) -> None:
    assert plain_power(value) == text


def test_a_figure_by_name_is_written(folder: Path) -> None:
    """As the command line does it; and what is missing is refused in words."""
    ask: dict[str, Any] = {"experiment": folder / "experiment.toml", "out": folder / "out"}
    to = folder / "shift.svg"
    plot("shift", to=to, metric="", policy="", **ask)
    assert "<svg" in to.read_text()
    with pytest.raises(ConfigError, match="did you mean 'shift'"):
        plot("shft", to=to, metric="", policy="", **ask)
    with pytest.raises(ConfigError, match="no claim of the experiment has theory"):
        plot("theory", to=to, metric="", policy="", **ask)
    with pytest.raises(ConfigError, match=r"must end in \.svg"):
        plot("ecdf", to=to.with_suffix(".txt"), metric="", policy="", **ask)


def test_the_forest_has_the_intervals_of_the_frame(outcome: Outcome) -> None:
    ax = plots.ratios(outcome, "phase_time").axes[0]
    frame = analysis.comparisons(outcome, "phase_time")
    texts = [t.get_text() for t in ax.texts]
    for _, row in frame.iterrows():
        wanted = f"{row['ratio']:.4g} [{row['ratio_low']:.4g}, {row['ratio_high']:.4g}]"
        assert wanted in texts, "significant ones have no word beside them"
    faces = [c.lines[0].get_markerfacecolor() for c in list[Any](ax.containers)]
    assert PAPER not in faces


def test_what_is_not_significant_is_hollow(folder: Path, tmp_path: Path) -> None:
    """Negative control: three seeds have no interval."""
    few = run_experiment(folder / "experiment.toml", tmp_path / "out", seeds=3, workers=1)
    ax = plots.ratios(few, "phase_time").axes[0]
    assert {c.lines[0].get_markerfacecolor() for c in list[Any](ax.containers)} == {PAPER}
    assert all(t.get_text().endswith("[none of 3 seeds] unknown") for t in ax.texts)
    with pytest.raises(ValueError, match="at least 4 seeds"):
        plots.shift(few)


@pytest.mark.parametrize(("high", "scale"), [(1e-3, "log"), (1.2, "linear")])
def test_an_interval_that_reaches_down_to_0_is_drawn(
    high: float, scale: str, outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ratio of 0.0002 has it, since no interval is narrower than 0.001. The estimate is seen."""

    def down_to_0(*args: Any) -> dict[str, list[Comparison]]:
        return {
            setting: [replace(c, ratio=_with_bounds(c.ratio, 0.0, high)) for c in comparisons]
            for setting, comparisons in compared(*args).items()
        }

    monkeypatch.setattr(sys.modules["mmusim.plots.ratios"], "compared", down_to_0)
    for draw, which in ((plots.ratios, "x"), (plots.swept, "y")):
        ask = ("host.costs.c_fault_slow",) if draw is plots.swept else ()
        figure = draw(outcome, *ask)
        ax = figure.axes[0]
        assert getattr(ax, f"get_{which}scale")() == scale
        low, top = getattr(ax, f"get_{which}lim")()
        assert low < high / 2 < 1 < top
        assert (low > 0) == (scale == "log")
        figure.savefig(io.BytesIO())


def _with_bounds(ratio: Interval | None, low: float, high: float) -> Interval | None:
    return ratio and replace(ratio, estimate=high / 2, low=low, high=high)


def test_bands_hold_every_seed_and_the_pooled_curve(outcome: Outcome) -> None:
    runs = outcome.settings[0].runs["eager-drop"]
    curve = longer_than(runs)
    assert (curve.low <= curve.pooled).all()
    assert (curve.pooled <= curve.high).all()
    assert curve.total == sum(run.latency.count for run in runs)
    frame = analysis.latencies(outcome)
    mine = frame[(frame["policy"] == "eager-drop") & (frame["setting"] == frame["setting"].iloc[0])]
    for _, seed in mine.groupby("seed"):
        at = np.searchsorted(curve.ns[:-1], seed["latency_ns"]) + 1
        assert (seed["share_longer"].to_numpy() >= curve.low[at] - 1e-12).all()
        assert (seed["share_longer"].to_numpy() <= curve.high[at] + 1e-12).all()


def test_the_ledgers_bars_end_at_the_vcpus_time(outcome: Outcome) -> None:
    ax = plots.decomposition(outcome).axes[0]
    ends: dict[float, float] = {}
    for bar in list[Any](ax.patches):
        middle = round(bar.get_y() + bar.get_height() / 2, 6)
        ends[middle] = max(ends.get(middle, 0.0), bar.get_x() + bar.get_width())
    ledger = analysis.ledger(outcome).query("cause != 'idle'")
    total = ledger.groupby(["setting", "policy", "seed"], sort=False)["time_ns"].sum()
    means = total.groupby(["setting", "policy"], sort=False).mean() / 1e6
    assert [ends[y] for y in sorted(ends)] == pytest.approx(list(means))


def test_the_shift_is_that_of_the_statistics(outcome: Outcome) -> None:
    ax = plots.shift(outcome).axes[0]
    runs = outcome.settings[0].runs
    found = shift(runs["eager-drop"], runs["lazy-drop"])
    (line,) = [line for line in ax.lines if np.size(line.get_xdata()) == len(found.p)]
    assert line.get_ydata() == pytest.approx(found.difference_ns)
    assert line.get_xdata() == pytest.approx(nines(found.p))
    assert [t.get_text() for t in ax.get_xticklabels()][:3] == ["p50", "p90", "p99"]


def test_utilisation_over_time_has_its_least() -> None:
    timeline = record(make_plan(busy_setting(), "lazy-drop", 1))
    figure = plots.utilisation(timeline, 100_000)
    ax = figure.axes[1]
    least = analysis.utilisation(timeline, 100_000)["utilisation"].min()
    assert f"least: {least:.3g}" in [line.get_label() for line in ax.lines]
    drawn = np.concatenate([line.get_ydata() for line in ax.lines])
    assert np.nanmin(drawn) == pytest.approx(least)


def luminance(colour: str) -> float:
    def channel(c: float) -> float:
        return c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4

    r, g, b = map(channel, to_rgb(colour))
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def page_colours(scheme: str) -> dict[str, str]:
    css = (Path(plots.__file__).parents[1] / "report" / "style.css").read_text()
    part = css[: css.index("@media")] if scheme == "light" else css[css.index("@media") :]
    return dict(re.findall(r"(--[\w-]+): (#[0-9a-f]{6})", part))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_series_stand_out_from_the_page(scheme: str) -> None:
    """Contrast of 3:1 at least (WCAG 1.4.11), on white and on the dark page."""
    colours = page_colours(scheme)
    if scheme == "light":
        assert tuple(colours[f"--s{n}"] for n in range(len(SERIES))) == SERIES
    for n in range(len(SERIES)):
        levels = sorted([luminance(colours[f"--s{n}"]), luminance(colours["--page"])])
        assert (levels[1] + 0.05) / (levels[0] + 0.05) >= 3


def test_series_differ_without_colour() -> None:
    assert len(set(map(str, LINES))) == len(set(MARKS)) == len(SERIES) == 8
    own = line_styles(f"policy {n}" for n in range(8))
    assert len({(str(look.line), look.mark) for look in own.values()}) == 8


def test_rows_of_groups_do_not_overlap() -> None:
    places, headings = rows_of([("a", ["x", "y"]), ("b", ["x"])])
    taken = sorted(places + [y for y, _ in headings])
    assert len(taken) == 5
    assert min(np.diff(taken)) >= 0.9 - 1e-9
    assert rows_of([("a", ["x", "y"])]) == ([0, 1], [])
