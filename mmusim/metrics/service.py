"""The metrics of an open-loop service before, during and after a migration."""

from __future__ import annotations

from collections.abc import Sequence

from mmusim.trace.records import MigrationTrace, Served


def of_service(m: MigrationTrace) -> dict[str, float]:
    """Return the metrics of the service beside a migration; none if it was not followed.

    Between two marks the share is requests served / requests that arrived. A period without an
    arrival has none. `service_recovery` is missing where the tail is too short to see it.
    """
    if not m.service_marks:
        return {}
    began, asked, ended, last = m.service_marks
    values: dict[str, float] = {}
    periods = {"before": (began, asked), "during": (asked, ended), "after": (ended, last)}
    for name, (first, then) in periods.items():
        if then.arrived > first.arrived:
            share = (then.served - first.served) / (then.arrived - first.arrived)
            values[f"served_{name}"] = share
    points = sorted({*m.service, *m.service_marks})
    values["most_waiting"] = max(map(waiting, points))
    usual = max(waiting(one) for one in points if one.at_ns <= asked.at_ns)
    over = recovered(points, ended, usual)
    if over is not None:
        values["service_recovery"] = over - ended.at_ns
    return values


def waiting(one: Served) -> int:
    """Return how many requests have arrived and are not served at a reading."""
    return one.arrived - one.served


def recovered(points: Sequence[Served], ended: Served, usual: int) -> int | None:
    """Return when, after `ended`, no more requests wait than usual.

    Parameters
    ----------
    points : sequence of Served
        Readings in the order of their times.
    ended : Served
        The reading at the end of the migration.
    usual : int
        The most requests that waited before the migration.

    Returns
    -------
    int or None
        Time of the first such reading, in ns; None if there is none.
    """
    after = (one.at_ns for one in points if one.at_ns >= ended.at_ns and waiting(one) <= usual)
    return next(after, None)


def since_request(m: MigrationTrace) -> tuple[Served, ...]:
    """Return the readings in their order, with times in ns from the request of the migration."""
    points = sorted({*m.service, *m.service_marks})
    return tuple(one._replace(at_ns=one.at_ns - m.start_ns) for one in points)
