"""Small runs that every theorem must hold on."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator

import pytest

from mmusim.__main__ import main
from mmusim.engine import simulate
from mmusim.engine.choice import SIMPY, VARIABLE
from mmusim.plan.make import Plan, make_plan
from mmusim.policies import Policy
from mmusim.tests.support.order import slow_first
from mmusim.tests.support.parameter_sets import keep_sets
from mmusim.tests.support.parameter_sets import (
    pytest_addoption as pytest_addoption,
)
from mmusim.tests.support.settings import (
    CONSTANT,
    SOUND,
    BusyRun,
    busy_setting,
    kernel_of,
)
from mmusim.tests.support.skipped import pytest_terminal_summary as pytest_terminal_summary


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    keep_sets(config, items)
    slow_first(items)


@pytest.fixture(autouse=True)
def engine_of_the_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that replaces a part of the SimPy engine, as negative controls do, runs on it."""
    replaces = "monkeypatch" in request.fixturenames
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COLUMNS", raising=False)  # tables are as wide as in a pipe
        if replaces and VARIABLE not in os.environ:
            patch.setenv(VARIABLE, SIMPY)
        yield


@pytest.fixture(params=["random costs", "constant costs"])
def plans(request: pytest.FixtureRequest) -> Callable[[Policy | str, int], Plan]:
    """Plans of a busy guest. Constant costs make simultaneous events the rule."""
    costs = CONSTANT if request.param == "constant costs" else None

    def plan(policy: Policy | str, seed: int) -> Plan:
        kernel = kernel_of(policy) if isinstance(policy, str) else "linux-3.16"
        return make_plan(busy_setting(costs, vm={"kernel": kernel}), policy, seed)

    return plan


@pytest.fixture(scope="module", params=SOUND)
def a_policy(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=["random costs", "constant costs"])
def busy_run(request: pytest.FixtureRequest, a_policy: str) -> BusyRun:
    """One run for every policy and kind of costs, for all tests of a module that look at it."""
    costs = CONSTANT if request.param == "constant costs" else None
    plan = make_plan(busy_setting(costs, vm={"kernel": kernel_of(a_policy)}), a_policy, 1)
    return BusyRun(a_policy, plan, simulate(plan))


@pytest.fixture(params=SOUND)
def policy(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def mmusim(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """The command line, in this process: exit status, output, messages."""

    def call(*args: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mmusim", *map(str, args)])
        with pytest.raises(SystemExit) as stopped:
            main()
        out, err = capsys.readouterr()
        return int(stopped.value.code or 0), out, err

    return call
