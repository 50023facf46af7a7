"""Snapshots: every page once and as it was, waits as theory has them, engines agree."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from mmusim.base.errors import ConfigError, InvariantError
from mmusim.engine import simulate
from mmusim.engine.choice import COMPILED, SIMPY
from mmusim.engine.migration import snapshot
from mmusim.engine.migration.snapshot import Snapshot
from mmusim.metrics.measure import measure
from mmusim.plan.make import Plan, make_plan
from mmusim.tests.support.migrations import FREE, policy_beside
from mmusim.tests.support.settings import kernel_of, setting
from mmusim.trace.records import PhaseTrace, Probe, Trace
from mmusim.trace.snapshot import SnapshotTrace
from mmusim.vmm.snapshot import InOrder, SnapshotWay, Stopped, WriteProtect, snapshot_ways

UNIFORM = {"pattern": "uniform", "accesses_per_page": 2.0, "writes": "30%"}
READS = {"pattern": "uniform", "accesses_per_page": 2.0, "writes": "0%"}
RATE = {
    "pattern": "dirty-rate", "dirty_rate": "500MB/s", "over": "10ms", "working_set": "60%",
    "reads": 300.0,
}  # fmt: skip
SERVICE = {
    "pattern": "open-loop-requests", "requests": 2000, "interarrival": "20us",
    "arrivals": "poisson", "touches": 4, "writes": "30%",
}  # fmt: skip
MIB = 256  # pages
STOPPED: dict[str, Any] = {"way": {"rule": "stopped"}}


def snapped(
    policy: str = "linux-6.13", *, vcpus: int = 2, memory: str = "8MiB", backing: str = "2MiB",
    workload: dict[str, Any] | None = None, costs: dict[str, Any] | None = None,
    think: str = "2us", windows: list[Any] | None = None, idle: bool = False, qemu: str = "",
    spec: dict[str, Any] | None = None, seed: int = 1, after: tuple[Any, ...] = (), **phase: Any,
) -> Plan:  # fmt: skip
    """A guest of 8 MiB and a snapshot of it."""
    rated = "dirty-rate" in str(workload)
    work = {} if idle else {"workload": "work", "think": "0ns" if rated else think}
    made = setting(
        [{"do": "write"}, {"do": "snapshot"} | work | phase, *after],
        vcpus=vcpus,
        memory=memory,
        costs=costs,
        workloads={"work": workload or UNIFORM},
        vm={"kernel": kernel_of(policy), "backing": backing},
        policies={"baseline": policy, "compare": [policy_beside(policy)]},
        driver={"migration": {"bandwidth": "1GB/s"} | (spec or {}), "windows": windows or []},
        **({"vmm": {"qemu": qemu}} if qemu else {}),
    )
    return make_plan(made, policy, seed)


def phase_of(trace: Trace) -> tuple[PhaseTrace, SnapshotTrace]:
    phase = next(phase for phase in trace.phases if phase.do == "snapshot")
    assert phase.snapshot is not None
    return phase, phase.snapshot


# --- every page once, and as it was --------------------------------------------------------------


class Copies(Probe):
    """Which pages were copied, in order, and which were written after the last copy began."""

    def __init__(self) -> None:
        self.copied_gfns: list[int] = []
        self.writes: list[tuple[int, int, bool]] = []  # when, gfn, whether it was copied before

    def accessed(self, cpu: int, gfns: list[int], writes: list[bool], end_ns: int) -> None:
        del cpu
        done = set(self.copied_gfns)
        for gfn, write in zip(gfns, writes, strict=True):
            if write:
                self.writes.append((end_ns, gfn, gfn in done))

    def copied(self, gfns: list[int]) -> None:
        self.copied_gfns += gfns


@pytest.mark.parametrize("backing", ["2MiB", "4KiB"])
@pytest.mark.parametrize("policy", ["linux-6.13", "linux-6.13+pml", "linux-5.4", "none"])
def test_every_page_is_copied_once_and_not_written_before(policy: str, backing: str) -> None:
    probe = Copies()
    plan = snapped(policy, memory="4MiB", backing=backing, lead="300us")
    _, found = phase_of(simulate(plan, probe=probe, engine=SIMPY))
    assert sorted(probe.copied_gfns) == list(range(plan.pages))
    during = [one for one in probe.writes if found.resumed_ns < one[0] <= found.end_ns]
    assert len(during) > 100
    assert all(copied for _, _, copied in during)
    assert any(not copied for _, _, copied in probe.writes), "control: before it began"
    assert found.on_fault > 20


def test_a_write_that_does_not_wait_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: protection that is lifted before the copy."""

    def lifts(self: Any, v: Any, gfn: int, write: bool, index: int) -> Iterator[Any]:
        del v, write, index
        self._held[gfn] = 0
        yield from ()

    monkeypatch.setattr(Snapshot, "fault", lifts)
    with pytest.raises(InvariantError, match="a newer version"):
        simulate(snapped(), engine=SIMPY)


