"""`mmusim tlb-reach`: which runs count, what each TLB predicts, and the machine's own KVM."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from mmusim.base.errors import MmusimError
from mmusim.kvm.device import why_unusable
from mmusim.kvm.live_trace import LivePhase, LiveTrace
from mmusim.kvm.machine import this_machine
from mmusim.kvm.vcpu import Timed
from mmusim.policies import Mmu
from mmusim.validation.tlb_reach import ENABLE, measure_reach, measured_run, predict

MIB = 1 << 20
WHY_NOT = why_unusable(needs=("binary statistics",))


def _trace(lap: tuple[int, int]) -> LiveTrace:
    """A lap of five accesses on a clock of 2 GHz, and an enabling from 1000 to 5000 ns.

    The fourth access takes 4000 ns. The last one takes longer and began when logging was enabled.
    """
    starts = np.array([0, 200, 400, 600, 9200], np.uint64) + np.uint64(77)
    cycles = np.array([50, 60, 70, 8000, 20_000], np.uint32)
    guest = Timed(cycles, starts, lap[1] - lap[0], (), (lap,))
    phases = [LivePhase(do, "") for do in ("write", "run", "sleep", "enable-logging")]
    phases[1].guest = (guest,)
    phases[ENABLE].began, phases[ENABLE].ns = 1000, 4000
    phases[ENABLE].counters = {"pf_taken": 9, "pf_spurious": 2}
    return LiveTrace(tuple(phases), 2.0)


def test_only_an_enabling_within_the_lap_tells_something() -> None:
    run = measured_run(_trace((900, 16_000)))
    assert run is not None
    assert (run.longest_ns, run.share, run.faults) == (4000.0, 1.0, 7)
    assert run.access_ns == 100.0, "the median of 200, 200, 200 and 8600 cycles"
    for lap in ((1500, 16_000), (500, 4500), (0, 900), (5100, 9000)):
        assert measured_run(_trace(lap)) is None, "the vCPU was before or behind its lap"


@pytest.mark.parametrize(
    ("policy", "mmu"),
    [("linux-6.18+shadow+get-clears", Mmu.SHADOW), ("linux-6.18+get-clears", Mmu.TDP)],
)
def test_only_a_tlb_with_a_reach_meets_the_walk(policy: str, mmu: Mmu) -> None:
    """410 of 8,192 pages: more than 64 entries, fewer than 3,072, and used often before."""

    def of(tlb: str | int) -> tuple[float, int]:
        found = predict(policy, mmu, 32 * MIB, 0.05, tlb, walk_ns=200.0, access_ns=200.0)
        return found.share, found.faults

    small, large, unlimited = of(64), of(3072), of("unlimited")
    assert large == unlimited, "all that is in use fits, and nothing is lost"
    assert unlimited[1] == 0
    if mmu is Mmu.SHADOW:  # the write waits until the walk is over
        assert unlimited[0] < 0.1 < 0.9 < small[0] <= 1.05
        assert small[1] == 1
    else:  # it does not wait, so its number tells
        assert max(unlimited[0], small[0]) < 0.1
        assert small[1] > 30


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--memory", "3MiB"], "is not a whole number of 2 MiB regions from 16MiB to 4GiB"),
        (["--memory", "5"], "must be a number and a unit"),
        (["--part", "0%"], "--part = '0%': is no page of the memory"),
        (["--part", "101%"], "must lie between 0% and 100%"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    arguments: list[str],
    message: str,
    mmusim: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.close", lambda _: None)
    monkeypatch.setattr("mmusim.kvm.device.open_kvm", lambda needs: 0)
    status, _, err = mmusim("tlb-reach", *arguments)
    assert status == 2
    assert message in err


def test_a_processor_that_logs_writes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmusim.kvm.machine._is_on", lambda _: True)
    with pytest.raises(MmusimError, match="load kvm_intel with pml=0"):
        measure_reach(this_machine(), 512 * MIB)


@pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "usable")
def test_this_machine_is_measured(mmusim: Callable[..., tuple[int, str, str]]) -> None:
    if this_machine().pml:
        pytest.skip("the processor logs writes; load kvm_intel with pml=0")
    status, out, err = mmusim(
        "tlb-reach", "--memory", "64MiB", "--part", "50%", "--repeats", 1, "--json"
    )
    if "a lap of the vCPU was under way" in err:
        pytest.skip("other tasks kept the vCPU from its lap; run it on a quiet machine")
    assert status == 0, err
    (row,) = json.loads(out)["rows"]
    assert row["pages"] == 8192
    assert float(row["enabling_ms"]) > 0
    assert row["unlimited"] != row["tlb 64"]
