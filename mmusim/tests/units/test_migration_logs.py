"""Logs of real migrations are read for what they say, and become experiments that run."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mmusim.base.errors import ConfigError
from mmusim.config.settings import settings_of
from mmusim.migration_logs import experiment_text, read_log
from mmusim.migration_logs.dirtying import dirtying, occupied, rate_of
from mmusim.migration_logs.experiment_file import Given
from mmusim.migration_logs.log import LogRound, MigrationLog
from mmusim.migration_logs.requested_dirty_rate import later_rounds
from mmusim.trace.records import Round

GIB = 1 << 30
KNOWN = Given(vcpus=1, kernel="linux-6.13")

QMP = {
    "status": "active", "total-time": 52_400, "setup-time": 10, "expected-downtime": 1_020,
    "ram": {
        "total": 3 * GIB, "transferred": 5 * GIB, "remaining": 1 << 20, "duplicate": 300_000,
        "normal": 900_000, "dirty-sync-count": 21, "dirty-pages-rate": 20_000,
        "page-size": 4096, "mbps": 800.0, "pages-per-second": 20_000,
    },
}  # fmt: skip
INFO_OLD = """\
Migration status: completed
total time: 3100 milliseconds
downtime: 10 milliseconds
transferred ram: 38400 kbytes
throughput: 100.00 mbps
remaining ram: 0 kbytes
total ram: 16794000 kbytes
duplicate: 4198300 pages
normal: 300 pages
dirty sync count: 3
"""
INFO_NEW = """\
Status: \t\tactive
Time (ms): \t\ttotal=21140, setup=12, exp_down=301
RAM info:
  Throughput (Mbps): \t938.20
  Sizes: \t\tpagesize=4 KiB, total=8.03 GiB
  Transfers: \t\ttransferred=2.1 GiB, remain=1.25 GiB
    Channels: \t\tprecopy=2.1 GiB, multifd=0 B, postcopy=0 B
    Page Types: \tnormal=550000, zero=1200000
  Page Rates (pps): \ttransfer=28000, dirty=1400
  Others: \t\tdirty_syncs=4
