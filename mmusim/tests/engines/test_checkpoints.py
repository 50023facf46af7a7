"""Checkpoints: nothing that was written is missed, pauses close with the ledger, engines agree."""

from __future__ import annotations

from typing import Any

import pytest

from mmusim.base.errors import ConfigError, LostWriteError
from mmusim.config.checkpoint import Checkpoint
from mmusim.costs.random_streams import Ints
from mmusim.engine import simulate
from mmusim.engine.choice import COMPILED, SIMPY
from mmusim.metrics.checkpoints import of_checkpoints
from mmusim.metrics.measure import measure
from mmusim.mmu import slot as mmu
from mmusim.plan.make import Plan, make_plan
from mmusim.tests.support.migrations import FREE, policy_beside
from mmusim.tests.support.settings import SOUND, kernel_of, setting
from mmusim.trace.checkpoints import CheckpointsTrace, CheckpointTrace
from mmusim.trace.records import PhaseTrace, Probe, Trace

SOUND_LOGS = [policy for policy in SOUND if policy != "none"]
MS = 10**6
UNIFORM = {"pattern": "uniform", "accesses_per_page": 2.0, "writes": "30%"}


def checkpointed(
    policy: str = "linux-6.13", *, vcpus: int = 2, workload: dict[str, Any] | None = None,
    costs: dict[str, Any] | None = None, windows: list[Any] | None = None, idle: bool = False,
    think: str = "5us", **phase: Any,
) -> Plan:  # fmt: skip
    """A guest of 8 MiB and its checkpoints."""
    clock = {} if "after" in phase else {"every": "5ms"}
    work = {} if idle else {"workload": "work", "think": think}
    made = setting(
        [{"do": "write"}, {"do": "checkpoint", "times": 6} | clock | work | phase],
        vcpus=vcpus,
        memory="8MiB",
        costs=costs,
        workloads={"work": workload or UNIFORM},
        vm={"kernel": kernel_of(policy)},
        policies={"baseline": policy, "compare": [policy_beside(policy)]},
        driver={"migration": {"bandwidth": "1GB/s"}, "windows": windows or []},
    )
    return make_plan(made, policy, 1)


def phase_of(trace: Trace) -> tuple[PhaseTrace, CheckpointsTrace]:
    phase = next(phase for phase in trace.phases if phase.do == "checkpoint")
    assert phase.checkpoints is not None
    return phase, phase.checkpoints


# --- nothing is missed ---------------------------------------------------------------------------


class Copies(Probe):
    """What was written between two pauses, and what the pause copied."""

    def __init__(self) -> None:
        self.written: set[int] = set()
        self.copies: list[set[int]] = []
        self.epochs: list[set[int]] = []
        self.copying = False

    def accessed(self, cpu: int, gfns: list[int], writes: list[bool], end_ns: int) -> None:
        self.copying = False
        self.written |= {gfn for gfn, write in zip(gfns, writes, strict=True) if write}

    def copied(self, gfns: list[int]) -> None:
        if not self.copying:
            self.epochs.append(self.written)
            self.copies.append(set())
        self.copying, self.written = True, set()
        self.copies[-1] |= set(gfns)


@pytest.mark.parametrize("buffered", [False, True], ids=["sent", "buffered"])
@pytest.mark.parametrize("policy", SOUND_LOGS)
def test_a_checkpoint_copies_what_was_written_since_the_one_before(
    policy: str, buffered: bool
) -> None:
    probe = Copies()
    plan = checkpointed(policy, buffered=buffered, every="20ms")
    phase, found = phase_of(simulate(plan, probe=probe, engine=SIMPY))
    epochs, copies = probe.epochs[-6:], probe.copies[-6:]
    assert sum(map(len, epochs)) > 100
    assert all(written <= copied for written, copied in zip(epochs, copies, strict=True))
    assert [one.pages for one in found.made] == [len(copied) for copied in copies]
    more = sum(len(copied - written) for written, copied in zip(epochs, copies, strict=True))
    assert more == phase.false_dirty  # reads of old kernels, writes that a stop came before


