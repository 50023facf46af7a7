"""Logs of Proxmox VE: the task log of `qm migrate` (lines of qemu-server's QemuMigrate).

A line of progress has the bytes on the wire, the guest's memory, and a rate that counts pages, the
zero ones too. The average at the end is the guest's memory by the time. Neither is the rate of the
network: that is taken from the bytes and the time stamps of two lines.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from mmusim.base.units import BYTES, NS
from mmusim.migration_logs.log import MigrationLog
from mmusim.migration_logs.series import Answer, last_attempt, rounds_of

_SIZE = r"([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?i?B)"
_ACTIVE = re.compile(rf"migration (?:active|device), transferred {_SIZE} of {_SIZE} VM-state, "
                     rf"{_SIZE}/s")  # fmt: skip
_DIRTIES = re.compile(rf"VM dirties lots of memory: {_SIZE}/s")
_SENT = re.compile(rf"migration completed, transferred {_SIZE} VM-state")
_OLD = re.compile(r"migration status: active \(transferred (\d+), remaining (\d+)\), total (\d+)\)")
_AVERAGE = re.compile(rf"average migration speed: {_SIZE}/s(?: - downtime (\d+) ms)?")
_OLD_SPEED = re.compile(r"migration speed: ([0-9.]+) MB/s - downtime (\d+) ms")
_LIMIT = re.compile(r"migration downtime limit:? (?:to )?(\d+) ms|auto-increased downtime to "
                    r"continue migration: (\d+) ms")  # fmt: skip
_SPEED = re.compile(rf"migration speed limit: {_SIZE}/s")
_STATUS = re.compile(
    r"migration status(?: error)?: (?P<status>completed|failed|cancelled)(?: - (?P<reason>.*))?"
)
_ABORTED = re.compile(
    r"ERROR: (?:online migrate failure - |migration aborted \(duration [0-9:]+\): )(?P<reason>.*)"
)
_INTERRUPTED: Final = "interrupted by signal"
_STAMP = re.compile(r"^(?:\d{4}-\d\d-\d\d |[A-Z][a-z]{2} [ \d]\d )?(\d\d):(\d\d):(\d\d) ")
_START: Final = ("starting online/live migration", "start migrate command to")
LEAST_S: Final = 2
"""Seconds between two lines from which a rate is taken: stamps are whole seconds."""


def is_proxmox(text: str) -> bool:
    """Tell whether the text is a task log of `qm migrate`."""
    return any(start in text for start in _START) or any(
        kind.search(text) is not None for kind in (_ACTIVE, _OLD)
    )


def _bytes(number: str, unit: str) -> int:
    return round(float(number) * (BYTES | {"KB": 1000})[unit])


def read_proxmox(text: str) -> MigrationLog:
    """Read a task log of `qm migrate`.

    The log of a release before 6.3 has what is left to be sent, from which rounds follow. Later
    ones name no rounds, and the dirty rate only where it exceeds the rate of sending.

    Raises
    ------
    ValueError
        If no line has a fact.
    """
    facts: dict[str, Any] = {}
    seconds: list[int] = []  # of the lines since the start
    sent: list[tuple[int, int]] = []  # seconds, bytes on the wire
    answers: list[Answer] = []
    rate = 0  # as the lines of progress have it
    for line in text.splitlines():
        if _START[-1] in line:  # an attempt; what came before it is another one, or its set-up
            seconds, sent, answers = [], [], []
        if (stamp := _STAMP.match(line)) and (seconds or any(start in line for start in _START)):
            hours, minutes, secs = map(int, stamp.groups())
            at = hours * 3600 + minutes * 60 + secs
            while seconds and at < seconds[-1]:
                at += 86_400
            seconds.append(at)
        if match := _ACTIVE.search(line):
            facts["transferred_bytes"] = _bytes(match[1], match[2])
            facts["memory_bytes"] = _bytes(match[3], match[4])
            rate = _bytes(match[5], match[6])
            facts.setdefault("status", "active")
            if seconds:
                sent.append((seconds[-1], facts["transferred_bytes"]))
            if dirties := _DIRTIES.search(line):
                facts["dirty_pages_rate"] = _bytes(dirties[1], dirties[2]) / 4096
        elif match := _OLD.search(line):
            done, left, total = map(int, match.groups())
            facts |= {"transferred_bytes": done, "remaining_bytes": left, "memory_bytes": total}
            facts.setdefault("status", "active")
            if seconds:
                sent.append((seconds[-1], done))
                answers.append(Answer((seconds[-1] - seconds[0]) * NS["s"], left, done))
        elif match := _SENT.search(line):
            facts["transferred_bytes"] = _bytes(match[1], match[2])
        elif match := _AVERAGE.search(line):
            rate = rate or _bytes(match[1], match[2])
            if match[3]:
                facts["downtime_ns"] = int(match[3]) * NS["ms"]
        elif match := _OLD_SPEED.search(line):
            rate = rate or round(float(match[1]) * BYTES["MiB"])
            facts["downtime_ns"] = int(match[2]) * NS["ms"]
        elif match := _LIMIT.search(line):
            facts["downtime_limit_ns"] = int(match[1] or match[2]) * NS["ms"]
        elif match := _SPEED.search(line):
            facts["max_bytes_per_s"] = _bytes(match[1], match[2])
        ended = _STATUS.search(line) or _ABORTED.search(line)
        if ended and facts.get("status") in (None, "active"):
            ends = ended.groupdict()
            reason = ends["reason"] or ""
            cancelled = _INTERRUPTED in reason
            facts["status"] = ends.get("status") or ("cancelled" if cancelled else "failed")
            if reason not in ("", "aborting"):
                facts["reason"] = reason
            if seconds:
                facts["total_ns"] = (seconds[-1] - seconds[0]) * NS["s"]
    if not facts:
        raise ValueError("has no line of a migration that can be read")
    if len(seconds) > 1 and "total_ns" not in facts:
        facts["total_ns"] = (seconds[-1] - seconds[0]) * NS["s"]
    if network := _network(sent) or rate:
        facts["bytes_per_s"] = network
    rounds = rounds_of(last_attempt(answers), facts.get("memory_bytes"))
    return MigrationLog(tool="Proxmox VE, qm migrate", each_round=rounds, **facts)


def _network(sent: Sequence[tuple[int, int]]) -> int:
    """Return the bytes on the wire per second from the first line of progress to the last."""
    if not sent or sent[-1][0] - sent[0][0] < LEAST_S:
        return 0
    return max(round((sent[-1][1] - sent[0][1]) / (sent[-1][0] - sent[0][0])), 0)
