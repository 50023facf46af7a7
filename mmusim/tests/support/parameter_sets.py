"""A sample of the tests: of each test function a few sets of its parameters.

Most tests run the same lines again with other policies, kernels or seeds. `make coverage` asks
which lines are reached, so a few sets of each test are enough there. They take less time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import pytest

OPTION = "--parameter-sets"

T = TypeVar("T")


def evenly_spaced(values: Sequence[T], number: int) -> list[T]:
    """At most `number` of the values, from the first to the last, in their order."""
    if len(values) <= number:
        return list(values)
    if number == 1:
        return [values[0]]
    step = (len(values) - 1) / (number - 1)
    return [values[round(i * step)] for i in range(number)]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        OPTION,
        type=int,
        metavar="N",
        help="run each test with at most N of its sets of parameters, evenly spaced",
    )


def keep_sets(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take out of `items` what the option leaves out; without the option, nothing."""
    number = config.getoption(OPTION)
    if number is None:
        return
    if number < 1:
        raise pytest.UsageError(f"{OPTION}: must be 1 or more, is {number}")
    by_test: dict[str, list[pytest.Item]] = {}
    for item in items:
        by_test.setdefault(item.nodeid.partition("[")[0], []).append(item)
    kept = {id(item) for sets in by_test.values() for item in evenly_spaced(sets, number)}
    left_out = [item for item in items if id(item) not in kept]
    items[:] = [item for item in items if id(item) in kept]
    config.hook.pytest_deselected(items=left_out)