"""
DOMJOBINFO = """\
Job type:         Unbounded
Time elapsed:     183204       ms
Memory processed: 61.402 GiB
Memory remaining: 1.853 GiB
Memory total:     64.008 GiB
Memory bandwidth: 1.090 GiB/s
Dirty rate:       312044       pages/s
Page size:        4096         bytes
Iteration:        9
Constant pages:   9120332
Normal pages:     16084441
Total downtime:   0            ms
Setup time:       41           ms
"""
CLOUD = """\
cloud-hypervisor:  4.1s: <vmm> DEBUG:Precopy: iter=0 total=6144MiB curr=6144MiB bw=1990.00MiB/s \
transfer=3.09s overhead=0ms est_downtime=0ms elapsed=3.11s avg_bw=1980.00MiB/s
cloud-hypervisor:  7.1s: <vmm> DEBUG:Precopy: iter=1 total=11562MiB curr=5418MiB bw=1830.00MiB/s \
transfer=2.97s overhead=56ms est_downtime=2726ms elapsed=6.14s avg_bw=1890.00MiB/s
"""
PROXMOX = """\
2026-10-04 10:12:04 starting online/live migration on unix:/run/qemu-server/100.migrate
2026-10-04 10:12:04 migration downtime limit: 100 ms
2026-10-04 10:12:05 migration active, transferred 1.1 GiB of 8.0 GiB VM-state, 1.1 GiB/s
2026-10-04 10:12:11 migration active, transferred 7.6 GiB of 8.0 GiB VM-state, 1.1 GiB/s
2026-10-04 10:12:12 average migration speed: 1.0 GiB/s - downtime 41 ms
2026-10-04 10:12:12 migration status: completed
"""


def log_of(folder: Path, text: str) -> MigrationLog:
    path = folder / "a.log"
    path.write_text(text, encoding="utf-8")
    return read_log(path)


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        (
            json.dumps({"return": QMP}),
            {"memory_bytes": 3 * GIB, "bytes_per_s": 100_000_000, "total_ns": 52.4e9, "rounds": 21,
             "dirty_pages_rate": 20_000, "zero_pages": 300_000, "status": "active"},
        ),
        (
            INFO_OLD,
            {"memory_bytes": 16_794_000 * 1024, "bytes_per_s": 12_500_000, "total_ns": 3.1e9,
             "downtime_ns": 10e6, "rounds": 3, "status": "completed"},
        ),
        (
            INFO_NEW,
            {"memory_bytes": round(8.03 * GIB), "bytes_per_s": 117_275_000, "total_ns": 21.14e9,
             "expected_downtime_ns": 301e6, "setup_ns": 12e6, "page_size": 4096,
             "normal_pages": 550_000, "zero_pages": 1_200_000, "dirty_pages_rate": 1_400,
             "rounds": 4, "remaining_bytes": round(1.25 * GIB), "status": "active"},
        ),
        (
            DOMJOBINFO,
            {"memory_bytes": round(64.008 * GIB), "bytes_per_s": round(1.09 * GIB),
             "dirty_pages_rate": 312_044, "rounds": 9, "total_ns": 183.204e9, "downtime_ns": None},
        ),
        (
            CLOUD,
            {"memory_bytes": 6 * GIB, "rounds": 2, "total_ns": 6.14e9,
             "bytes_per_s": 1_890 << 20, "expected_downtime_ns": 2_726e6},
        ),
        (
            PROXMOX,
            {"memory_bytes": 8 * GIB, "downtime_ns": 41e6, "downtime_limit_ns": 100e6,
             "total_ns": 8e9, "status": "completed",
             "bytes_per_s": round(6.5 / 6 * GIB)},  # not the average, which counts zero pages
        ),
    ],
    ids=["qmp", "info migrate", "info migrate 10.1", "domjobinfo", "cloud-hypervisor", "proxmox"],
)  # fmt: skip
def test_every_tool_is_read_for_what_it_says(
    tmp_path: Path, text: str, facts: dict[str, object]
) -> None:
    log = log_of(tmp_path, text)
    for name, value in facts.items():
        assert getattr(log, name) == value, name


@pytest.mark.parametrize("text", [INFO_OLD, INFO_NEW, DOMJOBINFO, CLOUD, PROXMOX, json.dumps(QMP)])
def test_a_log_that_was_cut_short_is_a_log_or_a_complaint(tmp_path: Path, text: str) -> None:
    """At every character. What is known is taken; what is needed and not there is named."""
    asked, made, ends = 0, 0, range(0, len(text), 7)
    for end in ends:
        try:
            log = log_of(tmp_path, text[:end])
            experiment_text(log, "a.log", "a", KNOWN)
        except ConfigError as error:
            asked += all(bool(complaint.remedy) for complaint in error.complaints)
        else:
            made += 1
    assert asked > 0
    assert asked + made == len(ends)
    assert made > 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Forpasinta tempo: 183204 ms\nTuta memoro: 64 GiB\n", "LC_ALL=C"),
        ("hello\n", "is not the log of a migration"),
        ('{"return": {"status": 3}}', "no answer of query-migrate"),
        ("Job type:   Unbounded\nForpasinta tempo: 3 ms\n", "LC_ALL=C"),
    ],
)
def test_what_is_no_log_is_refused_with_the_way_out(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        log_of(tmp_path, text)


def test_what_is_needed_and_not_there_is_asked_for_by_name(tmp_path: Path) -> None:
    log = log_of(tmp_path, "Migration status: failed (connection reset)\n")
    with pytest.raises(ConfigError) as refused:
        experiment_text(log, "a.log", "a")
    said = str(refused.value)
    assert "memory: is not in the log; give it with --memory" in said
    assert "bandwidth: is not in the log; give it with --bandwidth" in said
    made = experiment_text(log, "a.log", "a", Given(memory=GIB, bandwidth=10**9))
    assert "--dirty-rate" in made.assumed["workloads"]


@pytest.mark.parametrize("text", [INFO_OLD, INFO_NEW, DOMJOBINFO, CLOUD, PROXMOX, json.dumps(QMP)])
def test_the_experiment_can_be_run_and_says_what_was_assumed(tmp_path: Path, text: str) -> None:
    made = experiment_text(log_of(tmp_path, text), "a.log", "a", KNOWN)
    data = tomllib.loads(made.text)
    assert settings_of(data, "a.toml", tmp_path)
    assert data["reported"]["assumed"] == made.assumed
    assert made.text.count("# assumed: ") == len(made.assumed)


@pytest.mark.parametrize("set_pages", [20_000, 500_000])
@pytest.mark.parametrize("rate", [3_000.0, 60_000.0])
def test_rate_and_set_are_found_in_rounds_that_were_made_with_them(
    set_pages: int, rate: float
) -> None:
    rng, seconds = np.random.default_rng(1), [3.0, 1.0, 0.5, 0.2, 2.0]
    dirty = [rng.binomial(set_pages, occupied(rate, set_pages, t) / set_pages) for t in seconds]
    sizes = [10**6, *dirty]
    rounds = tuple(
        LogRound(number=n, to_send_bytes=size * 4096, time_ns=t * 1e9)
        for n, (size, t) in enumerate(zip(sizes, [*seconds, 1.0], strict=True))
    )
    found = dirtying(MigrationLog(tool="a test", each_round=rounds), 10**6)
    assert found is not None
    assert found.writes_low <= rate <= found.writes_high
    assert found.set_low <= set_pages <= found.set_high
    assert found.writes_high / found.writes_low < 3
    assert not found.writes_low <= 4 * rate <= found.writes_high, "control"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"return": {"status": "completed", "ram": {"page-size": 0}}}', "has pages of 0 bytes"),
        ('{"event": "MIGRATION", "data": 5}', "has no answer of query-migrate"),
        ('{"event": "MIGRATION", "data": null}', "has no answer of query-migrate"),
    ],
)
def test_nonsense_of_a_log_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        log_of(tmp_path, text)


def test_a_decimal_comma_is_not_read_as_the_number_before_it(tmp_path: Path) -> None:
    log = log_of(tmp_path, "Migration status: completed\ntotal time: 38,512 ms\ndowntime: 10 ms\n")
    assert log.total_ns is None
    assert log.downtime_ns == 10e6
    assert log.notes == ("total time: '38,512 ms' is in no unit that is known",)


def test_a_rate_alone_does_not_tell_the_set() -> None:
    found = dirtying(MigrationLog(tool="a test", dirty_pages_rate=1000.0, rounds=10,
                                  total_ns=20e9), 10**6)  # fmt: skip
    assert found is not None
    assert found.writes_low < 1000 < found.writes_per_s < found.writes_high
    assert found.set_high == 10**6
    assert found.dirty_after(2.0) == pytest.approx(2000, rel=1e-3)
    assert rate_of(found.dirty_after(2.0), found.set_pages, 2.0) == pytest.approx(
        found.writes_per_s
    )


def test_an_idle_guest_is_idle() -> None:
    log = MigrationLog(tool="a test", memory_bytes=GIB, bytes_per_s=10**9, status="completed",
                       zero_pages=262_000, normal_pages=144, rounds=2)  # fmt: skip
    made = experiment_text(log, "a.log", "a", KNOWN)
    assert made.dirtying is None
    assert "workloads" not in tomllib.loads(made.text)


@pytest.mark.parametrize(("rate", "status"), [(None, "completed"), (0, "completed"), (0, "active")])
def test_a_completed_migration_says_by_its_pages_that_the_guest_wrote(
    rate: float | None, status: str
) -> None:
    """QEMU prints a dirty rate of 0 for every completed migration. Control: while one goes on, 0 is
    what it measured.
    """
    log = MigrationLog(tool="a test", memory_bytes=GIB, bytes_per_s=10**8, status=status, rounds=7,
                       zero_pages=62_144, normal_pages=300_000, total_ns=10e9,
                       dirty_pages_rate=rate)  # fmt: skip
    made = experiment_text(log, "a.log", "a", KNOWN)
    if status == "active":
        assert made.dirtying is None
    else:
        assert made.dirtying is not None
        assert made.dirtying.writes_per_s > 10_000
        assert "sent again" in made.assumed["workloads.guest"]


def test_a_failed_job_of_libvirt_is_taken_and_asks_for_what_it_lacks(tmp_path: Path) -> None:
    text = "Job type:         Failed\nOperation:        Outgoing migration\nError message:    cut\n"
    log = log_of(tmp_path, text)
    assert (log.status, log.reason) == ("failed", "cut")
    with pytest.raises(ConfigError, match="--memory") as told:
        experiment_text(log, "a.log", "a", KNOWN)
    assert "--bandwidth" in str(told.value)
    with pytest.raises(ConfigError, match="LC_ALL=C"):
        log_of(tmp_path, text.replace("Failed", "Completed"))


def test_reported_stands_beside_simulated(tmp_path: Path) -> None:
    """From the log to the table, by the command line: a guest whose rounds are those of the log."""

    def mmusim_in(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mmusim", *words]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)

    (tmp_path / "ch.log").write_text(
        CLOUD.replace("6144MiB", "64MiB").replace("11562MiB", "96MiB")
        .replace("5418MiB", "32MiB").replace("transfer=3.09s", "transfer=32ms")
        .replace("transfer=2.97s", "transfer=17ms").replace("elapsed=6.14s", "elapsed=60ms")
        .replace("overhead=56ms", "overhead=0ms") + "ERROR: Migration failed: Broken pipe\n"
    )  # fmt: skip
    done = mmusim_in("import", "ch.log", "--vcpus", "1", "--kernel", "linux-6.13")
    assert done.returncode == 0, done.stderr
    assert "assumed workloads.guest" in done.stdout
    again = mmusim_in("import", "ch.log")
    assert again.returncode == 2
    assert "is there already" in again.stderr
    run = mmusim_in("run", "ch.toml", "--seeds", "5", "--json")
    printed = json.loads(run.stdout)
    rows = {row["what"]: row for row in printed["reported"]}
    assert len(printed["dirtied"]) == 2
    for row in printed["dirtied"]:  # less is found: stalls, and pages sent before they were armed
        asked, found = (float(row[key].split()[0].replace(",", "")) for key in ("asked", "found"))
        assert 0.3 * asked < found < 1.05 * asked, "not what is left to be sent"
    assert rows["outcome"]["reported"] == "failed: Broken pipe"
    assert rows["outcome"]["simulated"] in ("still active (5 of 5)", "completed (5 of 5)")
    assert float(rows["round 0: time"]["ratio"]) == pytest.approx(1, abs=0.15)
    assert float(rows["round 1: to send"]["ratio"]) == pytest.approx(1, abs=0.2)
    assert run.returncode == 0


def test_what_a_sync_found_is_what_became_dirty_and_not_what_is_left() -> None:
    """A migration ends while pages are left: here 9,000 of the 10,000."""
    first, later = (
        Round(0, 10**9, 1, 0, 1, 10_000, 1.0, reported=r, false_dirty=f)
        for r, f in ((50_000, 0), (1_500, 500))
    )
    runs: Any = [SimpleNamespace(rounds=(first, later))]
    assert later_rounds(runs) == ([10**9], [1_000])
