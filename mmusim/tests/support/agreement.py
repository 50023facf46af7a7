"""Whether two engines give the same trace, to the last nanosecond and counter."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from mmusim.base.errors import InvariantError
from mmusim.base.histogram import Histogram
from mmusim.config.settings import Setting
from mmusim.engine.choice import COMPILED, SIMPY
from mmusim.engine.simulate import simulate
from mmusim.plan.make import Plan, make_plan


def differences(a: Any, b: Any, where: str = "trace") -> Iterator[str]:
    """Say where two traces differ."""
    if dataclasses.is_dataclass(a) and type(a) is type(b):
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
