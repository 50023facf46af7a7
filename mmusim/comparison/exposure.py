"""Exposure of runs: whether policies met the same operations, so that they can be compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from mmusim.base.units import show_mean, show_ns
from mmusim.comparison.pairing import Runs
from mmusim.metrics.exposure import Exposure
from mmusim.metrics.measure import Metrics

APART: Final = 0.10
"""Share of the smaller value. Exposures that differ by more are reported."""
SATURATED: Final = 0.70
"""Share of the time. If mmu_lock is busy for more, waits hide the differences of policies."""
RAN: Final = 0.99
"""A guest that ran for a smaller share of a window left it early."""

COUNTED: Final[dict[str, Callable[[Exposure], float]]] = {
    "length": lambda e: e.length_ns,
    "time with logging on": lambda e: e.logged_ns,
    "operations begun": lambda e: e.begun,
    "operations ended": lambda e: e.ended,
    "pages armed": lambda e: e.armed,
    "pages reported truly dirty": lambda e: e.reported,
    "pages reported falsely dirty": lambda e: e.false,
    "accesses": lambda e: e.accesses,
    "requests": lambda e: e.requests,
}
"""Quantities that are compared, by name."""
A_PAGE: Final = 1.0
"""Numbers of pages in a run that differ by less are no difference."""
TIMES: Final = ("length", "time with logging on")
LOGGED: Final = "share of the time with logging on"


class Objection(NamedTuple):
    """An objection against comparing the runs of a policy as they are."""

    policy: str
    text: str
    forbids: bool  # there can be no verdict


def objections(runs: Runs, baseline: str, window: str = "") -> tuple[Objection, ...]:
    """Return the objections against comparing the policies of one setting.

    Parameters
    ----------
    runs : mapping
        Runs by policy.
    baseline : str
        The policy with which the others are compared.
    window : str
        Name of a window; empty: what the experiment measures.

    Returns
    -------
    tuple of Objection
        Objections that forbid a verdict come first. Exposures are means over seeds. Runs that were
        stored without exposures have no objections.
    """
    met = {policy: _of(rows, window) for policy, rows in runs.items()}
    met = {policy: rows for policy, rows in met.items() if rows}
    found = [*_missed(met)]
    for policy, rows in met.items():
        found += _alone(policy, rows)
    if baseline in met:
        found += _apart(met, baseline)
    return tuple(sorted(found, key=lambda o: not o.forbids))


def no_verdict(runs: Runs, *policies: str, window: str = "") -> str:
    """Say why there can be no verdict on policies; the text is empty if there can be one.

    Parameters
    ----------
    runs : mapping
        Runs by policy.
    *policies : str
        Names of policies; without any, all of `runs`.
    window : str
        Name of a window; empty: what the experiment measures.
    """
    met = {name: _of(runs[name], window) for name in policies or runs}
    return "; ".join(o.text for o in _missed({name: rows for name, rows in met.items() if rows}))


def _of(runs: Sequence[Metrics], window: str) -> list[Exposure]:
    return [run.exposures[window] for run in runs if window in run.exposures]


def _missed(met: dict[str, list[Exposure]]) -> Iterator[Objection]:
    for policy, rows in met.items():
        if all(e.missed_the_log for e in rows):
            text = f"{policy} never met the log: what is measured was over before logging began"
            yield Objection(policy, text + ", or logging was never on in it", True)
        elif not any(e.accesses for e in rows) and any(e.has_log for e in rows):
            text = f"under {policy} no access began in what is measured; measure a window in which "
            yield Objection(policy, text + "vCPUs run, or ask for a metric of the host", True)
        early = sum(e.before_on for e in rows)
        if 2 * early > len(rows):
            text = f"{policy}: in {early} of {len(rows)} runs what is measured was over before "
            text += "logging was on; give the guest more to do, or measure a window"
            yield Objection(policy, text, True)


def _alone(policy: str, rows: list[Exposure]) -> Iterator[Objection]:
    """Yield the objections against the runs of one policy alone."""

    def some(count: int) -> str:
        return f"{count} of {len(rows)} runs"

    cut = sum(e.unfinished > 0 for e in rows)
    if cut:
        yield Objection(
            policy, f"{policy}: in {some(cut)} an operation had not ended with the window", False
        )
    busy = max(e.lock_share for e in rows)
    if busy > SATURATED:
        text = f"{policy}: mmu_lock is busy for {busy:.0%} of the window; beyond {SATURATED:.0%} "
        yield Objection(policy, text + "queueing hides what policies differ in", False)
    left = sum(e.leftover_faults > 0 for e in rows)
    if left:
        mean = sum(e.leftover_faults for e in rows) / len(rows)
        yield Objection(
            policy,
            f"{policy}: the guest had not settled: {show_mean(mean)} faults a run, in "
            f"{some(left)}, are on pages as they were left long before the window",
            False,
        )
    late = sum(e.late for e in rows)
    if late:
        worst = max(e.latest_ns for e in rows)
        total = sum(e.begun for e in rows)
        yield Objection(
            policy,
            f"{policy}: {late} of {total} operations began late, by up to {show_ns(worst)}: the "
            "schedule is denser than they take; begin them later, or make every longer",
            False,
        )
    early = sum(e.guest_ns < RAN * e.length_ns for e in rows if e.accesses)
    if early:
        share = min(e.guest_ns / e.length_ns for e in rows if e.length_ns and e.accesses)
        text = f"{policy}: in {some(early)} vCPUs ran for as little as {share:.0%} of the window"
        yield Objection(policy, text + "; give them more to do", False)


def _apart(met: dict[str, list[Exposure]], baseline: str) -> Iterator[Objection]:
    """Yield the differences from the exposure of the baseline."""
    for policy, rows in met.items():
        if policy == baseline:
            continue
        parts = ", ".join(map(str, _unequal(rows, met[baseline])))
        if parts:
            text = f"{policy} and {baseline} met different things: {parts}"
            yield Objection(policy, text, False)


class Difference(NamedTuple):
    """A quantity in which the exposures of two policies differ by more than a tenth."""

    what: str
    mine: float
    other: float

    def shown(self) -> tuple[str, str]:
        """Return both values as text with units: of the policy, and of the baseline."""
        if self.what == LOGGED:
            return f"{self.mine:.0%}", f"{self.other:.0%}"
        show = show_ns if self.what in TIMES else show_mean
        return show(self.mine), show(self.other)

    def __str__(self) -> str:
        """Return the quantity and both values."""
        mine, other = self.shown()
        return f"{self.what} {mine} against {other}"


def differences(runs: Runs, policy: str, baseline: str, window: str = "") -> list[Difference]:
    """Return the quantities in which the exposure of a policy differs from that of the baseline.

    Parameters
    ----------
    runs : mapping
        Runs by policy.
    policy, baseline : str
        Names of the policies.
    window : str
        Name of a window; empty: what the experiment measures.
    """
    met = [_of(runs.get(name, ()), window) for name in (policy, baseline)]
    return list(_unequal(*met)) if all(met) else []


def _unequal(rows: list[Exposure], base: list[Exposure]) -> Iterator[Difference]:
    """Yield what differs.

    If every policy makes the same accesses, the time that they take is the answer and no exposure.
    The function then compares the share of that time in which logging was on. It compares nothing
    for a policy that does not log.
    """
    if not rows[0].logs or not base[0].logs:
        return
    same_work = [e.accesses for e in rows] == [e.accesses for e in base]
    found = [
        Difference(name, mean(rows, count), mean(base, count))
        for name, count in COUNTED.items()
        if not (same_work and name in TIMES)
    ]
    if same_work:
        found.append(Difference(LOGGED, mean(rows, _logged_share), mean(base, _logged_share)))
    for one in found:
        least = A_PAGE if one.what.startswith("pages") else 0.0
        if differ(one.mine, one.other) and abs(one.mine - one.other) >= least:
            yield one


def _logged_share(e: Exposure) -> float:
    return e.logged_ns / e.length_ns if e.length_ns else 0.0


def mean(rows: Sequence[Exposure], count: Callable[[Exposure], float]) -> float:
    """Return the mean of a count over runs, of which there must be one at least."""
    return sum(map(count, rows)) / len(rows)


def differ(one: float, other: float) -> bool:
    """Tell whether two numbers of one unit, at least 0, differ by more than a tenth of the
    smaller.
    """
    return abs(one - other) > APART * min(one, other)
