"""An experiment file that repeats a logged migration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import tomli_w

from mmusim.base.errors import Complaint, ConfigError
from mmusim.base.quantities import exact_ns
from mmusim.base.units import NS, PAGE, parse_bytes, parse_rate, show_bytes
from mmusim.config.vm_and_host import DEFAULT_PROFILE
from mmusim.migration_logs.dirtying import Dirtying, dirtying
from mmusim.migration_logs.downtime_limit import downtime_limit
from mmusim.migration_logs.log import MigrationLog
from mmusim.policies import DEFAULT_KERNEL, choose

BACKING: Final = parse_bytes("2MiB")
ZERO_PAGE_NS: Final = 500.0
"""A zero page end to end, at most (domain, K.5). Where this explains more than half of the time, a
log's throughput is not the network's."""

HALF: Final = 0.5
"""The dirty rate is written for a time in which each page of the set is written so often at most,
because later nearly all of them are dirty whatever the rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Values that the user gives in addition to the log; None: not given. Sizes in bytes, rates per
    second.
    """

    vcpus: int | None = None
    memory: int | None = None
    bandwidth: int | None = None
    dirty_pages_rate: float | None = None
    downtime_limit_ns: float | None = None
    kernel: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """An experiment file and its assumptions."""

    text: str
    assumed: dict[str, str]  # key of the file -> why it has its value
    dirtying: Dirtying | None  # None: the guest writes nothing
    not_used: tuple[str, ...] = ()  # what the log says and mmusim could not take


def experiment_text(log: MigrationLog, source: str, name: str, given: Given | None = None) -> Made:
    """Write the experiment that repeats the migration of a log.

    Parameters
    ----------
    log : MigrationLog
        What the log says.
    source : str
        The log's file name, for the text.
    name : str
        For the experiment's id.
    given : Given
        What the log does not say, or what shall be taken in its place.

    Raises
    ------
    ConfigError
        With the name of everything that is needed and neither in the log nor given.
    """
    given = given or Given()
    memory, bandwidth, missing = given.memory or log.memory_bytes, given.bandwidth, []
    if memory is None:
        missing.append(("memory", '--memory "64GiB"'))
    assumed: dict[str, str] = {}
    if bandwidth is None:
        bandwidth = _network(log, assumed)
        if bandwidth is None:
            missing.append(("bandwidth", '--bandwidth "10Gbit/s"'))
    if missing:
        raise ConfigError(
            [
                Complaint(source, key, None, "is not in the log", f"give it with {option}")
                for key, option in missing
            ]
        )
    assert memory is not None
    assert bandwidth is not None
    whole = -(-memory // BACKING) * BACKING
    if whole != memory:
        assumed["vm.memory"] = f"rounded up from {memory} bytes to whole 2 MiB"
    vcpus = given.vcpus or 4
    if given.vcpus is None:
        assumed["vm.vcpus"] = "no log has the number of vCPUs; say it with --vcpus"
    if given.kernel is None:
        assumed["vm.kernel"] = "no log has the kernel of the host; say it with --kernel"
    limit, why = downtime_limit(log, given.downtime_limit_ns)
    if why:
        assumed["driver.migration.downtime-limit"] = why
    assumed["host.profile"] = "costs of a host of 2021, not of yours: probe measures them"
    writes = log
    if given.dirty_pages_rate is not None:
        writes = replace(log, dirty_pages_rate=given.dirty_pages_rate, each_round=())
    left = limit / NS["s"] * (log.bytes_per_s or bandwidth) / PAGE
    found = dirtying(writes, whole // PAGE, left if (log.rounds or 0) > 1 else 0.0)
    if found is None:
        assumed["workloads"] = _no_rate(writes)
    else:
        assumed["workloads.guest"] = (
            f"{found.how}: {found.writes_per_s:,.0f} pages written per second "
            f"({found.writes_low:,.0f} to {found.writes_high:,.0f}) in a set of "
            f"{found.set_pages:,} pages ({found.set_low:,} to {found.set_high:,})"
        )
    data = _experiment(log, source, name, whole, bandwidth, limit, vcpus, given, found, assumed)
    text = _marked(tomli_w.dumps(data), assumed)
    return Made(text=text, assumed=assumed, dirtying=found, not_used=log.notes)


def _no_rate(log: MigrationLog) -> str:
    counts_all = log.status == "completed" and None not in (log.zero_pages, log.normal_pages)
    has_synced = log.dirty_pages_rate == 0 and (log.rounds or 0) > 1
    if counts_all or has_synced:
        return "the log shows no page that was written while the guest migrated, so it is idle"
    return "the log does not say how fast the guest writes, so it is idle; say --dirty-rate"


def _network(log: MigrationLog, assumed: dict[str, str]) -> int | None:
    """Return the bandwidth of the network in bytes per second; None if the log lacks it."""
    if log.bytes_per_s is None:
        if log.transferred_bytes and log.total_ns:
            assumed["driver.migration.bandwidth"] = "bytes sent by the time of the whole migration"
            return max(round(log.transferred_bytes / (log.total_ns / 1e9)), 41_040)
        return None
    zeros = (log.zero_pages or 0) * ZERO_PAGE_NS
    if log.total_ns and zeros > log.total_ns / 2:
        assumed["driver.migration.bandwidth"] = (
            "a guess: most of the time went into zero pages, so the log does not tell what the "
            "network carries; say it with --bandwidth"
        )
        return max(parse_rate("10Gbit/s"), log.bytes_per_s)
    return log.bytes_per_s


def _experiment(
    log: MigrationLog, source: str, name: str, memory: int, bandwidth: int, limit: float,
    vcpus: int, given: Given, found: Dirtying | None, assumed: dict[str, str],
) -> dict[str, Any]:  # fmt: skip
    kernel = given.kernel or DEFAULT_KERNEL
    migration: dict[str, Any] = {
        "bandwidth": f"{bandwidth}B/s",
        "max-bandwidth": f"{log.max_bytes_per_s or 0}B/s",
        "downtime-limit": exact_ns(limit),
        "zero_pages": f"{_zero_share(log, memory) * 100:.4g}%",
        "max_rounds": max(50, (log.rounds or 0) + 20),
    }
    migration |= _ending(log, assumed)
    phase: dict[str, Any] = {"do": "migrate"}
    data: dict[str, Any] = {
        "schema": 1,
        "id": name,
        "question": f"What would have happened otherwise in the migration of {source}?",
        "source": f"{source}, written by {log.tool}",
        "answer_by": "migration_time",
        "vm": {"vcpus": vcpus, "memory": show_bytes(memory), "kernel": kernel},
        "host": {"profile": DEFAULT_PROFILE},
        "policies": {"baseline": kernel, "compare": [_rival(kernel)]},
        "driver": {"phases": [phase], "migration": migration},
        "replications": {"seeds": 5},
    }
    if found is not None:
        phase["workload"] = "guest"
        share = min(max(found.set_pages / (memory // PAGE), 1e-6), 1.0)
        each = found.writes_per_s / found.set_pages  # writes of a page per second
        over = min(1.0, HALF / each)
        dirty = found.dirty_after(over) * PAGE / over
        data["workloads"] = {
            "guest": {
                "pattern": "dirty-rate", "dirty_rate": f"{round(dirty)}B/s",
                "over": exact_ns(over * NS["s"]), "working_set": f"{share * 100:.6g}%",
                "scattered": False,
            }
        }  # fmt: skip
    data["reported"] = reported(log, source) | {"assumed": dict(assumed)}
    return data


def _rival(kernel: str) -> str:
    """Return a policy to compare the kernel's own with: PML where it has it."""
    for name in (f"{kernel}+pml", f"{kernel}+lazy-drop"):
        try:
            choose(name, kernel=kernel)
        except ValueError:
            continue
        return name
    return "lazy-drop"