def test_memory_of_which_a_read_maps_a_page_writable_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Negative control: what a read maps must be read-only."""
    original = Snapshot._protect

    def forgets(self: Any) -> Iterator[Any]:
        yield from original(self)
        self._vm.held = np.zeros(0, np.uint8)

    monkeypatch.setattr(Snapshot, "_protect", forgets)
    with pytest.raises(InvariantError, match="a newer version"):
        simulate(snapped(), engine=SIMPY)


def test_the_copy_takes_as_long_whatever_the_guest_writes() -> None:
    """Each page once: on a free host the time is that of the pages, in any order."""
    costs = FREE | {"c_send_page": "5us"}
    fast = {"bandwidth": "100GB/s"}
    times = {
        phase_of(simulate(snapped(costs=costs, think=think, spec=fast, idle=idle)))[1].spent["send"]
        for think, idle in (("100ns", False), ("20us", False), ("2us", True))
    }
    assert times == {8 * MIB * 5000}


def test_an_idle_guest_waits_for_nothing() -> None:
    _, found = phase_of(simulate(snapped(idle=True)))
    assert (found.pages, found.on_fault, found.waits.count) == (8 * MIB, 0, 0)


def test_reads_never_wait_and_make_their_pages_flush() -> None:
    phase, found = phase_of(simulate(snapped(workload=READS)))
    assert phase.ledger["snapshot_wait"] == 0
    assert found.on_fault == 0
    assert found.flushes > 500, "pages that were mapped read-only before their copy"


def test_zero_pages_go_as_headers() -> None:
    _, found = phase_of(simulate(snapped(spec={"zero_pages": "50%"})))
    assert 900 < found.zero_pages < 1150
    assert found.sent_bytes == found.zero_pages * 9 + (found.pages - found.zero_pages) * 4104


# --- how many writes wait ------------------------------------------------------------------------


def theory(rate: float, page_s: float, pages: int) -> tuple[float, float]:
    """Waits of one uniform writer and their time in s, where nothing but a page takes time.

    Of the writes, at `rate` a second while the vCPU runs, a share x meets a protected page, with x
    falling from 1 to 0 at a steady speed, because each page is copied once. Such a write waits for
    the rest of the page in transit and then for its own. It comes an exponential time after the
    last wait ended, at the end of a page.
    """
    whole, steps = pages * page_s, 2000
    waits = lost = 0.0
    for number in range(steps):
        per_page = rate * (1 - (number + 0.5) / steps) * page_s  # writes that wait
        into = 1 / per_page - math.exp(-per_page) / (1 - math.exp(-per_page))
        wait = page_s * (2 - into)
        per_second = per_page / page_s / (1 + per_page / page_s * wait)
        waits += per_second * whole / steps
        lost += per_second * wait * whole / steps
    return waits, lost


@pytest.mark.parametrize("writes", [2.0, 16.0, 150.0])
def test_waits_of_a_uniform_writer_have_a_closed_form(writes: float) -> None:
    """About T / W (1 - ln(1 + rate W) / (rate W)), for T of all pages and W of a wait."""
    pages, page_s = 16 * MIB, 10e-6
    workload = {"pattern": "dirty-rate", "classes": [{"share": "100%", "writes": writes}]}
    costs = FREE | {"c_send_page": "10us"}
    counts, times = [], []
    for seed in range(1, 9):
        plan = snapped(
            vcpus=1, memory="16MiB", costs=costs, workload=workload, spec={"bandwidth": "100GB/s"},
            backing="4KiB", seed=seed,
        )  # fmt: skip
        phase, found = phase_of(simulate(plan))
        counts.append(found.waits.count)
        times.append(phase.ledger["snapshot_wait"] / 1e9)
    waits, lost = theory(writes * pages, page_s, pages)
    assert np.mean(counts) == pytest.approx(waits, rel=0.03)
    assert np.mean(times) == pytest.approx(lost, rel=0.03)
    other, _ = theory(writes * pages / 1.3, page_s, pages)
    assert np.mean(counts) != pytest.approx(other, rel=0.03), "control: another rate"


def balance(classes: list[tuple[float, float]], page_s: float, steps: int = 4000) -> float:
    """Pages copied on a fault of a vCPU, where a page is written at the rate of its class, or
    reached in order at a rate that is the same for all pages that are left. A wait takes 1.5 pages.
    """
    left, rates = (np.array(column) for column in zip(*classes, strict=True))
    step, found, wait = page_s * left.sum() / steps, 0.0, 1.5 * page_s
    for _ in range(steps):
        writes = float((left * rates).sum())
        faults = writes / (1 + writes * wait)
        found += faults * step
        in_order = (1 / page_s - faults) / left.sum()
        left = left * np.exp(-(rates / (1 + writes * wait) + in_order) * step)
    return found


@pytest.mark.parametrize("way", ["in-order", "write-protect"])
def test_a_thread_that_keeps_its_place_meets_pages_by_a_balance(way: str) -> None:
    """Control: QEMU's thread goes on among hot neighbours, and so fewer pages are waited for."""
    classes = [(1024.0, 30.0), (3072.0, 2.0)]
    workload = {
        "pattern": "dirty-rate",
        "classes": [{"share": "25%", "writes": 30.0}, {"share": "75%", "writes": 2.0}],
    }
    counts = []
    for seed in range(1, 9):
        plan = snapped(
            vcpus=1, memory="16MiB", costs=FREE | {"c_send_page": "10us"}, workload=workload,
            spec={"bandwidth": "100GB/s"}, backing="4KiB", seed=seed, way={"rule": way},
        )  # fmt: skip
        counts.append(phase_of(simulate(plan))[1].on_fault)
    if way == "in-order":
        assert np.mean(counts) == pytest.approx(balance(classes, 10e-6), rel=0.06)
    else:
        assert np.mean(counts) < 0.85 * balance(classes, 10e-6)


