"""Names of any length leave room for what a figure shows."""

from __future__ import annotations

import importlib

import pytest
from matplotlib.figure import Figure

from mmusim.plots import names
from mmusim.plots.style import headed, in_style, key_below, panels

LONGEST = 200  # characters of a name that an experiment may have
WORDS = ("many-words_of/a+name " * 10)[:LONGEST]


def drawn(name: str, monkeypatch: pytest.MonkeyPatch, *, fitted: bool) -> Figure:
    """A figure with the name in every place where plots write names."""
    if not fitted:
        house = importlib.import_module("mmusim.plots.style")  # its name is a function's, too
        monkeypatch.setattr(house, "fit_names", lambda figure: None)

    @in_style
    def draw() -> Figure:
        figure, axes = panels(2)
        for ax in axes:
            ax.barh([0, 1], [1, 2], label=name)
            ax.set_title(name)
            ax.set_yticks([0, 1], [name, "short"])
            headed(ax, [(0.5, name)])
        key_below(figure, axes[0])
        return figure

    figure = draw()
    figure.canvas.draw()  # lays it out
    return figure


def room(figure: Figure) -> float:
    """Return the share of the width that the axes have."""
    return sum(float(ax.get_position().width) for ax in figure.axes)


@pytest.mark.parametrize("name", [WORDS, "W" * LONGEST, "i" * LONGEST, "$x$" * 66])
def test_long_names_leave_room_and_stay_inside(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    figure = drawn(name, monkeypatch, fitted=True)
    assert room(figure) > 0.1
    wide = figure.bbox.width
    for ax in figure.axes:
        label = ax.get_yticklabels()[0]
        assert label.get_text().startswith(name[:3])
        assert label.get_text().endswith(name[-3:])
        for text in (ax.title, label):
            assert text.get_window_extent().width < wide / 2, "two panels stand beside each other"
        assert ax.get_yticklabels()[1].get_text() == "short"


@pytest.mark.filterwarnings("ignore:constrained_layout not applied")
def test_without_the_rule_a_long_name_takes_all_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control."""
    figure = drawn(WORDS, monkeypatch, fitted=False)
    label = figure.axes[0].get_yticklabels()[0]
    assert label.get_text() == WORDS
    assert label.get_window_extent().width > figure.bbox.width


def test_names_that_fit_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "linux-6.13+split-on-fault"
    figure = drawn(name, monkeypatch, fitted=True)
    for ax in figure.axes:
        assert {ax.get_title(), ax.texts[0].get_text(), ax.get_yticklabels()[0].get_text()} == {
            name
        }
    font = figure.axes[0].title.get_fontproperties()
    assert names.shortened("a\n" + WORDS, font, 2.0).startswith("a\nmany-words")
