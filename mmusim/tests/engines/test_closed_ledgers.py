"""What host and guest pay closes to the nanosecond on random runs, so decompositions do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from hypothesis import HealthCheck, given
from hypothesis import settings as sampling
from hypothesis import strategies as st

from mmusim.comparison.decomposition import decompose
from mmusim.config.settings import Setting
from mmusim.engine.choice import COMPILED, SIMPY
from mmusim.metrics.measure import Metrics, measure
from mmusim.plan.make import make_plan
from mmusim.tests.support.agreement import ends
from mmusim.tests.support.any_run import runs
from mmusim.trace.records import Trace

RUNS: Final = int(os.environ.get("MMUSIM_CLOSED_RUNS", "30"))
LOG: Final = (
    "enable-logging", "get-dirty-log", "clear-dirty-log", "sync-dirty-log", "harvest-ring",
    "disable-logging", "recreate-slot",
)  # fmt: skip


def gaps(trace: Trace) -> Iterator[str]:
    """Where time is charged to nothing, or twice."""
    for number, phase in enumerate(trace.phases):
        took, charged = phase.end_ns - phase.start_ns, sum(phase.spent.values())
        if phase.do in LOG and took != charged:
            yield f"phase {number} ({phase.do}) took {took} ns and was charged {charged}"
        if phase.guest and sum(phase.ledger.values()) != phase.vcpu_ns:
            yield f"vCPUs of phase {number} ran {phase.vcpu_ns} ns, charged otherwise"


def closes(a: Metrics, b: Metrics) -> bool:
    """Whether the parts of a difference sum to the whole of host and guest."""
    one = decompose(a, b)
    host = [sum(sum(o.values()) for o in run.operation_times.values()) for run in (a, b)]
    guest = [sum(run.ledger.values()) for run in (a, b)]
    net = sum(part.net_ns for part in one.parts)
    wholes = (one.host_ns, one.guest_ns) == (host[1] - host[0], guest[1] - guest[0])
    return wholes and net == one.host_ns + one.guest_ns


@sampling(max_examples=RUNS, deadline=None, suppress_health_check=list(HealthCheck))
@given(runs(), st.integers(0, 999))
def test_every_nanosecond_of_host_and_guest_is_charged_once(
    run: tuple[str, Setting], seed: int
) -> None:
    """Finite TLBs, post-copy, halting guests, throttles, a shared processor: on both engines."""
    policy, made = run
    names = made.experiment.policies.all
    other = next(name for name in names if name != policy)
    found = []
    for engine in (SIMPY, COMPILED):
        pair = [ends(make_plan(made, name, seed), engine) for name in (policy, other)]
        if any(isinstance(one, str) for one in pair):
            return  # one of them stops: it has no ledger
        for trace in pair:
            assert list(gaps(trace)) == []
        a, b = map(measure, pair)
        assert closes(a, b)
        found.append(decompose(a, b))
    assert found[0] == found[1]
    phase = next(p for p in pair[0].phases if p.guest)
    less = dict.fromkeys(phase.ledger, 0)
    short = replace(pair[0], phases=(replace(phase, ledger=less),))
    assert phase.vcpu_ns == 0 or list(gaps(short)), "the control: a ledger that lost its lines"