def test_several_vcpus_wait_for_one_copy() -> None:
    one = {"pattern": "zipf", "accesses_per_page": 2.0, "writes": "100%", "exponent": 1.2}
    phase, found = phase_of(simulate(snapped(vcpus=4, workload=one, shared="100%", think="50ns")))
    assert found.waits.count > found.on_fault > 0
    assert phase.ledger["snapshot_wait"] == found.waits.total_ns


# --- pauses and the ledger -----------------------------------------------------------------------


def test_a_guest_that_is_stopped_waits_for_all_of_it() -> None:
    plan = snapped(think="500ns", **STOPPED)
    phase, found = phase_of(simulate(plan))
    assert found.pause_ns > found.spent["send"] > 8 * MIB * 4000
    assert (found.on_fault, found.flushes, phase.ledger["snapshot_wait"]) == (0, 0, 0)
    _, runs = phase_of(simulate(snapped(think="500ns")))
    assert runs.pause_ns < found.pause_ns / 5


@pytest.mark.parametrize("backing", ["2MiB", "4KiB"])
@pytest.mark.parametrize("more", [{}, STOPPED], ids=["write-protect", "stopped"])
def test_the_time_of_the_thread_and_of_the_vcpus_is_charged(
    more: dict[str, Any], backing: str
) -> None:
    phase, found = phase_of(simulate(snapped(backing=backing, lead="1ms", tail="1ms", **more)))
    assert sum(found.spent.values()) == found.end_ns - found.start_ns
    assert sum(phase.ledger.values()) == phase.vcpu_ns
    assert phase.ledger["paused"] <= 2 * found.pause_ns


def test_a_huge_page_of_the_host_is_protected_at_once_and_split_once() -> None:
    """The pause grows with the pages of the host, and what is split stays so."""
    costs = FREE | {"c_uffd_protect": "1us", "c_uffd_split": "100us"}
    large, small = (
        simulate(snapped(costs=costs, backing=backing, idle=True, after=({"do": "write"},)))
        for backing in ("2MiB", "4KiB")
    )
    assert phase_of(large)[1].spent["protect"] == 4 * 1000
    assert phase_of(small)[1].spent["protect"] == 8 * MIB * 1000
    assert phase_of(large)[1].spent["release"] == 4 * 100_000
    assert phase_of(small)[1].spent.get("release", 0) == 0
    assert large.counters["pages_2m"] == 0 < large.counters["pages_4k"]