def test_a_log_that_forgets_a_page_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control."""
    right = mmu.fetch_dirty

    def forgets(table: Any, slot: Any) -> Ints:
        found = right(table, slot)
        some = 0 < len(found) < slot.npages
        mmu.clear_dirty(table, found[-1:] if some else found[:0])
        return found[:-1] if some else found

    monkeypatch.setattr(mmu, "fetch_dirty", forgets)
    with pytest.raises(LostWriteError):
        simulate(checkpointed(), engine=SIMPY)


def test_an_idle_guest_has_nothing_to_copy() -> None:
    phase, found = phase_of(simulate(checkpointed(idle=True)))
    assert [one.pages for one in found.made] == [0] * 6
    assert phase.vcpu_ns == 0


# --- pauses and the ledger -----------------------------------------------------------------------


@pytest.mark.parametrize("buffered", [False, True], ids=["sent", "buffered"])
def test_pauses_close_with_the_ledger(buffered: bool) -> None:
    """On a free host a vCPU stops at once, so each loses all of every pause and nothing else."""
    costs = FREE | {"c_checkpoint": "1ms", "c_send_page": "600ns"}
    phase, found = phase_of(simulate(checkpointed(costs=costs, buffered=buffered, vcpus=3)))
    pauses = sum(one.pause_ns for one in found.made)
    pages = sum(one.pages for one in found.made)
    assert phase.ledger["paused"] == 3 * pauses
    assert pages > 100
    if buffered:  # a pause is the stop and the copies
        assert abs(pauses - 6 * MS - 600 * pages) <= 6
    else:  # 1 GB/s is a byte a nanosecond, and the rate of the network varies
        assert pauses - 6 * MS == pytest.approx(pages * (4096 + 8), rel=0.2)


@pytest.mark.parametrize("policy", SOUND_LOGS)
def test_the_time_of_the_thread_and_of_the_vcpus_is_charged(policy: str) -> None:
    hot = {"pattern": "hot-cold", "accesses_per_page": 2.0, "writes": "50%"}
    plan = checkpointed(policy, buffered=True, workload=hot)
    phase, found = phase_of(simulate(plan))
    assert sum(found.spent.values()) == found.end_ns - found.began_ns
    assert sum(phase.ledger.values()) == phase.vcpu_ns
    stopped = sum(one.pause_ns for one in found.made)
    assert 0.5 * stopped < phase.ledger["paused"] / plan.vcpus <= stopped


# --- when they begin -----------------------------------------------------------------------------


def test_a_grid_and_a_gap() -> None:
    grid = Checkpoint.model_validate({"do": "checkpoint", "every": "10ms"})
    assert grid.due_ns(0, 0, 0) == 10 * MS
    assert grid.due_ns(0, 10 * MS, 13 * MS) == 20 * MS
    assert grid.due_ns(0, 20 * MS, 45 * MS) == 30 * MS  # late: it begins at once
    assert grid.due_ns(0, 45 * MS, 47 * MS) == 50 * MS  # and the next on the grid
    gap = Checkpoint.model_validate({"do": "checkpoint", "after": "10ms"})
    assert gap.due_ns(0, 20 * MS, 45 * MS) == 55 * MS


def test_a_pause_longer_than_the_interval_makes_the_next_late() -> None:
    costs = FREE | {"c_checkpoint": "7ms"}
    late = phase_of(simulate(checkpointed(costs=costs, every="5ms")))[1]
    assert all(one.start_ns > one.due_ns for one in late.made[1:])
    on_time = phase_of(simulate(checkpointed(costs=costs, every="20ms")))[1]
    assert [one.start_ns for one in on_time.made] == [one.due_ns for one in on_time.made]
    gap = phase_of(simulate(checkpointed(costs=costs, after="5ms")))[1]
    pairs = zip(gap.made, gap.made[1:], strict=False)
    assert all(b.start_ns == a.arrived_ns + 5 * MS for a, b in pairs)


def test_a_buffer_shortens_the_pause_and_not_the_transfer() -> None:
    sent, buffered = (
        measure(simulate(checkpointed(buffered=one, think="1us"))).values for one in (False, True)
    )
    assert buffered["mean_checkpoint_pause"] < 0.7 * sent["mean_checkpoint_pause"]
    per_page = [v["mean_checkpoint_transfer"] / v["checkpoint_pages"] for v in (sent, buffered)]
    assert per_page[0] == pytest.approx(per_page[1], rel=0.1)


# --- metrics -------------------------------------------------------------------------------------


def test_metrics_of_two_checkpoints() -> None:
    made = (
        CheckpointTrace(100, 100, 130, 150, pages=7, sent_bytes=70, sending_ns=20),
        CheckpointTrace(200, 210, 220, 260, pages=9, sent_bytes=90, sending_ns=40),
    )
    values = of_checkpoints(CheckpointsTrace(began_ns=0, end_ns=300, made=made, spent={}))
    assert values == {
        "checkpoints": 2, "mean_checkpoint_pause": 20, "max_checkpoint_pause": 30,
        "paused_share": 40 / 220, "mean_checkpoint_transfer": 30, "max_checkpoint_transfer": 40,
        "checkpoint_pages": 8, "checkpoint_lateness": 5,
        "recovery_point": 160,  # from the stop at 100 to 260
        "output_delay": (100 * (50 + 50) + 80 * (40 + 50)) / 180,
    }  # fmt: skip


def test_windows_may_begin_with_a_pause() -> None:
    windows = [{"name": "third", "from": "pause 3", "to": "end of pause 3"}]
    trace = simulate(checkpointed(windows=windows))
    (window,), (_, found) = trace.windows, phase_of(trace)
    assert (window.start_ns, window.end_ns) == (found.made[2].start_ns, found.made[2].resumed_ns)


# --- engines -------------------------------------------------------------------------------------

RATE = {"pattern": "dirty-rate", "dirty_rate": "50MB/s", "over": "10ms", "working_set": "60%"}
SERVICE = {
    "pattern": "open-loop-requests", "requests": 2000, "interarrival": "20us",
    "arrivals": "poisson", "touches": 4, "writes": "30%",
}  # fmt: skip


@pytest.mark.parametrize("workload", [UNIFORM, RATE, SERVICE], ids=["accesses", "rates", "service"])
@pytest.mark.parametrize(
    "policy", ["linux-6.13", "linux-6.13+pml", "linux-6.13+initially-all-set", "dirty-ring"]
)
def test_the_engines_agree(policy: str, workload: dict[str, Any]) -> None:
    think = "0ns" if "dirty_rate" in workload else "2us"
    plan = checkpointed(policy, workload=workload, buffered=policy == "linux-6.13", think=think)
    simpy, compiled = (simulate(plan, engine=engine) for engine in (SIMPY, COMPILED))
    assert simpy.fingerprint == compiled.fingerprint
    assert phase_of(simpy)[1] == phase_of(compiled)[1]
    assert simpy.phases == compiled.phases


# --- wrong input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"after": "1ms"}, "one clock"),
        ({"every": "0ns"}, "must be more than 0"),
        ({"times": 0}, "must be at least 1"),
        ({"background": True}, "runs beside this phase anyway"),
        ({"workload": "nobody"}, "nobody"),
    ],
)
def test_wrong_input_is_told(wrong: dict[str, Any], words: str) -> None:
    phase = {"do": "checkpoint", "every": "5ms", "workload": "work"} | wrong
    with pytest.raises(ConfigError, match=words):
        setting([{"do": "write"}, phase], workloads={"work": UNIFORM})


def test_a_policy_that_logs_nothing_has_no_checkpoints() -> None:
    with pytest.raises(ConfigError, match="needs to know what is dirty"):
        setting(
            [{"do": "checkpoint", "every": "5ms"}],
            policies={"baseline": "none", "compare": ["linux-6.13"]}, vm={"kernel": "linux-6.13"},
        )  # fmt: skip
