"""The rounds of a migration, from answers about it that follow each other.

QEMU tells in each answer how often it has read the dirty log, and how much is left to be sent.
Where the count grows by one from one answer to the next, a round ended between the two: at the
moment at which nothing was left of the old round, at the rate of that interval. What the new round
has to send is what is left at the second answer and what was sent since that moment.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from mmusim.base.units import NS
from mmusim.migration_logs.log import LogRound, MigrationLog

RESOLVED: Final = 2
"""A round must last for so many intervals between answers; otherwise its time is not known."""
HEADERS: Final = 1.02
"""Bytes on the wire for each byte of guest memory, at most: a page has a header of 8 to 264 bytes.
"""


class Answer(NamedTuple):
    """What one answer about a running migration says."""

    ns: float  # since the migration began
    remaining: int  # bytes of guest memory
    sent: int  # bytes on the wire
    syncs: int | None = None  # reads of the dirty log so far; None: the tool does not say
    bytes_per_s: int | None = None
    is_precopy: bool = False  # the state is active


def answer_in(facts: Mapping[str, Any]) -> Answer | None:
    """Return the answer that facts of :class:`MigrationLog` make, or None if one is missing."""
    ns, left, sent = (
        facts.get(name) for name in ("total_ns", "remaining_bytes", "transferred_bytes")
    )
    if ns is None or left is None or sent is None or facts.get("rounds") is None:
        return None
    is_precopy = facts.get("status") == "active"
    return Answer(ns, left, sent, facts["rounds"], facts.get("bytes_per_s"), is_precopy)


class Sync(NamedTuple):
    """A read of the dirty log that began a round."""

    ns: float
    to_send: int | None
    within_ns: float  # how exactly the time is known


def last_attempt(answers: Sequence[Answer]) -> list[Answer]:
    """Return the answers about the last migration: its time and its count start anew."""
    found: list[Answer] = []
    for one in answers:
        if found and (one.ns < found[-1].ns or one.sent < found[-1].sent):
            found = []
        if not found or one.ns > found[-1].ns:
            found.append(one)
    return found


def least_left_ns(answers: Sequence[Answer], status: str) -> float | None:
    """Return how long the least takes that was left while the migration went on, in ns, or None.

    An answer about the first pass says nothing, because zero pages go faster than the network. Nor
    does one without a later sync if the migration completed: the guest may have stood still.
    """
    precopy = [one for one in answers if one.is_precopy and (one.syncs or 0) > 1]
    last = precopy[-1].syncs if precopy else None
    left = [
        one.remaining / one.bytes_per_s * NS["s"]
        for one in precopy
        if one.bytes_per_s and (status != "completed" or one.syncs != last)
    ]
    return min(left, default=None)


def with_series(
    log: MigrationLog, answers: Sequence[Answer], begins_ns: Mapping[int, float] | None = None
) -> MigrationLog:
    """Return a log with what its answers say together: rounds, and the least that was left.

    Parameters
    ----------
    log : MigrationLog
        What the answers say each by itself.
    answers : sequence
        In the order of time; only those about the last attempt count.
    begins_ns : mapping
        As :func:`rounds_of` takes it.
    """
    answers = last_attempt(answers)
    rounds = rounds_of(answers, log.memory_bytes, begins_ns)
    left = least_left_ns(answers, log.status)
    return log.updated(MigrationLog(tool=log.tool, each_round=rounds, least_left_ns=left))


def limit_at_start(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the limit that an answer of QEMU states as its expected downtime, in ns, if it does.

    Until a sync has found a dirty rate, expected-downtime is the limit itself. The rate is 0 until
    the second sync, and later too if the guest is idle (migration_update_counters).
    """
    expected = facts.get("expected_downtime_ns")
    knows_no_rate = facts.get("dirty_pages_rate") == 0 and facts.get("rounds") in (1, 2)
    if not (expected and knows_no_rate and facts.get("status") == "active"):
        return {}
    return {"limit_at_start_ns": expected}


def rounds_of(
    answers: Sequence[Answer], memory: int | None, begins_ns: Mapping[int, float] | None = None
) -> tuple[LogRound, ...]:
    """Return the rounds that the answers determine, in order; rounds between them are left out.

    Parameters
    ----------
    answers : sequence
        Of one migration, in the order of time.
    memory : int or None
        Bytes of guest memory, which the first round sends.
    begins_ns : mapping
        Number of a round -> its beginning in ns, where events say it exactly.
    """
    syncs = _syncs(answers)
    if memory is not None and (not answers or answers[0].syncs in (None, 1)):
        syncs[0] = Sync(0.0, memory, 0.0)
    for number, ns in (begins_ns or {}).items():
        syncs[number] = Sync(ns, _to_send(answers, number, ns, syncs.get(number)), 0.0)
    rounds = []
    for number in sorted(syncs):
        begun, ended = syncs[number], syncs.get(number + 1)
        time = None
        if ended is not None:
            time = ended.ns - begun.ns
            if time < RESOLVED * max(begun.within_ns, ended.within_ns) or time <= 0:
                time = None
        rounds.append(
            LogRound(
                number=number, to_send_bytes=begun.to_send, time_ns=time,
                bytes_per_s=_rate(begun, time, number, answers),
            )
        )  # fmt: skip
    return tuple(rounds) if len(rounds) > 1 else ()


def _syncs(answers: Sequence[Answer]) -> dict[int, Sync]:
    found: dict[int, Sync] = {}
    number = 0
    for before, after in itertools.pairwise(answers):
        sent, interval = after.sent - before.sent, after.ns - before.ns
        if before.syncs is None or after.syncs is None:
            # What is left falls by what is sent, or by more where pages are zero.
            grown = after.remaining > max(before.remaining - sent / HEADERS, 0) + 0.02 * sent
            number += grown
        else:
            grown, number = after.syncs == before.syncs + 1, after.syncs - 1
        if grown:
            per_ns = sent / interval
            left_ns = before.remaining / per_ns if per_ns else 0.0
            at = min(before.ns + left_ns, after.ns)
            to_send = round(after.remaining + per_ns * (after.ns - at))
            found[number] = Sync(at, to_send, interval)
    return found


def _to_send(answers: Sequence[Answer], number: int, ns: float, guess: Sync | None) -> int | None:
    """Return what a round has to send, from two answers within it."""
    own = [one for one in answers if one.syncs == number + 1 and one.ns >= ns]
    if len(own) >= 2 and own[-1].ns > own[0].ns:
        per_ns = (own[-1].sent - own[0].sent) / (own[-1].ns - own[0].ns)
        return round(own[0].remaining + per_ns * (own[0].ns - ns))
    return None if guess is None else guess.to_send


def _rate(
    begun: Sync, time: float | None, number: int, answers: Sequence[Answer]
) -> int | None:  # fmt: skip
    """Return the rate of a round in bytes per second, from the answers within it."""
    if time is None:
        return None
    own = [one for one in answers if begun.ns <= one.ns <= begun.ns + time]
    if len(own) < 2 or own[-1].ns <= own[0].ns:
        return None
    return round((own[-1].sent - own[0].sent) / (own[-1].ns - own[0].ns) * NS["s"]) or None
