"""What a run tells of many checkpoints, and of many rounds of a migration."""

from __future__ import annotations

import dataclasses

import numpy as np

from mmusim.base.histogram import Histogram
from mmusim.trace.checkpoints import CheckpointsTrace, CheckpointTrace
from mmusim.trace.records import MigrationTrace, Round

MS = 1_000_000


def checkpoints(count: int) -> tuple[str, ...]:
    """Every 100 ms, of as many pages as its number; the third is 3 ms late and pauses longest."""
    made = [
        CheckpointTrace(
            due_ns=100 * MS * n, start_ns=100 * MS * n + 3 * MS * (n == 3),
            resumed_ns=100 * MS * n + (20 if n == 3 else 5) * MS,
            arrived_ns=100 * MS * n + 30 * MS, pages=n, sent_bytes=4104 * n, sending_ns=MS,
        )
        for n in range(1, count + 1)
    ]  # fmt: skip
    return CheckpointsTrace(
        began_ns=0, end_ns=100 * MS * (count + 1), made=tuple(made), spent={}
    ).story()


def test_few_checkpoints_are_told_one_by_one() -> None:
    story = checkpoints(12)
    assert len(story) == 12
    assert story[2].startswith("checkpoint 3: 3 pages, paused for 17 ms")
    assert story[2].endswith("3 ms late")


def test_many_checkpoints_are_told_together_with_the_extremes() -> None:
    story = checkpoints(192)
    assert story[0] == (
        "192 checkpoints: 1 to 192 (mean 96) pages, paused for 5 ms to 17 ms (mean 5.062 ms), "
        "1 of them late"
    )
    assert story[1].startswith("checkpoint 1 (the slowest to be complete): 1 pages")
    assert story[2].startswith("checkpoint 3 (the longest pause, the latest): 3 pages")
    assert story[3].startswith("checkpoint 192 (the most pages): 192 pages")
    assert len(story) == 4


def trace(rounds: int) -> MigrationTrace:
    made = tuple(Round(MS * n, MS * (n + 1), 100 + n, 0, 0, 10 * n, 1e9, n) for n in range(rounds))
    return MigrationTrace(
        outcome="completed", start_ns=0, end_ns=MS * rounds, downtime_ns=MS, rounds=made,
        sent_pages=0, zero_pages=0, distinct_pages=0, sent_bytes=0, spent={}, throttle=(),
        dirty_limit=(),
    )  # fmt: skip


def migration(rounds: int) -> tuple[str, ...]:
    return trace(rounds).story()


def test_the_middle_rounds_of_many_are_told_together() -> None:
    assert len(migration(24)) == 25, "all, and the end"
    story = migration(60)
    assert len(story) == 8 + 1 + 8 + 1
    assert story[7].startswith("round 8: 1 ms, 107 pages sent, 7 in vain")
    sent, vain = sum(100 + n for n in range(8, 52)), sum(range(8, 52))
    assert story[8] == f"rounds 9 to 52: 44 ms, {sent:,} pages sent, {vain:,} in vain"
    assert story[9].startswith("round 53: ")


def test_who_held_the_lock_and_how_long_faults_waited_is_told() -> None:
    blocked = Histogram()
    blocked.add(np.array([300, 70_000, 130_000, 130_500, 600_000]))
    waits = {"enable-logging": 0, "get-dirty-log": 3 * MS, "clear-dirty-log": 20_000}
    story = dataclasses.replace(trace(1), waits_for_log=waits, blocked=blocked).story()
    assert story[1:] == (
        "vCPUs waited for mmu_lock while an operation of the log held it: get-dirty-log 3 ms, "
        "clear-dirty-log 20 us",
        "faults that waited for a page of the source: 1 from 1 us, 1 from 64 us, 2 from 128 us, "
        "1 from 512 us",
        "completed after 1 ms, downtime 1 ms",
    )
    assert len(migration(1)) == 2, "control: nobody waited"
