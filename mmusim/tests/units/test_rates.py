"""Guests by rates: what the points promise, what a dirty rate means, what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner

from mmusim.base.errors import ConfigError
from mmusim.base.units import PAGE
from mmusim.cli import app
from mmusim.config.workloads import workload_of
from mmusim.costs.random_streams import Draws, uniforms
from mmusim.plan.make import make_plan
from mmusim.tests.support.settings import setting
from mmusim.workload.points import BLOCK, NEVER, Law, Poisson, Sweep, next_point

PAGES = 1 << 14
SPREADS = [
    {"kind": "uniform"}, {"kind": "hot-cold", "hot": "5%"}, {"kind": "zipf", "exponent": 0.9},
]  # fmt: skip


def workload(**more: Any) -> Any:
    return workload_of({"pattern": "dirty-rate", **more}, Path(), "test")


def points(law: Law, leaf: int, until_ns: int, armed: set[int], block: int = 0) -> Iterator[int]:
    at = -1
    while (at := next_point(99, leaf, block, law, armed.__contains__, at)) >> 6 < until_ns:
        yield at


@pytest.mark.parametrize("per_second", [0.5, 40.0, 1e4])
def test_points_are_a_poisson_process_on_each_page(per_second: float) -> None:
    law, everything = Poisson(per_second / 1e9), set(range(BLOCK))
    until = round(3000 / (BLOCK * law.rate))
    found = np.array([at for leaf in range(2) for at in points(law, leaf, until, everything)])
    times, pages = found >> 6, found & BLOCK - 1
    assert abs(len(found) - 6000) < 4 * 6000**0.5
    gaps = np.diff(times)
    assert stats.kstest(gaps[gaps > 0] * BLOCK * law.rate, "expon").pvalue > 1e-3
    assert stats.kstest(gaps[gaps > 0] * BLOCK * law.rate * 1.2, "expon").pvalue < 1e-6, "control"
    assert stats.chisquare(np.bincount(pages, minlength=BLOCK)).pvalue > 1e-3
    few = {3, 40}
    thinned = list(points(law, 0, until, few))
    assert thinned == [at for at in points(law, 0, until, everything) if at & BLOCK - 1 in few]


def test_a_sweep_writes_its_pages_in_order_over_and_over() -> None:
    law, pages = Sweep(10.0, 100), []
    for block in range(2):
        for at in points(law, block, 3000, set(range(BLOCK)), block):
            pages.append((at >> 6, block * BLOCK + (at & BLOCK - 1)))
    assert sorted(pages) == [(10 * visit, visit % 100) for visit in range(300)]
    armed = {5}
    assert [at >> 6 for at in points(law, 0, 3000, armed)] == [50, 1050, 2050]
    assert next_point(1, 0, 1, law, {40}.__contains__, -1) == NEVER  # behind the swept pages


@pytest.mark.parametrize("spread", SPREADS, ids=lambda s: str(s["kind"]))
def test_the_dirty_rate_is_the_one_asked_for(spread: dict[str, Any]) -> None:
    made = workload(dirty_rate="20MB/s", over="500ms", working_set="60%", spread=spread)
    dirty = made.dirty_after(PAGES // 4, PAGES, 0.5)
    assert dirty * PAGE / 0.5 == pytest.approx(20e6 / 4, rel=1e-6)
    assert made.dirty_after(PAGES // 4, PAGES, 1e9) <= 0.61 * PAGES / 4
    draws = Draws(1)
    rates = made.rates(PAGES // 4, PAGES, lambda p, n, c: uniforms(draws.key(p, 0), n, c))
    each = np.array([0.0, *(law.rate * 1e9 for law in rates.laws)])[rates.law[0]]
    assert (BLOCK * -np.expm1(-each * 0.5)).sum() == pytest.approx(dirty, rel=1e-9)
    if spread["kind"] != "uniform":
        assert each.max() > 5 * np.median(each[each > 0])


def test_reads_and_classes_have_the_rates_given() -> None:
    made = workload(classes=[{"share": "25%", "writes": 2.0}, {"share": "50%", "reads": 3.0}])
    ones = made.page_classes(64 * 400, 64 * 400)
    assert [(one.blocks, one.writes, one.reads) for one in ones] == [
        (100, 2.0, 0.0),
        (200, 0.0, 3.0),
    ]


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"dirty_rate": "1GB/s"}, "is not less than"),
        ({"dirty_rate": "1MB/s", "classes": [{"share": "5%"}]}, "say the same thing"),
        ({"classes": [{"share": "60%"}, {"share": "50%"}]}, "more than all memory"),
        ({"classes": [{"share": "60%", "writes": -1.0}]}, "must be at least 0"),
        ({"dirty_rate": "fast"}, "dirty_rate"),
        ({"spread": {"kind": "normal"}}, "uniform"),
    ],
)
def test_what_cannot_be_is_refused(table: dict[str, Any], says: str) -> None:
    phases = [{"do": "run", "workload": "it"}]
    with pytest.raises(ConfigError, match=says):
        make_plan(
            setting(phases, memory="8MiB", workloads={"it": {"pattern": "dirty-rate", **table}}),
            "lazy-drop", 1,
        )  # fmt: skip


@pytest.mark.parametrize(("key", "value"), [("think", "3us"), ("shared", "50%")])
def test_what_goes_with_accesses_alone_is_refused(key: str, value: str) -> None:
    phase = {"do": "run", "workload": "it", key: value}
    with pytest.raises(ConfigError, match=f"run.{key}.*drop it"):
        make_plan(setting([phase], workloads={"it": {"pattern": "stress"}}), "lazy-drop", 1)


def test_workload_show_prints_what_becomes_dirty() -> None:
    shown = CliRunner().invoke(
        app, ["workload", "show", "dirty-rate", "--memory", "1GiB", "--json"]
    )
    assert shown.exit_code == 0, shown.output
    rows = {row["window"]: row["dirty_rate"] for row in json.loads(shown.stdout)["rows"]}
    assert rows["1 s"] == "100 MB/s"
    wrong = CliRunner().invoke(app, ["workload", "show", "dirty-rate", "--memory", "1MiB"])
    assert "lower it" in str(wrong.exception)
