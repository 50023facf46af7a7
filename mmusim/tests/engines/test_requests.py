"""Open-loop requests: arrivals, the wait for them, and latency without coordinated omission."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from mmusim.base.histogram import Histogram, bin_of
from mmusim.costs.random_streams import Draws, uniforms
from mmusim.engine import simulate
from mmusim.engine.processes import flush
from mmusim.engine.state import think_and_idle
from mmusim.engine.state.phase_recorder import PhaseRecorder
from mmusim.metrics.measure import measure
from mmusim.plan.make import Plan, make_plan
from mmusim.stats import mean_interval
from mmusim.tests.support.settings import BUSY, CONSTANT, kernel_of, setting
from mmusim.trace.records import PhaseTrace
from mmusim.vocabulary import METRICS
from mmusim.workload.base import Accesses, Requests, Uniforms
from mmusim.workload.requests import OpenLoopRequests

Ints = NDArray[np.int64]


def workload(**more: Any) -> OpenLoopRequests:
    return OpenLoopRequests.model_validate({"pattern": "open-loop-requests", **more})


def numbers(seed: int) -> Uniforms:
    draws = Draws(seed)
    return lambda purpose, first, count: uniforms(draws.key(purpose, 0), first, count)


def arrivals(seed: int = 1, **more: Any) -> Ints:
    return workload(**more).arrivals_ns(numbers(seed))


# --- arrivals ------------------------------------------------------------------------------------


def test_regular_arrivals_are_regular() -> None:
    due = arrivals(arrivals="regular", requests=5, interarrival="10us")
    assert due.tolist() == [10_000, 20_000, 30_000, 40_000, 50_000]


def test_poisson_gaps_are_exponential() -> None:
    gaps = np.diff(arrivals(requests=40_000, interarrival="50us"))
    assert gaps.min() >= 0
    assert gaps.mean() == pytest.approx(50_000, rel=0.02)
    assert gaps.std() / gaps.mean() == pytest.approx(1, abs=0.02)
    assert scipy_stats.kstest(gaps, "expon", args=(0, 50_000)).pvalue > 1e-3
    regular = np.diff(arrivals(arrivals="regular", requests=40_000, interarrival="50us"))
    assert scipy_stats.kstest(regular, "expon", args=(0, 50_000)).pvalue < 1e-6, "control"


BURSTY: dict[str, Any] = {
    "arrivals": "bursty", "requests": 100_000, "interarrival": "10us", "peak": 5.0,
    "in_bursts": "10%", "burst": "200us",
}  # fmt: skip


def dispersion(due: Ints, window_ns: int) -> float:
    """Variance over mean of the number of arrivals in windows; 1 for a Poisson process."""
    counts = np.bincount(due // window_ns)[:-1]
    return float(counts.var() / counts.mean())


def test_bursty_arrivals_keep_the_mean_rate() -> None:
    rates = [1e5 / arrivals(seed, **BURSTY)[-1] for seed in range(12)]
    assert 1e-4 in mean_interval(rates, 0.999)
    assert 1.1e-4 not in mean_interval(rates, 0.999), "control"


def test_bursty_arrivals_are_as_bursty_as_the_closed_form_says() -> None:
    """Index of dispersion of a two-state MMPP over long times (Fischer, Meier-Hellstern 1993).

    1 + 2 (a - b)^2 p q / ((r + s) m) with rates a, b in the states, p, q their shares, r, s the
    rates at which they are left and m the mean rate.
    """
    fast, slow, p = 5 / 10e3, (1 - 0.5) / 0.9 / 10e3, 0.1
    leave = 1 / 200e3 + 1 / (200e3 * 9)
    expected = 1 + 2 * (fast - slow) ** 2 * p * (1 - p) / (leave * 1e-4)
    measured = [dispersion(arrivals(seed, **BURSTY), 20_000_000) for seed in range(16)]
    assert expected in mean_interval(measured, 0.999), (expected, measured)
    poisson = dispersion(arrivals(requests=100_000, interarrival="10us"), 20_000_000)
    assert poisson < 0.5 * expected, "control"


def test_bursts_may_be_all_there_is() -> None:
    """peak x in_bursts = 1: nothing arrives between bursts."""
    due = arrivals(arrivals="bursty", peak=10.0, in_bursts="10%", burst="1ms", requests=20_000)
    gaps = np.diff(due)
    assert (np.diff(due) >= 0).all()
    assert np.median(gaps) < 2_000 < 500_000 < gaps.max()


def test_accesses_belong_to_their_requests() -> None:
    made = workload(requests=100, touches=3).accesses(0, 512, numbers(1))
    assert made.requests is not None
    due, last = (a.reshape(100, 3) for a in made.requests[:2])
    assert (due == due[:, :1]).all()
    assert (last == [False, False, True]).all()


# --- one event for many accesses -----------------------------------------------------------------


def serving(policy: str, seed: int, costs: Any, think: str, **more: Any) -> Plan:
    phases = [{**phase, "think": think} if phase["do"] == "run" else phase for phase in BUSY]
    mixed = {"pattern": "open-loop-requests", "requests": 900, "interarrival": "2us",
             "touches": 4, "writes": "3%", "burst": "100us", **more}  # fmt: skip
    made = setting(
        phases, vcpus=3, memory="6MiB", costs=costs, workloads={"mixed": mixed},
        vm={"kernel": kernel_of(policy)},
    )  # fmt: skip
    return make_plan(made, policy, seed)


@pytest.mark.parametrize("costs", [None, CONSTANT], ids=["random costs", "constant costs"])
@pytest.mark.parametrize("think", ["0ns", "150ns"])
@pytest.mark.parametrize(
    ("policy", "arrives"),
    [
        ("lazy-drop", "poisson"), ("eager-drop", "bursty"), ("split-on-fault", "bursty"),
        ("linux-6.13+pml", "poisson"), ("linux-6.13+pml+dirty-ring", "regular"),
    ],
)  # fmt: skip
def test_waiting_for_requests_changes_nothing_about_bundling(
    policy: str, arrives: str, think: str, costs: Any
) -> None:
    """The same trace as with one event per access, kicks into waits included."""
    for seed in (1, 2):
        plan = serving(policy, seed, costs, think, arrivals=arrives)
        a, b = simulate(plan), simulate(plan, run_limit=1)
        assert a.fingerprint == b.fingerprint
        assert a.lock == b.lock
        for one, other in zip(a.phases, b.phases, strict=True):
            assert dict(one.ledger) == dict(other.ledger)
            assert sum(one.ledger.values()) == one.vcpu_ns
            for name in ("reads", "writes", "requests"):
                assert same(getattr(one, name), getattr(other, name))
        busy = next(phase for phase in a.phases if phase.name == "busy")
        assert busy.requests.count == 3 * 900
        assert busy.ledger["idle"] > 0
        assert busy.ledger["flush_exit"] > 0 or policy != "lazy-drop", "nothing was cut"


def same(one: Histogram, other: Histogram) -> bool:
    exact = [(h.total_ns, h.minimum, h.maximum) for h in (one, other)]
    return bool((one.counts == other.counts).all()) and exact[0] == exact[1]


def test_a_wait_that_forgets_the_clock_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: waits in long runs counted from the start of the phase."""
    plan = serving("lazy-drop", 1, None, "0ns")
    single = simulate(plan, run_limit=1)
    ends = think_and_idle.ThinkAndIdle.ends
    monkeypatch.setattr(
        think_and_idle.ThinkAndIdle,
        "ends",
        lambda self, k, spent, left, now: ends(self, k, spent, left, 0),
    )
    assert simulate(plan).fingerprint != single.fingerprint


