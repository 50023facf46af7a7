"""Small runs of the driver dirty-log-perf-test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmusim.config.settings import settings_of
from mmusim.engine import simulate
from mmusim.plan.make import make_plan
from mmusim.tests.support.settings import CONSTANT, only
from mmusim.trace.records import Trace


def run(policy: str = "linux-6.13", **driver: Any) -> Trace:
    vm = driver.pop("vm", {})
    data = {
        "schema": 1, "id": "test", "question": "?",
        "vm": {"vcpus": 2, "memory": "8MiB", "kernel": "linux-6.13"} | vm,
        "host": {"profile": "skylake-2021", "costs": CONSTANT},
        "policies": only(policy),
        "driver": {"kind": "dirty-log-perf-test"} | driver,
    }  # fmt: skip
    (setting,) = settings_of(data, "test", Path())
    return simulate(make_plan(setting, policy, 1))
