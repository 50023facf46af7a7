"""The trace of a migration that is over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from mmusim.engine.migration.service import ServiceMeter
from mmusim.trace.records import MigrationTrace


def trace_of(migration: Any, service: ServiceMeter) -> MigrationTrace:
    """Return the trace of a :class:`~mmusim.engine.migration.migration.Migration`."""
    m, postcopy = migration, migration.postcopy
    return MigrationTrace(
        outcome=m.outcome,
        start_ns=m.began_ns,
        end_ns=m.ended_ns,
        downtime_ns=m.downtime_ns,
        rounds=tuple(m.log.rounds),
        sent_pages=m.channel.sent_pages,
        zero_pages=m.channel.zero_pages,
        distinct_pages=m.ram.distinct,
        sent_bytes=m.channel.sent_bytes,
        spent=dict(m.times.spent),
        throttle=tuple(m.trigger.sleeps.history),
        dirty_limit=tuple(m.trigger.limit.history),
        syncs=m.log.count,
        seconds=tuple(m.meter.shares),
        service=service.readings(),
        service_marks=service.marks(),
        waits_for_log=_waits_for_log(m),
        **({} if postcopy is None else postcopy.facts()),
    )


def _waits_for_log(migration: Any) -> Mapping[str, int]:
    """Return how long vCPUs waited for mmu_lock while operations of the log held it, in ns."""
    waits: Counter[str] = Counter()
    for one in migration.windows.operations[migration.operations_before :]:
        waits[one.do] += one.waited_ns
    return dict(waits)