# --- latency -------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Regular:
    """A request of one read every `gap` ns; those in `writes` write instead."""

    gap: int
    count: int
    writes: tuple[int, ...] = ()

    def length(self, pages: int) -> int:
        return self.count

    def accesses(self, base_gfn: int, pages: int, uniforms: Uniforms) -> Accesses:
        due = np.arange(1, self.count + 1) * self.gap
        write = np.isin(np.arange(self.count), self.writes)
        gfn = base_gfn + np.arange(self.count) % pages
        return Accesses(gfn, write, requests=Requests(due, np.ones(self.count, np.bool_)))


def served(
    pattern: Regular, policy: str, between: list[dict[str, Any]], **costs: str
) -> PhaseTrace:
    phases = [
        {"do": "write"}, {"do": "enable-logging"},
        {"do": "run", "workload": "it", "background": True, "name": "it"}, *between, {"do": "wait"},
    ]  # fmt: skip
    made = setting(
        phases, costs=CONSTANT | costs, vm={"kernel": kernel_of(policy)},
        workloads={"it": {"pattern": "uniform"}},
    )  # fmt: skip
    plan = make_plan(made, policy, 1)
    patterns = (*plan.patterns[:2], pattern, *plan.patterns[3:])
    return simulate(dataclasses.replace(plan, patterns=patterns)).phases[2]


