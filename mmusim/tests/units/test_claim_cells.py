"""Claims are written in the metric's unit, alike on the terminal and in reports."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from mmusim.comparison.verdicts import Verdict
from mmusim.report.claim_cells import (
    expected_text,
    holds_text,
    interval_text,
    measured_text,
    verdict_data,
)
from mmusim.stats.intervals import mean_interval

MEAN = Verdict(
    says="the read pass takes 2 ms",
    setting="R1",
    metric="phase_time",
    what="lazy-drop",
    measured=mean_interval([1.99e6, 2e6, 2.01e6, 2e6, 2e6], 0.95),
    expected=(1.9e6, 2.1e6),
    outcome="supported",
    origin="published",
    source="",
    refuted="",
)
RATIO = replace(MEAN, what="lazy-drop / eager-drop", expected=(0.9, 1.1))


def test_a_time_has_its_unit_and_a_ratio_has_none() -> None:
    assert measured_text(MEAN) == "2 ms"
    assert expected_text(MEAN) == "1.9 ms .. 2.1 ms"
    assert interval_text(MEAN).count(" ms") == 2
    assert expected_text(RATIO) == "0.9 .. 1.1"
    assert "ms" not in measured_text(RATIO) + interval_text(RATIO)


@pytest.mark.parametrize(
    ("bounds", "text"),
    [((-math.inf, 1.0), "below 1"), ((0.0, math.inf), "above 0"), ((0.0, 1.0), "0 .. 1"),
     ((1.0, 1.0), "1")],
)  # fmt: skip
def test_ranges_are_written_without_infinity(bounds: tuple[float, float], text: str) -> None:
    assert expected_text(replace(RATIO, expected=bounds)) == text


def test_what_was_not_measured_says_why_and_has_no_interval() -> None:
    without = replace(MEAN, reason="seed 3 failed", outcome="inconclusive")
    assert measured_text(without) == "seed 3 failed"
    assert interval_text(without) == ""
    assert holds_text([without]) == ""


def test_data_have_null_for_no_bound() -> None:
    assert verdict_data(replace(RATIO, expected=(-math.inf, 1.0)))["expected"] == [None, 1.0]