def _ending(log: MigrationLog, assumed: dict[str, str]) -> dict[str, Any]:
    """Return the keys of the migration by which it ends as the log tells, so far as it does."""
    keys: dict[str, Any] = {}
    if log.throttle or log.auto_converge:
        keys["auto-converge"] = True
    if log.postcopy_requests or log.postcopy_blocktime_ns or log.status.startswith("postcopy"):
        keys["postcopy_after"] = max((log.rounds or 2) - 1, 1)
        assumed["driver.migration.postcopy_after"] = "post-copy began after the last round"
    if log.status in ("", "completed") or not log.total_ns:
        return keys
    is_cancelled = log.status.startswith("cancel")
    key = "cancel_after" if is_cancelled else "max_time"
    keys[key] = exact_ns(log.total_ns)
    what = {"failed": "the migration failed then", "cancelled": "it was cancelled then"}
    ends = what.get(log.status, "the log ends then")
    assumed[f"driver.migration.{key}"] = f"{ends}; drop the key to see how it would have gone on"
    return keys


def _zero_share(log: MigrationLog, memory: int) -> float:
    return min(1.0, (log.zero_pages or 0) / (memory // PAGE))


def reported(log: MigrationLog, source: str) -> dict[str, Any]:
    """Return the table `[reported]` of a log, as TOML data (config/reported.py)."""
    facts = {
        "total_time": _time(log.total_ns), "setup_time": _time(log.setup_ns),
        "downtime": _time(log.downtime_ns), "expected_downtime": _time(log.expected_downtime_ns),
        "transferred": _size(log.transferred_bytes), "remaining": _size(log.remaining_bytes),
        "dirty_sync_count" if log.counts_syncs else "rounds": log.rounds,
        "dirty_pages_rate": _float(log.dirty_pages_rate),
        "throughput": None if log.bytes_per_s is None else f"{log.bytes_per_s}B/s",
        "zero_pages": log.zero_pages, "normal_pages": log.normal_pages,
        "throttle": None if log.throttle is None else f"{log.throttle * 100:.4g}%",
        "page_size": log.page_size, "postcopy_blocktime": _time(log.postcopy_blocktime_ns),
    }  # fmt: skip
    table: dict[str, Any] = {"source": f"{source} ({log.tool})"}
    if log.status:
        table["status"] = log.status
    if log.reason:
        table["reason"] = "".join(c if c.isprintable() else " " for c in log.reason)[:200]
    table |= {key: value for key, value in facts.items() if value is not None}
    rounds = [
        {"number": r.number}
        | {
            key: value
            for key, value in (
                ("to_send", _size(r.to_send_bytes)),
                ("time", _time(r.time_ns)),
                ("bandwidth", None if r.bytes_per_s is None else f"{r.bytes_per_s}B/s"),
            )
            if value is not None
        }
        for r in log.each_round
    ]
    return table | ({"round": rounds} if rounds else {})


def _time(ns: float | None) -> str | None:
    return None if ns is None else exact_ns(ns)


def _size(size: int | None) -> str | None:
    return None if size is None else show_bytes(size)


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)


def _marked(text: str, assumed: Mapping[str, str]) -> str:
    """Put a comment above each line whose value had to be assumed."""
    table, lines = "", []
    for line in text.splitlines():
        if match := re.fullmatch(r"\[+([^\]]+)\]+", line):
            table = match[1]
            if table in assumed:
                lines.append(f"# assumed: {assumed[table]}")
        elif match := re.match(r"([a-z_-]+) = ", line):
            key = f"{table}.{match[1]}" if table else match[1]
            if key in assumed:
                lines.append(f"# assumed: {assumed[key]}")
        lines.append(line)
    if "workloads" in assumed:
        lines.insert(0, f"# assumed: {assumed['workloads']}")
    return "\n".join(lines) + "\n"
