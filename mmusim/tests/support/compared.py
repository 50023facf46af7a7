"""Both engines on the same runs: where their traces differ.

``python -m mmusim.tests.support.compared RUNS [SEED]`` compares them on so many random runs, every
fifth also with one event per access, and says what it has done; with ``MMUSIM_BOUNDSCHECK=1``
compiled code checks its indices. It ends at the first difference.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from mmusim.base.errors import InvariantError
from mmusim.base.histogram import Histogram
from mmusim.config.settings import Setting
from mmusim.engine.choice import COMPILED, SIMPY
from mmusim.engine.code_cache import BOUNDS
from mmusim.engine.simulate import simulate
from mmusim.plan.make import Plan, make_plan
from mmusim.tests.support.any_run import runs

BATCH = 50  # runs that are drawn from one seed


def differences(a: Any, b: Any, where: str = "trace") -> Iterator[str]:
    """Say where two traces differ."""
    if dataclasses.is_dataclass(a):
        for field in dataclasses.fields(a):
            here = f"{where}.{field.name}"
            yield from differences(getattr(a, field.name), getattr(b, field.name), here)
    elif isinstance(a, tuple) and isinstance(b, tuple) and len(a) == len(b):
        for number, (x, y) in enumerate(zip(a, b, strict=True)):
            yield from differences(x, y, f"{where}[{number}]")
    elif isinstance(a, Mapping):
        for key in sorted(a.keys() | b.keys()):
            if a.get(key) != b.get(key):
                yield f"{where}[{key}]: {a.get(key)} and {b.get(key)}"
    elif isinstance(a, Histogram):
        if a != b:
            yield f"{where}: {a.count} times of {a.total_ns} ns and {b.count} of {b.total_ns} ns"
    elif a != b:
        yield f"{where}: {a} and {b}"


def ends(plan: Plan, engine: str, **more: Any) -> Any:
    """The trace of a plan, or the words in which the run fails."""
    try:
        return simulate(plan, engine=engine, **more)
    except InvariantError as error:
        return f"{type(error).__name__}: {error}"


def agree(setting: Setting, policy: str, seed: int = 1) -> Any:
    """Assert that both engines give the same; return it."""
    slow, fast = (ends(make_plan(setting, policy, seed), engine) for engine in (SIMPY, COMPILED))
    assert list(differences(slow, fast)) == []
    assert slow == fast
    return slow


def compare(count: int, first: int = 0) -> Iterator[int]:
    """Compare both engines on random runs; yield now and then how many there were.

    Raises
    ------
    AssertionError
        If they differ; a note has the run.
    """
    done = 0

    def one(run: tuple[str, Setting], number: int) -> None:
        nonlocal done
        policy, made = run
        try:
            fast = agree(made, policy, number)
            if done % 5 == 0:
                single = ends(make_plan(made, policy, number), COMPILED, run_limit=1)
                assert list(differences(fast, single)) == [], "one event per access"
        except Exception as error:
            error.add_note(f"policy {policy}, seed {number}, {made!r}")
            raise
        done += 1

    batch = 0
    while done < count:
        how = settings(
            max_examples=min(BATCH, count - done), deadline=None, database=None,
            suppress_health_check=list(HealthCheck), phases=[Phase.generate],
        )  # fmt: skip
        drawn = given(runs(by_rates=batch % 8 == 7), st.integers(0, 9999))(one)
        seed(first + batch)(how(drawn))()
        batch += 1
        yield done


def main() -> None:
    """Compare, and say how far it is."""
    count, *first = map(int, sys.argv[1:])
    checked = "bounds checked" if BOUNDS else "bounds not checked"
    for done in compare(count, *first):
        print(f"{done} runs, no difference, {checked}, {time.process_time():.0f} s", flush=True)


if __name__ == "__main__":
    main()
