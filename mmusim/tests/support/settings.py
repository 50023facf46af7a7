"""Small settings, plans and runs that every theorem must hold on."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mmusim.base.errors import MisfitError
from mmusim.config.resolved import resolved
from mmusim.config.settings import Setting, settings_of
from mmusim.plan.make import Plan
from mmusim.policies import PRESETS, choose, policies
from mmusim.tests.support.places import ROOT
from mmusim.trace.records import Trace
from mmusim.vocabulary import COSTS
from mmusim.workload.base import Accesses, Uniforms


def setting(
    phases: Sequence[Any] | None,
    *,
    vcpus: int = 1,
    memory: str = "4MiB",
    costs: dict[str, Any] | None = None,
    **more: dict[str, Any],
) -> Setting:
    """One setting with the given phases, as a file has them, on the 2021 host; None: a selftest."""
    data: dict[str, Any] = {
        "schema": 1,
        "id": "test",
        "question": "?",
        "vm": {"vcpus": vcpus, "memory": memory, "kernel": "linux-3.16"},
        "host": {"profile": "skylake-2021", "costs": costs or {}},
        "policies": {"baseline": "eager-drop", "compare": ["lazy-drop"]},
        "driver": {} if phases is None else {"phases": list(phases)},
    }
    for key, table in more.items():
        data[key] = data.get(key, {}) | table
    (only,) = settings_of(data, "test", ROOT)
    return only


def with_actors(base: Setting, *actors: dict[str, Any]) -> Setting:
    """The setting with these threads beside it."""
    data = resolved(base)
    data["host"]["actors"] = list(actors)
    (made,) = settings_of(data, "test", ROOT)
    return made


def only(policy: str) -> dict[str, Any]:
    """The `policies` of a setting in which nothing but this policy must be possible."""
    other = "none" if policy != "none" else "write-protect"
    return {"baseline": policy, "compare": [other]}


CONSTANT = dict.fromkeys(COSTS, "100ns") | {
    "c_fault_slow": "1000ns", "c_fault_fast": "600ns", "c_srcu": "5us", "c_get_floor": "2us",
}  # fmt: skip
AT_ONCE = CONSTANT | dict.fromkeys(
    ("c_entry", "c_exit", "c_ack", "c_flush_init", "c_flush_target", "c_tlb_flush"), "0ns"
)
"""The way into the guest and out of it takes no time: a vCPU is kicked twice at one instant."""


BUSY: list[dict[str, Any]] = [
    {"do": "write"},
    {"do": "enable-logging"},
    {"do": "run", "workload": "mixed", "background": True, "name": "busy"},
    *[{"do": "sleep", "time": "50us"}, {"do": "sync-dirty-log", "chunk": "1MiB"}] * 9,
    {"do": "wait"},
    {"do": "sync-dirty-log"},
]
"""A guest that runs while the host reads and re-arms the log beside it."""


def busy_setting(costs: dict[str, Any] | None = None, **more: dict[str, Any]) -> Setting:
    workload = {"pattern": "reads-beside-writes", "accesses_per_page": 10.0, "writes": "4%"}
    return setting(
        BUSY, vcpus=4, memory="8MiB", costs=costs, workloads={"mixed": workload}, **more
    )  # fmt: skip


BROKEN = {"lazy-drop-2013", "wp-all-levels-bug"}
"""Policies that are there to be caught."""


COMBINED = [
    "linux-2.6.37", "linux-3.7", "linux-3.16", "linux-4.1", "linux-5.11+tdp", "linux-5.15",
    "linux-5.18+initially-all-set", "linux-6.1+lazy-drop", "linux-6.2+split-on-fault+manual-clear",
    "linux-6.13", "linux-6.13+pml", "linux-6.13+pml+dirty-ring",
    "linux-6.13+pml+initially-all-set", "linux-5.7+pml+initially-all-set", "linux-6.13+nested",
    "linux-6.13+nested+dirty-ring", "linux-6.13+legacy+pml+lazy-drop",
]  # fmt: skip


SOUND = sorted(set(policies()) - BROKEN) + COMBINED
"""Everything that must neither lose a write nor stop a guest."""


def kernel_of(policy: str) -> str:
    """The first release from 3.16 on that can have the policy."""
    for kernel in PRESETS:
        if kernel.release >= (3, 16):
            with contextlib.suppress(MisfitError):
                choose(policy, kernel=kernel.name)
                return kernel.name
    raise AssertionError(policy)


class BusyRun(NamedTuple):
    """A busy run under some policy: what was asked for and what happened."""

    policy: str
    plan: Plan
    trace: Trace


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