def test_metrics_of_a_snapshot() -> None:
    found = measure(simulate(snapped(windows=[{"name": "w", "from": "pause", "lasts": "1ms"}])))
    values = found.values
    assert values["copied_on_fault"] + values["copied_in_order"] == 8 * MIB
    assert values["snapshot_pause"] < values["snapshot_time"]
    assert 0 < values["p50_snapshot_wait"] <= values["max_snapshot_wait"]
    assert any("paused for" in line for line in found.story)


def test_windows_may_be_of_the_copying() -> None:
    windows = [{"name": "copy", "from": "copy-memory", "to": "end of copy-memory"}]
    trace = simulate(snapped(windows=windows))
    (window,), (_, found) = trace.windows, phase_of(trace)
    assert (window.start_ns, window.end_ns) == (found.resumed_ns, found.end_ns)


def test_how_many_pages_are_prepared_at_once_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A fault interrupts what was prepared, so this decides the time of the simulator alone."""
    plan = snapped(lead="300us", workload=RATE, spec={"zero_pages": "20%"})

    def prepared(most: int) -> tuple[str, SnapshotTrace]:
        monkeypatch.setattr(snapshot, "MOST_AT_ONCE", most)
        trace = simulate(plan, engine=SIMPY)
        return trace.fingerprint, phase_of(trace)[1]

    usual = prepared(snapshot.MOST_AT_ONCE)
    assert usual[1].on_fault > 20
    assert [prepared(most) for most in (2, 7, plan.pages)] == [usual] * 3
    other = snapped(lead="300us", workload=RATE, spec={"zero_pages": "30%"})
    assert simulate(other, engine=SIMPY).fingerprint != usual[0], "control"


# --- engines -------------------------------------------------------------------------------------


@pytest.mark.parametrize("backing", ["2MiB", "4KiB"])
@pytest.mark.parametrize("workload", [UNIFORM, RATE, SERVICE], ids=["accesses", "rates", "service"])
@pytest.mark.parametrize("policy", ["linux-6.13", "linux-6.13+pml", "linux-5.4", "none"])
def test_the_engines_agree(policy: str, workload: dict[str, Any], backing: str) -> None:
    plan = snapped(
        policy, workload=workload, backing=backing, lead="700us", tail="300us",
        spec={"zero_pages": "20%"}, after=({"do": "write"},),
    )  # fmt: skip
    simpy, compiled = (simulate(plan, engine=engine) for engine in (SIMPY, COMPILED))
    assert simpy.fingerprint == compiled.fingerprint
    assert simpy.phases == compiled.phases


# --- ways ----------------------------------------------------------------------------------------


def test_where_the_thread_goes_on_and_what_ways_there_are() -> None:
    assert WriteProtect().goes_on(70, 20) == 71
    assert InOrder().goes_on(70, 20) == 20
    assert (WriteProtect.runs, Stopped.runs) == (True, False)
    assert {"in-order", "stopped", "write-protect"} <= set(snapshot_ways())
    assert all(one.summary() for one in snapshot_ways().values())


@pytest.mark.parametrize("answer", [-5, 8 * MIB + 1])
def test_a_way_that_says_what_cannot_be_is_told(
    monkeypatch: pytest.MonkeyPatch, answer: int
) -> None:
    def wrong(self: SnapshotWay, page: int, cursor: int) -> int:
        del self, page, cursor
        return answer

    monkeypatch.setattr(WriteProtect, "goes_on", wrong)
    with pytest.raises(ConfigError, match=rf"goes_on of write-protect = {answer}.*test_snapshots"):
        simulate(snapped())


# --- wrong input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"qemu": "5.2"}, "came in QEMU 6.0"),
        ({"backing": "1GiB", "memory": "1GiB"}, "not modelled for host pages of 1 GiB"),
        ({"spec": {"multifd-channels": 4}}, "one thread copies"),
        ({"way": {"rule": "copy-on-write"}}, "in-order, stopped, write-protect"),
        ({"background": True}, "runs beside this phase anyway"),
        ({"lead": "-1ms"}, "lead"),
    ],
)
def test_wrong_input_is_told(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        snapped(**wrong)
    snapped()


def test_logging_must_be_off() -> None:
    with pytest.raises(ConfigError, match="put disable-logging before it"):
        setting([{"do": "write"}, {"do": "enable-logging"}, {"do": "snapshot"}])
