"""A guest that is migrated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmusim.config.migrate import Migration
from mmusim.plan.make import Plan, make_plan
from mmusim.tests.support.settings import kernel_of, setting
from mmusim.vocabulary import COSTS

FREE = dict.fromkeys(COSTS, "0ns") | {"t_hit_2M": "1ns"}
"""A host on which nothing but a hit takes time."""


def migrating(
    policy: str = "linux-6.13",
    *,
    others: Sequence[str] = (),
    vcpus: int = 2,
    memory: str = "8MiB",
    think: str = "500us",
    workload: dict[str, Any] | None = None,
    costs: dict[str, Any] | None = None,
    before: Sequence[dict[str, Any]] = ({"do": "write"},),
    after: Sequence[dict[str, Any]] = (),
    idle: bool = False,
    seed: int = 1,
    qemu: str = "",
    **spec: Any,
) -> Plan:
    """A guest that reads and writes at random while it is migrated."""
    work = {"pattern": "uniform", "accesses_per_page": 2.0, "writes": "30%"} | (workload or {})
    phase: dict[str, Any] = {"do": "migrate"}
    phase |= {} if idle else {"workload": "work", "think": think}
    network = {"bandwidth": "20MB/s", "max-bandwidth": "0B/s", "downtime-limit": "10ms"}
    made = setting(
        [*before, phase, *after],
        vcpus=vcpus,
        memory=memory,
        costs=costs,
        workloads={"work": work},
        vm={"kernel": kernel_of(policy)},
        policies={"baseline": policy, "compare": list(others) or [policy_beside(policy)]},
        driver={"migration": network | as_keys(spec)},
        **({"vmm": {"qemu": qemu}} if qemu else {}),
    )
    return make_plan(made, policy, seed)


def as_keys(spec: dict[str, Any]) -> dict[str, Any]:
    """Write names of Python as the keys of a file are written: those of QEMU with hyphens."""
    fields = Migration.model_fields
    return {fields[key].alias or key if key in fields else key: spec[key] for key in spec}


def policy_beside(policy: str) -> str:
    """Another one with which the experiment makes sense; it is not run."""
    return "linux-6.13+dirty-ring" if "dirty-ring" in policy else "linux-6.13+legacy"
