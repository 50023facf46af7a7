"""Pages that the log reports and nobody wrote since they were copied: where splitting makes some.

A split alone makes none. What is written while logging is being switched on is logged once its
large spte was split, and the copy, which begins at the end of enabling, has it already.
"""

from __future__ import annotations

from typing import Any

import pytest

from mmusim.engine import simulate
from mmusim.engine.choice import COMPILED, SIMPY
from mmusim.metrics.measure import measure
from mmusim.plan.make import make_plan
from mmusim.tests.support.settings import only, setting

SPLITTING = ["linux-6.13", "linux-6.13+split-on-fault"]
GUEST = {"do": "run", "workload": "requests", "name": "requests", "background": True}
ENABLE = {"do": "enable-logging", "at": "500us"}
SYNC = {"do": "sync-dirty-log", "at": "6ms"}
BESIDE: list[dict[str, Any]] = [{"do": "write"}, GUEST, ENABLE, SYNC, {"do": "wait"}]
"""The guest writes while logging is being switched on."""
BEHIND: list[dict[str, Any]] = [
    {"do": "write"}, {"do": "enable-logging"}, GUEST, SYNC, {"do": "wait"}
]  # fmt: skip
"""It writes behind that."""


def false_dirty(policy: str, phases: list[dict[str, Any]], tlb: int | str) -> float:
    """Return the falsely dirty pages of a run, on which both engines must agree."""
    requests = {
        "pattern": "open-loop-requests", "requests": 400, "interarrival": "20us", "touches": 4,
        "writes": "50%",
    }  # fmt: skip
    made = setting(
        phases, vcpus=2, memory="64MiB", workloads={"requests": requests},
        policies=only(policy), vm={"kernel": "linux-6.13"}, host={"tlb": tlb},
    )  # fmt: skip
    found = {
        measure(simulate(make_plan(made, policy, 1), engine=engine)).values["false_dirty"]
        for engine in (SIMPY, COMPILED)
    }
    (pages,) = found
    return pages


@pytest.mark.parametrize("policy", SPLITTING)
def test_splitting_makes_none_of_what_is_written_behind_enabling(policy: str) -> None:
    assert false_dirty(policy, BEHIND, 4) == 0


@pytest.mark.parametrize("policy", SPLITTING)
def test_nor_where_no_vcpu_faults_before_the_flush(policy: str) -> None:
    """Every translation is kept until then, so nothing is logged while logging is switched on."""
    assert false_dirty(policy, BESIDE, "unlimited") == 0


def test_what_is_written_while_enabling_splits_is_reported_and_was_copied() -> None:
    """A translation fell out of the TLB, and the next write met the entry that was split."""
    assert false_dirty("linux-6.13", BESIDE, 4) > 0


def test_dropping_makes_some_whenever_the_guest_reads() -> None:
    """Negative control: a read fault maps its page writable and dirty."""
    assert false_dirty("linux-6.13+lazy-drop", BEHIND, 4) > 0
