"""What a log says about the downtime limit bounds the limit that the migration had."""

from __future__ import annotations

import json
import random
import tomllib
from pathlib import Path
from typing import Any

import pytest

from mmusim.migration_logs import downtime_limit as limits
from mmusim.migration_logs import experiment_text, read_log
from mmusim.migration_logs.dirtying import dirtying
from mmusim.migration_logs.experiment_file import Given
from mmusim.migration_logs.log import LogRound, MigrationLog

MS = 10**6
RATE = 125_000_000
"""Bytes per second of the network."""
GIB = 1 << 30


def answers_of(limit_ns: float, dirty_per_s: float, seed: int) -> list[dict[str, Any]]:
    """Answers about QEMU's loop for 20 s: look, sync if less than the limit is left, send for up to
    50 ms. The last one tells that it completed, if it did.
    """
    rng = random.Random(seed)
    now, left, synced, syncs, sent = 0.0, 2.5e8, 0.0, 1, 0.0
    made: list[dict[str, Any]] = []
    status, ask = "active", rng.uniform(0, 500) * MS
    while now < 20e9 and status == "active":
        if left < RATE * limit_ns / 1e9:
            syncs, left, synced = syncs + 1, left + dirty_per_s * (now - synced) / 1e9, now
            status = "completed" if left < RATE * limit_ns / 1e9 else status
        ns = min(rng.uniform(1, 50) * MS, left / RATE * 1e9)
        while status == "active" and ask < now + ns:
            at = ask - now
            made.append(
                answer("active", ask, left - RATE * at / 1e9, sent + RATE * at / 1e9, syncs)
            )
            ask += rng.uniform(1, 500) * MS
        now, left, sent = now + ns, left - RATE * ns / 1e9, sent + RATE * ns / 1e9
    if status == "completed":  # the guest stands still while the rest goes, and QEMU says active
        made.append(answer("active", now, left / 1000, sent + left, syncs + 1))
        made.append(answer("completed", now + 1e6, 0, sent + left, syncs + 1))
    return made


def answer(status: str, ns: float, left: float, sent: float, syncs: int) -> dict[str, Any]:
    ram = {"total": 2 * GIB, "remaining": int(left), "transferred": int(sent), "mbps": RATE / 125e3,
           "dirty-sync-count": syncs, "dirty-pages-rate": 20_000 if syncs > 1 else 0}  # fmt: skip
    return {"return": {"status": status, "total-time": int(ns / 1e6), "ram": ram}}


def log_of(folder: Path, *answers: dict[str, Any]) -> MigrationLog:
    path = folder / "a.json"
    path.write_text("\n".join(json.dumps(one) for one in answers))
    return read_log(path)


