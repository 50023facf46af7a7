"""The downtime limit that a migration must have had, from what its log says.

QEMU goes on while more is left than bandwidth times limit. So a log of a migration that went on
bounds the limit from above, and a guest that stood still for long bounds it from below.

Source: migration_iteration_run, migration_update_counters and ram_save_iterate of QEMU.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Final, NamedTuple

from mmusim.base.units import NS, show_ns
from mmusim.migration_logs.log import MigrationLog

DEFAULT_NS: Final = 300.0 * NS["ms"]
"""The default of QEMU since 1.5, of libvirt and of Cloud Hypervisor."""
SLICE_NS: Final = 50.0 * NS["ms"]
"""QEMU sends for so long at most before it looks at what is left (MAX_WAIT)."""
LIMITED_SLICE_NS: Final = 100.0 * NS["ms"]
"""The same where max-bandwidth binds: what a window may send leaves at the speed of memory."""
BINDS: Final = 0.9
"""A share of max-bandwidth above which it is taken to bind."""
BEYOND: Final = 2.0
"""A downtime of so many default limits is not explained by the default."""
SHORTEST_NS: Final = 1.0 * NS["ms"]
"""The unit of QEMU's limit."""


class Bound(NamedTuple):
    """A bound of the downtime limit in ns, and what in the log says so."""

    ns: float
    why: str


class Limit(NamedTuple):
    """A downtime limit in ns, and why it has to be named as an assumption; "": it is a fact."""

    ns: float
    why: str


def upper_bound(log: MigrationLog) -> Bound | None:
    """Return the largest limit with which the migration had gone on as the log says, or None."""
    return min(_went_on(log), key=lambda bound: bound.ns, default=None)


def _went_on(log: MigrationLog) -> Iterator[Bound]:
    rate, most = log.bytes_per_s, log.max_bytes_per_s
    if not log.counts_syncs:  # the tool states each round exactly
        begun = sorted(log.each_round, key=lambda r: r.number)
        for this, after in itertools.pairwise(begun):
            speed = this.bytes_per_s or rate
            if this.number and this.to_send_bytes and speed and after.number == this.number + 1:
                ns = this.to_send_bytes / speed * NS["s"]
                yield Bound(ns, f"round {this.number} began with what takes {show_ns(ns)} to send")
    if log.least_left_ns is not None:
        sent = LIMITED_SLICE_NS if most and (rate or 0) >= BINDS * most else SLICE_NS
        yield Bound(
            log.least_left_ns + sent,
            f"what was left took {show_ns(log.least_left_ns)} to send (QEMU compares that with the "
            f"limit every {show_ns(sent)} or sooner)",
        )
    expected, dirtied = log.expected_downtime_ns, log.dirty_pages_rate
    if log.status == "active" and (log.rounds or 0) > 1 and expected and dirtied and rate:
        of_rate = dirtied * log.page_size / rate * NS["s"]  # how QEMU computed it before 3.0
        now = (log.remaining_bytes or 0) / rate * NS["s"]  # no more than the last sync found
        if abs(expected / of_rate - 1) > 0.01 and now <= expected:
            yield Bound(expected, f"what the last sync found took {show_ns(expected)} to send")


def lower_bound(log: MigrationLog) -> Bound | None:
    """Return a limit that explains how long the guest stood still, where the default does not."""
    stood = log.downtime_ns
    if log.status != "completed" or log.postcopy_requests or log.postcopy_blocktime_ns:
        return None
    if not stood or stood <= BEYOND * DEFAULT_NS:
        return None
    return Bound(stood, f"the guest stood still for {show_ns(stood)}")


def downtime_limit(log: MigrationLog, given_ns: float | None) -> Limit:
    """Return the limit of the experiment: what is given or in the log, else the default, moved as
    little as the log demands.

    Parameters
    ----------
    log : MigrationLog
        What the log says.
    given_ns : float or None
        The user's value, in ns.
    """
    most = upper_bound(log)
    option = "say it with --downtime-limit"
    said = given_ns or log.downtime_limit_ns
    if said:
        whose = "--downtime-limit" if given_ns else "the log's own limit"
        if most is None or said <= most.ns:
            return Limit(said, "")
        return Limit(
            said, f"{whose} is {show_ns(said)}, and the log contradicts it: {_at_most(most)}"
        )
    if log.limit_at_start_ns:
        if most is None or log.limit_at_start_ns <= most.ns:
            return Limit(
                log.limit_at_start_ns,
                f"QEMU gives it as the expected downtime before it knows a dirty rate; {option}",
            )
    elif most is None or most.ns >= DEFAULT_NS:
        least = lower_bound(log)
        if least is None:
            return Limit(DEFAULT_NS, f"QEMU's default; {option}")
        ns = least.ns if most is None else min(least.ns, most.ns)
        return Limit(
            ns, f"from the log, not the default of {show_ns(DEFAULT_NS)}: {least.why}; {option}"
        )
    assert most is not None
    ns = max(most.ns // NS["ms"] * NS["ms"], SHORTEST_NS)
    refused = (
        f"the {show_ns(log.limit_at_start_ns)} at its start" if log.limit_at_start_ns
        else f"QEMU's default of {show_ns(DEFAULT_NS)}"
    )  # fmt: skip
    return Limit(ns, f"from the log, which contradicts {refused}: {_at_most(most)}; {option}")


def _at_most(bound: Bound) -> str:
    return (
        f"the migration went on although {bound.why}, so the limit was at most {show_ns(bound.ns)}"
    )
