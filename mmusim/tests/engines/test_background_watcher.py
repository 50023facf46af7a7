"""A throttle's own thread reads the log while a pass takes long, for the throttle alone."""

from __future__ import annotations

from typing import Any

import pytest

from mmusim.base.errors import LostWriteError
from mmusim.engine import simulate
from mmusim.engine.choice import COMPILED, SIMPY
from mmusim.engine.migration.ram import RamBlock
from mmusim.tests.support.migrations import migrating
from mmusim.trace.records import MigrationTrace

SLOW: dict[str, Any] = {
    "bandwidth": "700kB/s", "bandwidth_cv": "0%", "downtime_limit": "0ns", "think": "500us",
    "vcpus": 1, "max_time": "30s", "qemu": "9.1",
}  # fmt: skip
"""The first pass takes 12 s and the second one 11 s."""


def slowed(
    rule: str, policy: str = "linux-6.13+manual-clear", *, engine: str = SIMPY, **more: Any
) -> MigrationTrace:
    """A migration under a throttle; parameters of the rule are `more`."""
    plan = migrating(policy, **SLOW, throttle={"rule": rule, **more})
    found = next(p for p in simulate(plan, engine=engine).phases if p.do == "migrate")
    assert found.migration is not None
    return found.migration


def test_it_reads_the_log_when_the_last_sync_is_five_seconds_ago() -> None:
    watched, plain = slowed("background-watcher"), slowed("auto-converge")
    second_pass = plain.rounds[0].end_ns - plain.start_ns
    first_steps = [min(when for when, _ in m.throttle) - m.start_ns for m in (watched, plain)]
    assert 5e9 < first_steps[0] - second_pass < 6.1e9, "the second bad sync; it looks every second"
    assert first_steps[1] - second_pass > 9e9, "control: at the end of the second pass"


def test_what_it_reads_is_sent_after_the_pass() -> None:
    watched, timed = slowed("background-watcher"), slowed("background-sync", every="2s")
    assert watched.syncs > len(watched.rounds) + 1, "it has read the log in between"
    first, second = watched.rounds[:2]
    assert second.sent_pages == first.dirty_pages
    assert len(timed.rounds) == 1, "control: to QEMU's timer the second pass has no end"


def test_it_ends_when_the_throttle_takes_its_most() -> None:
    on, ended = (slowed("background-watcher", most=most) for most in ("99%", "20%"))
    between = [m.syncs - len(m.rounds) for m in (on, ended)]
    assert between == [3, 2], "one at set-up; then the one that brings 20 %, and one more"
    assert all(m.throttle[0][1] == 0.2 for m in (on, ended))


@pytest.mark.parametrize(
    "policy",
    ["linux-6.13", "linux-6.13+manual-clear", "linux-6.13+initially-all-set", "linux-6.13+pml",
     "dirty-ring", "lazy-drop"],
)  # fmt: skip
def test_no_write_is_lost_and_the_engines_agree(policy: str) -> None:
    slow, fast = (
        slowed("responsive", policy, engine=engine, every="1ms") for engine in (SIMPY, COMPILED)
    )
    assert slow == fast
    assert slow.syncs > len(slow.rounds) + 1


def test_a_page_that_is_forgotten_before_it_is_sent_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Negative control."""

    def forget_all(ram: RamBlock) -> None:
        if ram._ahead is not None:
            ram._reported[:] = False

    monkeypatch.setattr(RamBlock, "forget_sent", forget_all)
    with pytest.raises(LostWriteError):
        slowed("background-watcher", "linux-6.13", every="1ms")


def test_a_page_that_was_sent_in_the_noted_state_is_not_sent_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_it = slowed("background-watcher", "linux-6.13", every="1ms")
    monkeypatch.setattr(RamBlock, "forget_sent", lambda ram: None)
    without = slowed("background-watcher", "linux-6.13", every="1ms")
    assert with_it.rounds[1].dirty_pages < without.rounds[1].dirty_pages
