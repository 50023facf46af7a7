"""Answers about a migration that follow each other tell its rounds, its dirty rate and its set."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mmusim.migration_logs import read_log
from mmusim.migration_logs.dirtying import dirtying, occupied
from mmusim.migration_logs.log import MigrationLog
from mmusim.migration_logs.series import Answer, last_attempt, rounds_of

GIB, PAGE = 1 << 30, 4096
MEMORY, SPEED = 4 * GIB, 400_000_000
RATE, SET = 60_000.0, 120_000
"""Pages written per second, and the pages they lie in."""


class Round(NamedTuple):
    """A round of the guest below."""

    begins: float  # in seconds
    lasts: float
    to_send: int  # in bytes


def rounds(count: int = 5) -> list[Round]:
    """The rounds of a guest that writes `RATE` pages a second, uniformly over `SET` pages."""
    made, begins, to_send = [], 0.0, MEMORY
    for _ in range(count):
        lasts = to_send / SPEED
        made.append(Round(begins, lasts, to_send))
        begins += lasts
        to_send = round(occupied(RATE, SET, lasts)) * PAGE
    return made


def polled(every: float, count: int = 5) -> list[Answer]:
    """Answers at that interval in seconds."""
    made, sent, at = [], 0, every
    for number, one in enumerate(rounds(count)):
        while at < one.begins + one.lasts:
            done = round((at - one.begins) * SPEED)
            made.append(Answer(at * 1e9, one.to_send - done, sent + done, number + 1))
            at += every
        sent += one.to_send
    return made


@pytest.mark.parametrize("every", [0.05, 0.2])
def test_rounds_are_found_between_answers(every: float) -> None:
    """Exactly, as the rate is constant; with answers as the tool gives them."""
    found = rounds_of(polled(every), MEMORY)
    assert len(found) == {0.05: 5, 0.2: 4}[every]  # no answer fell into the last one
    for one, real in zip(found, rounds(), strict=False):
        assert one.to_send_bytes == pytest.approx(real.to_send, rel=1e-3)
        if one.time_ns is not None:
            assert one.time_ns == pytest.approx(real.lasts * 1e9, rel=1e-3)
            assert one.bytes_per_s == pytest.approx(SPEED, rel=1e-2)
    assert sum(one.time_ns is not None for one in found) >= 2


def test_what_answers_do_not_resolve_is_not_said() -> None:
    """Rounds that are shorter than two intervals have no time; the count may jump over some."""
    found = rounds_of(polled(4.0), MEMORY)
    assert {one.number for one in found if one.time_ns is not None} <= {0}
    jumps = [one for one in polled(0.2) if one.syncs != 3]
    without = rounds_of(jumps, MEMORY)
    assert 2 not in {one.number for one in without}
    assert next(one for one in without if one.number == 1).time_ns is None
    assert rounds_of(polled(0.2)[:3], MEMORY) == ()


def test_without_a_count_what_is_left_shows_a_new_round() -> None:
    """As in Proxmox's logs before 6.3."""
    bare = [one._replace(syncs=None) for one in polled(0.2)]
    found, real = rounds_of(bare, MEMORY), rounds_of(polled(0.2), MEMORY)
    assert [one.number for one in found] == [one.number for one in real]
    assert found[1].time_ns == pytest.approx(real[1].time_ns)
    falling = [one for one in bare if one.ns < rounds()[0].lasts * 1e9]
    assert rounds_of(falling, MEMORY) == (), "control"


def test_the_last_of_several_attempts_counts() -> None:
    first, second = polled(0.2)[:9], polled(0.2)
    assert last_attempt([*first, *second]) == second
    assert last_attempt([*second, second[-1]]) == second, "one answer twice"


def qmp(answers: Sequence[Answer]) -> list[dict[str, Any]]:
    return [
        {"return": {
            "status": "active", "total-time": round(one.ns / 1e6),
            "ram": {"total": MEMORY, "remaining": one.remaining, "transferred": one.sent,
                    "dirty-sync-count": one.syncs, "mbps": SPEED * 8 / 1e6, "page-size": PAGE},
        }}
        for one in answers
    ]  # fmt: skip


def passes(count: int = 5) -> list[dict[str, Any]]:
    """The events MIGRATION_PASS, at a time of the day."""
    return [
        {"event": "MIGRATION_PASS", "data": {"pass": number},
         "timestamp": {"seconds": 1_700_000_000 + int(one.begins),
                       "microseconds": round(one.begins % 1 * 1e6)}}
        for number, one in enumerate(rounds(count), 1)
    ]  # fmt: skip


def log_of(folder: Path, text: str) -> MigrationLog:
    (folder / "a.log").write_text(text)
    return read_log(folder / "a.log")


def virsh(answers: Sequence[Answer]) -> str:
    return "\n".join(
        f"Job type:         Unbounded\nTime elapsed:     {round(one.ns / 1e6)}   ms\n"
        f"Memory processed: {one.sent / GIB:.3f} GiB\nMemory remaining: {one.remaining / GIB:.3f} "
        f"GiB\nMemory total:     {MEMORY / GIB:.3f} GiB\nIteration:        {one.syncs}\n"
        for one in answers
    )


def monitor(answers: Sequence[Answer]) -> str:
    return "\n".join(
        f"(qemu) info migrate\nMigration status: active\ntotal time: {round(one.ns / 1e6)} ms\n"
        f"transferred ram: {one.sent >> 10} kbytes\nremaining ram: {one.remaining >> 10} kbytes\n"
        f"total ram: {MEMORY >> 10} kbytes\ndirty sync count: {one.syncs}\n"
        for one in answers
    )


@pytest.mark.parametrize("kind", ["QMP", "QMP and events", "virsh", "info migrate"])
def test_rate_and_set_are_fitted_to_the_rounds_of_every_tool(tmp_path: Path, kind: str) -> None:
    """With an interval that has the true ones; one of twice the rate has not."""
    answers = polled(0.1)
    objects = sorted([*qmp(answers), *passes()], key=lambda one: "event" not in one)
    text = {
        "QMP": "\n".join(map(json.dumps, qmp(answers))),
        "QMP and events": "\n".join(map(json.dumps, objects)),
        "virsh": virsh(answers), "info migrate": monitor(answers),
    }[kind]  # fmt: skip
    log = log_of(tmp_path, text)
    known = [one for one in log.each_round if one.time_ns is not None]
    assert len(known) >= 4
    for one in known:
        assert one.time_ns == pytest.approx(rounds()[one.number].lasts * 1e9, rel=0.03)
    found = dirtying(log, MEMORY // PAGE)
    assert found is not None
    assert "fitted to" in found.how
    assert found.writes_low <= RATE <= found.writes_high
    assert found.set_low <= SET <= found.set_high
    assert not found.writes_low <= 2 * RATE <= found.writes_high, "control"


def test_events_alone_tell_when_rounds_began(tmp_path: Path) -> None:
    text = "\n".join(map(json.dumps, [*qmp(polled(3.0)[:1]), *passes()]))
    found = log_of(tmp_path, text).each_round
    assert [one.number for one in found] == [0, 1, 2, 3, 4]
    for one, real in zip(found[:-1], rounds(), strict=False):
        assert one.time_ns == pytest.approx(real.lasts * 1e9, rel=1e-4)
    assert [one.to_send_bytes for one in found[1:]] == [None] * 4, "nothing tells what they sent"