def test_no_log_of_a_migration_contradicts_its_own_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: without the time in which QEMU does not look, some would."""
    told = []
    for seed in range(40):
        rng = random.Random(seed)
        limit_ns = rng.choice([20, 100, 300]) * MS
        made = answers_of(limit_ns, rng.uniform(0.2, 1.3) * RATE, seed)
        log = log_of(tmp_path, *made)
        bound = limits.upper_bound(log)
        told.append((limit_ns, log))
        assert bound is None or bound.ns > limit_ns, seed
    assert sum(limits.upper_bound(log) is not None for _, log in told) > 20
    monkeypatch.setattr(limits, "SLICE_NS", 0.0)
    bounds = [(limit_ns, limits.upper_bound(log)) for limit_ns, log in told]
    assert any(bound is not None and bound.ns < limit_ns for limit_ns, bound in bounds)


def experiment(log: MigrationLog, **given: Any) -> tuple[str, str]:
    """The limit of the experiment file, and what is said about it."""
    made = experiment_text(log, "a.json", "a", Given(vcpus=1, kernel="linux-6.13", **given))
    limit = tomllib.loads(made.text)["driver"]["migration"]["downtime-limit"]
    return limit, made.assumed.get("driver.migration.downtime-limit", "")


def test_the_default_is_refused_where_the_log_contradicts_it(tmp_path: Path) -> None:
    log = log_of(tmp_path, answer("active", 30e9, 1_250_000, 4e9, 40))  # 10 ms and 50 ms
    limit, why = experiment(log)
    assert limit == "60ms"
    assert "contradicts QEMU's default of 300 ms" in why
    assert "at most 60 ms" in why
    kept, why = experiment(log, downtime_limit_ns=100.0 * MS)
    assert kept == "100ms"
    assert "--downtime-limit is 100 ms, and the log contradicts it" in why
    assert experiment(log, downtime_limit_ns=30.0 * MS) == ("30ms", "")
    much_left = log_of(tmp_path, answer("active", 30e9, 1e9, 4e9, 40))
    assert experiment(much_left)[0] == "300ms", "control"
    first_pass = log_of(tmp_path, answer("active", 30e9, 1_250_000, 4e9, 1))
    assert experiment(first_pass)[0] == "300ms", "zero pages go faster than the network"


def test_the_set_is_so_large_that_the_migration_goes_on_with_the_limit() -> None:
    """Who stays in pre-copy with 300 ms has more dirty pages than 300 ms send."""
    log = MigrationLog(
        tool="a test", status="active", rounds=200, total_ns=40e9, bytes_per_s=RATE,
        dirty_pages_rate=30_000.0, remaining_bytes=40_000_000,
    )  # fmt: skip
    left = 0.3 * RATE / 4096
    found, before = dirtying(log, 10**6, left), dirtying(log, 10**6)
    assert found is not None
    assert before is not None
    seconds = 0.2
    again = found.dirty_after(seconds) * (1 - left / found.set_pages)
    assert again == pytest.approx(30_000 * seconds, rel=1e-3), "what is dirtied anew"
    assert left + again > left
    assert found.set_low > left + again
    assert before.set_pages < left + before.dirty_after(seconds) + left, "control"


def test_qemu_states_the_limit_before_it_knows_a_dirty_rate(tmp_path: Path) -> None:
    one = answer("active", 3e9, 1e9, 1e9, 1)
    one["return"]["expected-downtime"] = 2_000
    limit, why = experiment(log_of(tmp_path, one))
    assert limit == "2s"
    assert "expected downtime" in why
    later = answer("active", 9e9, 1e9, 4e9, 5)
    later["return"]["expected-downtime"] = 9_000
    assert experiment(log_of(tmp_path, one, later))[0] == "2s"
    assert experiment(log_of(tmp_path, later))[0] == "300ms", "control: computed from a sync"


@pytest.mark.parametrize(
    ("expected_ms", "rate", "limit"),
    [
        (200, 20_000.0, "200ms"),
        (655, 20_000.0, "210ms"),  # of the rate, as before 3.0: says nothing
        (200, 6_104.0, "210ms"),  # the same
        (20, 20_000.0, "210ms"),  # more is left than the sync is said to have found
    ],
)
def test_what_the_last_sync_found_bounds_the_limit(
    tmp_path: Path, expected_ms: int, rate: float, limit: str
) -> None:
    one = answer("active", 9e9, 20_000_000, 4e9, 40)  # 160 ms and 50 ms
    one["return"] |= {"expected-downtime": expected_ms}
    one["return"]["ram"] |= {"dirty-pages-rate": rate}
    found, _ = experiment(log_of(tmp_path, one))
    assert found == limit, "210 ms are what is left, and 50 ms"


@pytest.mark.parametrize(
    ("facts", "limit"),
    [
        ({"downtime_ns": 2.5e9}, "2500ms"),
        ({"downtime_ns": 450e6}, "300ms"),
        ({"downtime_ns": 2.5e9, "postcopy_requests": 7}, "300ms"),
        ({"downtime_ns": 2.5e9, "status": "failed"}, "300ms"),
        ({"downtime_ns": 2.5e9, "downtime_limit_ns": 500e6}, "500ms"),
    ],
)
def test_a_long_downtime_raises_the_limit(facts: dict[str, Any], limit: str) -> None:
    known: dict[str, Any] = {
        "status": "completed",
        "memory_bytes": GIB,
        "bytes_per_s": RATE,
        "total_ns": 30e9,
    }
    found, why = experiment(MigrationLog(tool="a test", **(known | facts)))
    assert found == limit
    assert ("stood still for 2.5 s" in why) == (limit == "2500ms")


def test_a_round_that_cloud_hypervisor_did_not_stop_at_bounds_the_limit() -> None:
    rounds = tuple(
        LogRound(number=n, to_send_bytes=size, time_ns=1e9, bytes_per_s=RATE)
        for n, size in enumerate([GIB, RATE // 5, RATE // 10, RATE // 20])
    )
    log = MigrationLog(tool="a test", memory_bytes=GIB, bytes_per_s=RATE, each_round=rounds,
                       counts_syncs=False, status="active", total_ns=9e9)  # fmt: skip
    assert experiment(log)[0] == "100ms", "the last round of the log may be the end"
