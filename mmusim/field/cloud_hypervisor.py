"""Logs of Cloud Hypervisor: a line for each round of pre-copy, at level debug."""

from __future__ import annotations

import re
from typing import Any, Final

from mmusim.base.units import parse_bytes, parse_ns, parse_rate
from mmusim.field.log import LogRound, MigrationLog

_ROUND = re.compile(r"Precopy:\s*iter=(\d+)((?:\s+\w+=\S+)+)")
_PAIR = re.compile(r"(\w+)=(\S+)")
_END: Final = (
    (re.compile(r"Migration (?:complete|successful)", re.I), "completed"),
    (re.compile(r"Migration (?:failed|aborted)", re.I), "failed"),
    (re.compile(r"Migration cancel", re.I), "cancelled"),
)


def is_cloud_hypervisor(text: str) -> bool:
    """Tell whether the text is a log of Cloud Hypervisor with rounds of pre-copy."""
    return _ROUND.search(text) is not None


def read_cloud_hypervisor(text: str) -> MigrationLog:
    """Read the rounds of a log. `curr` is what a round sends, `total` what was sent with it.

    Raises
    ------
    ValueError
        If no round can be read.
    """
    rounds: list[LogRound] = []
    facts: dict[str, Any] = {"status": "active"}
    notes: list[str] = []
    for line in text.splitlines():
        for pattern, status in _END:
            if pattern.search(line):
                facts["status"] = status
        match = _ROUND.search(line)
        if match is None:
            continue
        pairs = dict(_PAIR.findall(match[2]))
        try:
            to_send = parse_bytes(pairs["curr"])
            total = parse_bytes(pairs["total"]) if "total" in pairs else None
            took = parse_ns(pairs["transfer"]) if "transfer" in pairs else None
            rate = parse_rate(pairs["bw"]) if "bw" in pairs else None
            elapsed = parse_ns(pairs["elapsed"]) if "elapsed" in pairs else None
            average = parse_rate(pairs["avg_bw"]) if "avg_bw" in pairs else rate
            expected = parse_ns(pairs["est_downtime"]) if "est_downtime" in pairs else None
        except (KeyError, ValueError):
            notes.append(f"round {match[1]} was cut off or is in other units")
            continue
        number = int(match[1])
        rounds.append(
            LogRound(number=number, to_send_bytes=to_send, time_ns=took, bytes_per_s=rate)
        )
        if number == 0:
            facts["memory_bytes"] = to_send
        said = {
            "transferred_bytes": total, "total_ns": elapsed, "bytes_per_s": average,
            "expected_downtime_ns": expected,
        }  # fmt: skip
        facts |= {name: value for name, value in said.items() if value is not None}
    if not rounds:
        raise ValueError("has no round of pre-copy that can be read")
    return MigrationLog(
        tool="Cloud Hypervisor", rounds=len(rounds), each_round=tuple(rounds),
        notes=tuple(notes), **facts,
    )  # fmt: skip
