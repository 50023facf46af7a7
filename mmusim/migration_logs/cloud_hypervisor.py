"""Logs of Cloud Hypervisor: a line for each round of pre-copy, at level debug.

Releases before 2026 only count the rounds (`Dirty memory migration 1 of 5`); their times are those
between the stamps of the lines.

Sources: Display of MemoryMigrationContext and DowntimeContext in vm-migration/src/context.rs;
do_memory_iterations, is_precopy_converged, send_migration and check_migration in vmm/src/lib.rs.
"""

from __future__ import annotations

import itertools
import re
from typing import Any, Final

from mmusim.base.units import NS, parse_bytes, parse_ns, parse_rate
from mmusim.migration_logs.log import LogRound, MigrationLog

_ROUND = re.compile(r"Precopy(?: (?P<last>complete))?:\s*iter=(\d+)((?:\s+\w+=\S+)+)")
_PAIR = re.compile(r"(\w+)=(\S+)")
_COUNTED = re.compile(r"Dirty memory migration (\d+) of \d+")
_STAMP = re.compile(r"cloud-hypervisor:\s+([0-9.]+)(s|ms|us|µs|ns):")
_COMPLETED = re.compile(
    r"Migration completed after ([0-9.]+)s with a downtime of (\d+)ms(?: \(goal was (\d+)ms\))?"
)
_GOAL = re.compile(r"Target downtime can be met: \d+ms <= (\d+)ms|target downtime \((\d+)ms\)")
_BREAKDOWN = re.compile(r"Downtime breakdown: (\d+)ms")
_END: Final = (
    (re.compile(r"Migration (?:complete|successful)", re.I), "completed"),
    (re.compile(r"Migration (?:failed|aborted)(?:: (?P<reason>.*))?", re.I), "failed"),
    (re.compile(r"Migration (?:was )?cancel", re.I), "cancelled"),
)


def is_cloud_hypervisor(text: str) -> bool:
    """Tell whether the text is a log of Cloud Hypervisor with rounds of pre-copy."""
    return any(p.search(text) is not None for p in (_ROUND, _COUNTED, _COMPLETED))


def read_cloud_hypervisor(text: str) -> MigrationLog:
    """Read the rounds of a log. `curr` is what a round sends, `total` what was sent with it.

    A round lasts for its transfer and its overhead, in which it reads the log.

    Raises
    ------
    ValueError
        If no round can be read.
    """
    rounds: list[LogRound] = []
    facts: dict[str, Any] = {"status": "active"}
    notes: list[str] = []
    last: dict[str, Any] = {}  # of the migration as a whole
    counted: list[tuple[int, float]] = []  # number of a round, when it began
    for line in text.splitlines():
        for pattern, status in _END:
            if (ended := pattern.search(line)) is not None:
                facts["status"] = status
                reason = ended.groupdict().get("reason")
                facts |= {"reason": reason.strip()} if reason else {}
        if match := _COMPLETED.search(line):
            last |= {"total_ns": float(match[1]) * NS["s"], "downtime_ns": int(match[2]) * NS["ms"]}
            facts |= {"downtime_limit_ns": int(match[3]) * NS["ms"]} if match[3] else {}
        elif match := _GOAL.search(line):
            facts["downtime_limit_ns"] = int(match[1] or match[2]) * NS["ms"]
        elif match := _BREAKDOWN.search(line):
            last.setdefault("downtime_ns", int(match[1]) * NS["ms"])
        elif (match := _COUNTED.search(line)) and (stamp := _STAMP.search(line)):
            counted.append((int(match[1]) + 1, float(stamp[1]) * NS[stamp[2]]))
        elif match := _ROUND.search(line):
            found = _round(int(match[2]), dict(_PAIR.findall(match[3])))
            if found is None:
                notes.append(f"round {match[2]} was cut off or is in other units")
                continue
            one, said = found
            rounds.append(one)
            facts |= said
            if one.number == 0:
                facts["memory_bytes"] = one.to_send_bytes
    if not rounds and not counted and not last:
        raise ValueError("has no round of pre-copy that can be read")
    if not rounds and counted:
        facts["rounds"] = counted[-1][0] + 1
        rounds = [
            LogRound(number=number, time_ns=after - at)
            for (number, at), (_, after) in itertools.pairwise(counted)
        ]
    elif rounds:
        facts["rounds"] = rounds[-1].number + 1
    return MigrationLog(
        tool="Cloud Hypervisor",
        counts_syncs=False,
        each_round=tuple(rounds),
        notes=tuple(notes),
        **facts | last,
    )


def _round(number: int, pairs: dict[str, str]) -> tuple[LogRound, dict[str, Any]] | None:
    """Return a round and what its line says of the migration; None if it cannot be read."""

    def read(name: str, parse: Any) -> Any:
        return parse(pairs[name]) if name in pairs else None

    try:
        to_send = parse_bytes(pairs["curr"])
        transfer, overhead = read("transfer", parse_ns), read("overhead", parse_ns)
        rate, average = read("bw", parse_rate), read("avg_bw", parse_rate)
        said = {
            "transferred_bytes": read("total", parse_bytes), "total_ns": read("elapsed", parse_ns),
            "bytes_per_s": average or rate, "expected_downtime_ns": read("est_downtime", parse_ns),
        }  # fmt: skip
    except (KeyError, ValueError):
        return None
    time = None if transfer is None else transfer + (overhead or 0.0)
    one = LogRound(number=number, to_send_bytes=to_send, time_ns=time, bytes_per_s=rate)
    return one, {name: value for name, value in said.items() if value is not None}
