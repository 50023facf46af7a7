"""Level, power, families, looks, marks and hosts: what ``mmusim coverage`` measures is kept.

Each promise has a control that breaks it. ``docs/evidence/coverage.md`` has the tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

import mmusim
from mmusim.cli.evidence.coverage import PROMISES, by_seeds
from mmusim.comparison.verdicts import judge
from mmusim.config.claims import Claim
from mmusim.stats import paired_ratio
from mmusim.stats.promises import (
    EQUAL,
    SETTINGS,
    Promise,
    answered,
    families,
    hosts,
    looks,
    marks,
    powers,
)
from mmusim.tests.support.made_up_runs import runs
from mmusim.tests.support.settings import setting

PAGE = Path(mmusim.__file__).parents[1] / "docs" / "evidence" / "coverage.md"
FAIR = [name for name in EQUAL if "mode of" not in name and name[-7:] != "sigma 1"]


def by_case(made: Iterator[Promise]) -> dict[tuple[str, int], tuple[int, int]]:
    """How often of how many trials, by case and number of seeds."""
    return {
        (one.case, one.seeds): (round(one.share * one.trials), one.trials)
        for one in made
        if one.trials
    }


def exceeds(count: tuple[int, int], promised: float) -> float:
    return float(binomtest(*count, promised, alternative="greater").pvalue)


def misses(count: tuple[int, int], promised: float) -> float:
    return float(binomtest(*count, promised, alternative="less").pvalue)


def false(name: str, n: int, trials: int) -> tuple[int, int]:
    """How often policies without a difference are called better or worse."""
    rng = np.random.default_rng([7, n])
    said = [answered(*EQUAL[name](rng, n), 499).outcome for _ in range(trials)]
    return sum(one in ("better", "worse") for one in said), trials


@pytest.mark.parametrize("name", FAIR)
def test_equal_policies_are_called_different_five_times_of_100_at_most(name: str) -> None:
    for n in (5, 10, 30):
        assert exceeds(false(name, n, 200), 0.05) > 0.001, n


def test_what_cannot_hold_its_level_does_not() -> None:
    """Negative control, and what is said of it: a rare mode that no seed shows; strong skew."""
    assert exceeds(false("a mode of 5 % of the seeds", 10, 200), 0.05) < 1e-6
    skewed = false("differences: lognormal, sigma 1", 5, 400)
    assert exceeds(skewed, 0.05) < 0.001, "it is said to be a test of symmetry"
    assert exceeds(skewed, 0.13) > 0.001


def test_differences_are_found_as_often_as_the_page_says() -> None:
    found = by_case(powers(80))
    assert misses(found["10 % more is called worse", 10], 0.85) > 0.001
    assert misses(found["5 % more is called worse", 30], 0.9) > 0.001
    assert misses(found["no difference is called equivalent", 30], 0.9) > 0.001
    assert found["no difference is called equivalent", 20][0] == 0, "below 29 seeds nothing is"
    carried = found["10 % carried by 5 % of the seeds is called equivalent", 30]
    assert exceeds(carried, 0.95**30) > 0.001, "no more often than samples show nothing of it"


def test_an_order_is_refuted_in_a_family_as_seldom_as_in_one_setting() -> None:
    found = by_case(families(150))
    for n in (10, 30):
        assert exceeds(found[f"an order is refuted in one of {SETTINGS} settings", n], 0.05) > 0.001
        assert exceeds(found["the same without correction", n], 0.05) < 0.001, "negative control"


def test_the_judge_of_claims_controls_the_family(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped function on twelve settings; negative control: each as the only one.

    With fewer bootstrap samples than it takes, for time.
    """
    monkeypatch.setattr("mmusim.comparison.verdicts.paired_ratio",
                        partial(paired_ratio, resamples=999))  # fmt: skip
    here = setting([{"do": "write"}])
    claim = Claim.model_validate({"origin": "observed", "says": "?", "order": "a < b"})
    rng, together, alone = np.random.default_rng(5), 0, 0
    for _ in range(150):
        common = rng.normal(100, 5, (SETTINGS, 30))
        a, b = (common + rng.normal(0, 3, common.shape) for _ in "ab")
        rows = [{"a": runs("a", x), "b": runs("b", y)} for x, y in zip(a, b, strict=True)]
        refuted = [row for row in rows if judge(claim, here, row).outcome == "refuted"]
        alone += bool(refuted)
        together += any(judge(claim, here, row, SETTINGS).outcome == "refuted" for row in refuted)
    assert exceeds((together, 150), 0.05) > 0.001
    assert exceeds((alone, 150), 0.05) < 0.001


def test_the_interval_at_the_last_look_covers() -> None:
    found = by_case(looks(200))
    for shape in ("normal", "lognormal"):
        assert misses(found[f"{shape}, half the interval at most 25 %", 60], 0.95) > 0.001
    naive = found["lognormal, each look taken for the only one", 60][0]
    assert naive < found["lognormal, half the interval at most 25 %", 60][0], "negative control"


def test_a_rare_mode_that_is_seen_is_marked_and_skew_is_not() -> None:
    found = by_case(marks(150))
    for share in (5, 10):
        for n in (20, 30):
            case = f"a mode of {share} % of the seeds, seen 1 to 4 times"
            assert misses(found[case, n], 0.95) > 0.001
    for case, n in found:
        if "mode" not in case and "tied" not in case:
            assert exceeds(found[case, n], 0.05) > 0.001, "negative control: no mark without one"


def test_shares_of_hosts_are_covered_though_runs_fail() -> None:
    found = by_case(hosts(200))
    for n in (8, 16, 32):
        assert misses(found["share of hosts on which it holds", n], 0.95) > 0.001
        assert misses(found["a further host lies in the spread", n], 0.92) > 0.001
        lost = found["the share, where runs fail on half of the other hosts", n]
        assert misses(lost, 0.95) > 0.001
    ignored = found["the same, if hosts whose runs failed are ignored", 32]
    assert misses(ignored, 0.95) < 1e-4, "negative control"


def test_the_page_has_a_table_of_each_promise() -> None:
    """And the cheapest is that of the code as it is, to the last digit."""
    page = PAGE.read_text()
    for name, (title, _) in PROMISES.items():
        assert title.partition(":")[0].partition(" (")[0] in page, name
    for row in by_seeds("hosts", list(hosts(600))):
        assert "| " + " | ".join(row.values()) + " |" in page, row


def test_a_promise_that_does_not_exist_is_refused(mmusim: Callable[..., Any]) -> None:
    status, _, told = mmusim("coverage", "--only", "nothing")
    assert status == 2
    assert "choose among intervals, levels" in told


def test_what_is_measured_is_printed_and_data(mmusim: Callable[..., Any]) -> None:
    status, text, _ = mmusim("coverage", "--trials", "100", "--only", "hosts")
    assert status == 0
    assert "share of hosts on which it holds" in text
    assert "Coverage of 95 % intervals" not in text
