"""Which tests run, and in which order: `--parameter-sets`, and slow tests first."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mmusim.tests.support.order import slow_first
from mmusim.tests.support.parameter_sets import OPTION, evenly_spaced
from mmusim.tests.support.places import ROOT

HERE = Path(__file__).relative_to(Path.cwd()) if Path.cwd() in Path(__file__).parents else __file__


@pytest.mark.parametrize(
    ("number", "kept"),
    [(1, [0]), (2, [0, 9]), (4, [0, 3, 6, 9]), (10, list(range(10))), (11, list(range(10)))],
)
def test_sets_are_evenly_spaced_from_the_first_to_the_last(number: int, kept: list[int]) -> None:
    assert evenly_spaced(range(10), number) == kept


@pytest.mark.parametrize("value", range(5))
def test_with_five_sets(value: int) -> None:
    assert value in range(5)


def collected(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-qq", *options]
    return subprocess.run(
        [*command, str(HERE), "-k", "five_sets"], capture_output=True, text=True, check=False
    )


def test_each_test_runs_with_so_many_sets() -> None:
    """And negative control: without the option, with all."""
    assert f"{HERE}: 2" in collected(OPTION, "2").stdout
    assert f"{HERE}: 5" in collected().stdout


def test_a_number_below_one_is_refused() -> None:
    done = collected(OPTION, "0")
    assert done.returncode == 4
    assert "must be 1 or more, is 0" in done.stderr


class Item:
    """What `slow_first` reads of a test."""

    def __init__(self, name: str, *marks: str) -> None:
        self.name, self.marks = name, marks

    def get_closest_marker(self, mark: str) -> str | None:
        return mark if mark in self.marks else None


def test_slow_tests_come_first_and_the_order_is_kept() -> None:
    items: list[Any] = [Item("a"), Item("b", "slow"), Item("c", "untraced"), Item("d", "slow")]
    slow_first(items)
    assert [item.name for item in items] == ["b", "d", "a", "c"]


def test_make_coverage_says_it_as_pytest_reads_it() -> None:
    """Without a folder of tests pytest does not know the option when it reads the command."""
    make = ["make", "--no-print-directory", "-n", "-o", ".venv/.ready", "coverage"]
    shown = subprocess.run(make, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    words = shlex.split(shown.partition(";")[0].replace("\\\n", " "))
    assert words[1] == "mmusim/tests"
    (option,) = (word for word in words if word.startswith(OPTION))
    assert f"{HERE}: 1" in collected(option).stdout
