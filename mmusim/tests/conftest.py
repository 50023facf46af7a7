"""Small runs that every theorem must hold on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmusim.config.cells import Cell, cells_of
from mmusim.config.host import COSTS
from mmusim.plan import Plan, make_plan
from mmusim.policies import Policy, policies
from mmusim.workload.base import Accesses, Uniforms

ROOT = Path(__file__).parents[2]
DATA = Path(__file__).parent / "data"


def cell(
    phases: Sequence[dict[str, Any]],
    *,
    vcpus: int = 1,
    memory: str = "4MiB",
    costs: dict[str, Any] | None = None,
    **more: dict[str, Any],
) -> Cell:
    """One cell with the given phases on the 2021 host."""
    data: dict[str, Any] = {
        "schema": 1,
        "id": "test",
        "question": "?",
        "vm": {"vcpus": vcpus, "memory": memory, "kernel": "linux-3.16"},
        "host": {"profile": "skylake-2021", "costs": costs or {}},
        "policies": {"baseline": "eager-drop", "compare": ["lazy-drop"]},
        "driver": {"phases": list(phases)},
    }
    for key, table in more.items():
        data[key] = data.get(key, {}) | table
    (only,) = cells_of(data, "test", ROOT)
    return only


CONSTANT = dict.fromkeys(COSTS, "100ns") | {
    "c_fault_slow": "1000ns", "c_fault_fast": "600ns", "c_srcu": "5us", "c_get_floor": "2us",
}  # fmt: skip

BUSY = [
    {"do": "write"},
    {"do": "enable-logging"},
    {"do": "run", "workload": "mixed", "background": True, "name": "busy"},
    *[{"do": "sleep", "time": "100us"}, {"do": "get-dirty-log"}] * 9,
    {"do": "wait"},
    {"do": "get-dirty-log"},
]
"""A guest that runs while the host reads and re-arms the log beside it."""


def busy_cell(costs: dict[str, Any] | None = None, **more: dict[str, Any]) -> Cell:
    workload = {"pattern": "reads-beside-writes", "accesses_per_page": 20.0, "writes": "4%"}
    return cell(
        BUSY, vcpus=4, memory="8MiB", costs=costs, workloads={"mixed": workload}, **more
    )  # fmt: skip


@pytest.fixture(params=["random costs", "constant costs"])
def plans(request: pytest.FixtureRequest) -> Callable[[Policy | str, int], Plan]:
    """Plans of a busy guest. Constant costs make simultaneous events the rule."""
    made = busy_cell(CONSTANT if request.param == "constant costs" else None)
    return lambda policy, seed: make_plan(made, policy, seed)


@pytest.fixture(params=sorted(policies()))
def policy(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@dataclass(frozen=True)
class Explicit:
    """A workload given access by access, as (gfn, is a write?)."""

    program: tuple[tuple[int, bool], ...]

    def length(self, pages: int) -> int:
        return len(self.program)

    def accesses(self, base_gfn: int, pages: int, uniforms: Uniforms) -> Accesses:
        gfns, writes = zip(*self.program, strict=True)
        return Accesses(np.array(gfns, np.int64), np.array(writes, np.bool_))


def with_program(plan: Plan, phase: int, program: Sequence[tuple[int, bool]]) -> Plan:
    """The plan, with the accesses of one phase given explicitly."""
    patterns = list(plan.patterns)
    patterns[phase] = Explicit(tuple(program))
    return dataclasses.replace(plan, patterns=tuple(patterns))