def expected(gap: int, count: int, service: int, stalls: dict[int, int]) -> Histogram:
    """Latencies by Lindley's recursion; a stall is (when, how long) and cuts no service."""
    free, waiting, latencies = 0, dict(stalls), []
    for due in range(gap, gap * (count + 1), gap):
        start = max(free, due)
        for when, long in list(waiting.items()):
            if when <= start:
                start = max(start, when + long)
                del waiting[when]
        free = start + service
        latencies.append(free - due)
    histogram = Histogram()
    histogram.add(latencies)
    return histogram


def test_requests_without_stalls_take_their_service_time() -> None:
    phase = served(Regular(1_000, 500), "lazy-drop", [])
    assert phase.requests.count == 500
    assert (phase.requests.minimum, phase.requests.maximum) == (100, 100)
    before = phase.ledger["pass"] + phase.ledger["tlb_flush"]
    assert phase.ledger["idle"] == 500 * 900 + 100 - before
    assert phase.vcpu_ns == 500 * 1_000 + 100


def test_a_stall_delays_exactly_the_requests_that_arrive_in_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No coordinated omission: a kick that keeps the vCPU out for 50 us meets 50 requests.

    Out for the way of the interrupt (100 ns), the exit and the entry (100 ns).
    """
    kicks: list[int] = []
    kick = flush.kick

    def noted(vm: Any, v: Any) -> Any:
        kicks.append(vm.now)
        return kick(vm, v)

    monkeypatch.setattr(flush, "kick", noted)
    between = [{"do": "sleep", "time": "123450ns"}, {"do": "get-dirty-log"}]
    args: tuple[Any, ...] = (Regular(1_000, 500), "linux-6.13+pml", between)
    phase = served(*args, c_exit="50us", c_entry="100ns")
    assert len(kicks) == 1, kicks
    when = kicks[0] - phase.start_ns
    assert same(phase.requests, expected(1_000, 500, 200, {when: 50_200}))
    late = int(phase.requests.counts[int(bin_of(200)) + 1 :].sum())
    assert late == 63, "50 in the stall and 13 while the queue is worked off: 50.2 us / (1 - 0.2)"
    assert phase.reads.maximum == 200, "no access was slow: counted by access, nothing happened"

    def from_actual_start(
        self: think_and_idle.ThinkAndIdle,
        recorder: Any,
        k: int,
        start_ns: int,
        ends: Any,
        waits: Any,
    ) -> Any:
        waited = commit(self, PhaseRecorder(0), k, start_ns, ends, waits)
        recorder.requests.add(np.full(len(ends), 200))
        return waited

    commit = think_and_idle.ThinkAndIdle.commit
    monkeypatch.setattr(think_and_idle.ThinkAndIdle, "commit", from_actual_start)
    wrong = served(*args, c_exit="50us", c_entry="100ns")
    assert not same(wrong.requests, phase.requests), "control: latency from the actual start"
    assert wrong.requests.maximum == 200 < phase.requests.quantile(0.99)


def test_a_slow_fault_delays_those_behind_it() -> None:
    """The 100th request splits the large spte in 30 us; those behind it find small ones."""
    phase = served(Regular(1_000, 300, (99,)), "split-on-fault", [], c_fault_slow="30us")
    slow = phase.writes.maximum
    assert slow > 30_000
    free, latencies = 0, Histogram()
    for i in range(300):
        due = (i + 1) * 1_000
        free = max(free, due) + (slow if i == 99 else 100 if i < 99 else 200)
        latencies.add([free - due])
    assert same(phase.requests, latencies)
    assert phase.reads.maximum == 200


def test_poisson_requests_wait_as_an_m_d_1_queue() -> None:
    """Mean latency S + rho S / (2 (1 - rho)) at load rho = 0.6 with service S = 4 x 100 ns."""
    service, load = 400.0, 0.6
    means = []
    for seed in range(24):
        more = {"requests": 4000, "touches": 4, "interarrival": f"{service / load:.17g}ns"}
        it = {"pattern": "open-loop-requests", "writes": "0%", **more}
        phases = [{"do": "write"}, {"do": "run", "workload": "it"}]
        plan = make_plan(setting(phases, costs=CONSTANT, workloads={"it": it}), "lazy-drop", seed)
        means.append(measure(simulate(plan)).values["mean_request"])
    interval = mean_interval(means, 0.999)
    wait = load * service / (2 * (1 - load))
    assert service + wait in interval, interval
    assert service + 1.25 * wait not in interval, "control"


def test_request_metrics_are_there_where_they_apply() -> None:
    names = {name for name in METRICS if "request" in name}
    assert names == {
        "mean_request", "p50_request", "p99_request", "p999_request", "p9999_request",
        "p99999_request", "max_request", "request_count",
    }  # fmt: skip
    plan = serving("lazy-drop", 1, None, "0ns")
    values = measure(simulate(plan)).values
    assert names - {"p99999_request"} <= set(values), "it needs a million"
    assert values["request_count"] == 2700
    assert values["p50_request"] <= values["p99_request"] <= values["max_request"]
    plain = make_plan(setting([{"do": "write"}]), "lazy-drop", 1)
    assert not names & set(measure(simulate(plain)).values)


def test_two_policies_see_the_same_arrivals() -> None:
    """Paired: what arrives when does not depend on the policy."""
    get: Callable[[str], Accesses] = lambda p: serving(p, 5, None, "0ns").program(2, 1).accesses  # noqa: E731
    a, b = get("lazy-drop"), get("eager-drop")
    assert a.requests is not None
    assert b.requests is not None
    assert (a.requests.due == b.requests.due).all()
    assert (a.gfn == b.gfn).all()


# --- localities ----------------------------------------------------------------------------------


def pages_of(locality: dict[str, Any] | None, requests: int = 512, **more: Any) -> Accesses:
    made = workload(requests=requests, touches=4, locality=locality, writes="50%", **more)
    return made.accesses(100, 1024, numbers(1))


def test_requests_touch_each_page_once_and_then_each_once_more() -> None:
    for order in ("random", "sequential"):
        gfn = pages_of({"kind": "each-once", "order": order}, 768).gfn
        assert sorted(gfn[:1024]) == sorted(gfn[1024:2048]) == list(range(100, 1124))
        assert len(set(gfn[2048:])) == 1024
        assert (list(gfn[:1024]) == list(gfn[1024:2048])) == (order == "sequential")
    assert len(set(pages_of(None).gfn[:1024])) < 1024, "control: uniform accesses come twice"


def test_requests_have_hot_sets_of_reads_and_of_writes() -> None:
    access = pages_of({"kind": "hot-cold", "hot": "10%", "hot_writes": "100%"}, 4096)
    hot = access.gfn[access.write] - 100
    assert hot.min() >= 102
    assert hot.max() < 204
    reads = access.gfn[~access.write] - 100
    assert np.mean(reads < 102) == pytest.approx(0.9, abs=0.02)


def test_the_locality_of_requests_is_zipf_as_the_exponent_is() -> None:
    one = pages_of({"kind": "zipf", "exponent": 0.9})
    other = pages_of(None, exponent=0.9)
    assert (one.gfn == other.gfn).all()
    assert (pages_of({"kind": "uniform"}).gfn == pages_of(None).gfn).all()


@pytest.mark.parametrize(
    ("locality", "more", "words"),
    [
        ({"kind": "hot-cold", "hot": "60%"}, {}, "no room for both hot sets"),
        ({"kind": "zipf"}, {"exponent": 0.5}, "both say which pages"),
        ({"kind": "nowhere"}, {}, "nowhere"),
        ({"kind": "zipf", "exponent": 11}, {}, "less than or equal to 10"),
    ],
)
def test_localities_that_cannot_be_are_refused(
    locality: dict[str, Any], more: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        pages_of(locality, **more)
