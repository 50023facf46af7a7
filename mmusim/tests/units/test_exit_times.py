"""Exits are paired per vCPU, never across a loss; a mean is written as a mean and no more."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from mmusim.base.errors import ConfigError
from mmusim.calibration.exit_times import FAULTS, exits_of
from mmusim.calibration.foreign_fit import fits_of, foreign_profile
from mmusim.cli import app
from mmusim.config.host import HostProfile, load_profile
from mmusim.config.load import check

HEAD = "# tracer: nop\n#\n"
TABLE = """\

Analyze events for all VMs, all VCPUs:

             VM-EXIT    Samples  Samples%     Time%    Min Time    Max Time         Avg time

       EPT_VIOLATION    1000000    78.20%    40.11%      0.90us    400.30us      1.50us ( +-   0.20% )
                 HLT      91203     6.80%    58.90%      1.10us 250102.10us     23.71us ( +-   3.11% )
            PML_FULL       2048     0.15%     0.31%      3.01us     44.10us      5.62us ( +-   0.80% )

Total Samples:1340850, Total events handled time:3687221.11us.
"""  # noqa: E501


def line(thread: int, us: float, event: str, rest: str = "", cpu: int = 0) -> str:
    return f"  CPU 0/KVM-{thread}   [{cpu:03d}] d..1. {9 + us / 1e6:.6f}: {event}: {rest}\n"


def left(thread: int, us: float, reason: str = "EPT_VIOLATION") -> str:
    return line(thread, us, "kvm_exit", f"vcpu 0 reason {reason} rip 0xffff info1 0x182")


def entered(thread: int, us: float) -> str:
    return line(thread, us, "kvm_entry", "vcpu 0, rip 0xffff")


def times_of(text: str) -> dict[str, list[float]]:
    return {one.name: one.data.samples.tolist() for one in exits_of(text, "t")}


def note_of(text: str) -> str:
    return exits_of(text, "t")[0].data.note


def test_each_thread_has_its_own_pairs() -> None:
    """Two machines may both have a vCPU 0. Control: one thread would give other times."""
    text = HEAD + left(1, 1) + left(2, 2) + entered(1, 4) + entered(2, 9)
    assert times_of(text) == {"EPT_VIOLATION": [3_000, 7_000]}
    assert times_of(text.replace("KVM-2", "KVM-1")) == {"EPT_VIOLATION": [2_000]}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40)), min_size=1, max_size=40))
def test_however_vcpus_interleave_their_times_are_kept(exits: list[tuple[int, int]]) -> None:
    now = dict.fromkeys(range(4), 0)
    events: list[tuple[int, int, int, str]] = []
    for number, (thread, lasts) in enumerate(exits):
        begin = now[thread] + 5
        now[thread] = begin + lasts
        events.append((begin, number, 0, left(thread + 1, begin)))
        events.append((begin + lasts, number, 1, entered(thread + 1, begin + lasts)))
    text = "".join(text for *_, text in sorted(events))
    got = sorted(times_of(text)["EPT_VIOLATION"])
    assert got == pytest.approx(sorted(1_000.0 * lasts for _, lasts in exits))


@pytest.mark.parametrize(
    "loss",
    ["CPU:3 [LOST 7 EVENTS]\n", "CPU:3 [7 EVENTS DROPPED]\n", "##### CPU 3 buffer started ####\n"],
)
def test_no_pair_reaches_across_a_loss(loss: str) -> None:
    before, after = HEAD + left(1, 1), entered(1, 900) + left(1, 901) + entered(1, 903)
    assert times_of(before + loss + after) == {"EPT_VIOLATION": [2_000]}
    assert times_of(before + after) == {"EPT_VIOLATION": [899_000, 2_000]}, "control"
    assert "2 exits or entries without a partner" in note_of(before + loss + after)
    assert ("7 events were lost" in note_of(before + loss + after)) == ("7" in loss)


def test_an_exit_without_its_entry_is_left_out() -> None:
    """Control: the time from the first exit to the entry is not among the samples."""
    text = HEAD + left(1, 1) + left(1, 50) + entered(1, 52)
    assert times_of(text) == {"EPT_VIOLATION": [2_000]}
    assert "1 exits or entries" in note_of(text)


def test_events_that_were_overwritten_are_said() -> None:
    text = "# entries-in-buffer/entries-written: 10/35   #P:8\n" + left(1, 1) + entered(1, 2)
    assert "25 events were lost" in note_of(text)


@pytest.mark.parametrize(
    ("layout", "ns"),
    [
        ("CPU 0/KVM-7 (   5) [001] d..1. 9.000001: kvm_{}\n", 2_000),  # with the thread group
        ("CPU 0/KVM-7 [001]  9.000001: kvm_{}\n", 2_000),  # trace-cmd report
        ("CPU 0/KVM     7 [001]  9.000001:            kvm:kvm_{}\n", 2_000),  # perf script
        ("CPU 0/KVM  5/7 [001]  9.000001:   kvm:kvm_{}\n", 2_000),
        ("CPU 0/KVM-7 [001] d..1 9.000000500: kvm_{}\n", 2_500),  # in nanoseconds, older flags
    ],
)
def test_every_layout_of_a_line_is_read(layout: str, ns: int) -> None:
    out = layout.format("exit: reason npf rip 0x1 info 100000006 0")
    back = layout.format("entry: vcpu 0").replace("000001", "000003").replace("0000005", "000003")
    assert times_of(out + back) == {"npf": [ns]}


def test_what_user_space_answered_is_no_fault_that_kvm_fixed() -> None:
    plain = left(1, 1) + entered(1, 3)
    mmio = left(1, 10) + line(1, 11, "kvm_mmio", "mmio write len 4") + entered(1, 60)
    assert times_of(plain + mmio) == {"EPT_VIOLATION": [2_000], "EPT_VIOLATION+emulated": [50_000]}
    assert [one.costs for one in exits_of(plain + mmio, "t")] == [FAULTS, ()]


def test_fast_faults_are_told_apart_where_they_are_recorded() -> None:
    def fixed(us: float, how: int) -> str:
        rest = f"vcpu 0 gva 1 error_code W sptep 1 old 0x1 new 3 spurious 0 fixed {how}"
        return line(1, us, "fast_page_fault", rest)

    fast = left(1, 1) + fixed(2, 1) + entered(1, 3)
    slow = left(1, 10) + fixed(11, 0) + entered(1, 15)
    assert times_of(fast + slow) == {"EPT_VIOLATION+fast": [2_000], "EPT_VIOLATION": [5_000]}
    costs = {one.name: one.costs for one in exits_of(fast + slow, "t")}
    assert costs == {"EPT_VIOLATION+fast": ("c_fault_fast",), "EPT_VIOLATION": ("c_fault_slow",)}
    assert "fast and slow faults alike" not in note_of(fast + slow)
    assert "fast and slow faults alike" in note_of(left(1, 1) + entered(1, 3)), "control"


def test_a_fault_cost_takes_the_exits_of_faults_and_others_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text(HEAD + left(1, 1) + entered(1, 3) + left(1, 9, "HLT") + entered(1, 99))
    (fitted, *_) = fits_of(f"c_fault_slow={path}")
    assert fitted.observations == 1
    assert "without the processor's own switches; time stamps of 1 us" in fitted.about
    with pytest.raises(ConfigError, match=r"NAME with one of EPT_VIOLATION, HLT$"):
        fits_of(f"c_exit={path}")
    halted = fits_of(f"c_exit={path}:HLT", implausible=True)[0]
    assert float(halted.distribution.quantile(0.5)) == 90_000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD, "has no event of KVM that can be read"),
        (HEAD + left(1, 1), "has no kvm_exit with a reason and a kvm_entry"),
        (HEAD + entered(1, 1) + left(1, 2), "has no kvm_exit with a reason and a kvm_entry"),
        (HEAD + "CPU 0/KVM-1 [0] d..1. 81244221: kvm_exit: reason HLT\n", "is not in seconds"),
        (TABLE.replace("us", ""), "has no whole row"),
        (TABLE.replace(".", ","), "has no whole row"),
        (TABLE.split("   0.90us")[0], "has no whole row"),
    ],
)
def test_what_cannot_be_read_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        exits_of(text, "t")


def test_a_mean_is_written_as_a_constant_with_its_interval(tmp_path: Path) -> None:
    """1.96 standard errors of 3 ns, and half of the last digit: 5 ns. No shape is offered."""
    path = tmp_path / "stat.txt"
    path.write_text(TABLE)
    (fitted,) = fits_of(f"c_fault_slow={path}")
    assert (fitted.shape, fitted.value, fitted.ks, fitted.observations) == (
        "constant", "1500ns", None, 1_000_000,
    )  # fmt: skip
    profile = foreign_profile({"c_fault_slow": fitted}, "t", "skylake-2021")
    cost = check(tomllib.loads(tomli_w.dumps(profile)), HostProfile, "t").costs["c_fault_slow"]
    assert cost.certainty is not None
    assert (cost.certainty.low, cost.certainty.high) == (1_489, 1_511)
    assert cost.certainty.samples == 1_000_000
    assert "minimum 900 ns, maximum 400.3 us; fast and slow faults alike" in cost.note


def test_rows_that_are_cut_are_left_out_and_the_others_taken(tmp_path: Path) -> None:
    path = tmp_path / "stat.txt"
    path.write_text(TABLE.split("     5.62us")[0])
    assert fits_of(f"c_fault_slow={path}")[0].value == "1500ns"
    with pytest.raises(ConfigError, match="it has EPT_VIOLATION, HLT"):
        fits_of(f"c_exit={path}:PML_FULL")
    path.write_text(TABLE)
    assert fits_of(f"c_exit={path}:PML_FULL", implausible=True)[0].value == "5620ns", "control"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("1.50us (", "0.50us (", "must lie between minimum and maximum"),
        ("EPT_VIOLATION", "IO_INSTRUCTION", "NAME with one of IO_INSTRUCTION, HLT, PML_FULL"),
        ("0.90us    400.30us      1.50us", "0.90ms    400.30ms      1.50ms", "--implausible"),
        ("Total Samples", TABLE + "Total", "has 'EPT_VIOLATION' 2 times"),
    ],
)
def test_tables_that_contradict_or_are_ambiguous(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "stat.txt"
    path.write_text(TABLE.replace(old, new))
    with pytest.raises(ConfigError, match=message):
        fits_of(f"c_fault_slow={path}")


def test_the_verb_says_what_the_times_include_and_that_no_shape_is_known(tmp_path: Path) -> None:
    path, to = tmp_path / "stat.txt", tmp_path / "p.toml"
    path.write_text(TABLE)
    done = CliRunner().invoke(app, ["fit", f"c_fault_slow={path}", "--to", str(to)])
    assert done.exit_code == 0
    assert "from kvm_exit to kvm_entry" in done.stderr
    assert "a mean says nothing of the shape" in done.stderr
    assert load_profile(str(to)).costs["c_fault_slow"].distribution().mean() == 1_500
    path.write_text(HEAD + left(1, 1) + entered(1, 3))
    done = CliRunner().invoke(app, ["fit", f"c_fault_slow={path}", "--to", str(to)])
    assert done.exit_code == 0
    assert "a mean says nothing" not in done.stderr, "control"
