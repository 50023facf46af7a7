"""`--parameter-sets`: a few sets of the parameters of each test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mmusim.tests.support.parameter_sets import OPTION, evenly_spaced

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
