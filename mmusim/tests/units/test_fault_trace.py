"""Faults of a real guest become a trace: pages, writes and the time between, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmusim.base.errors import ConfigError
from mmusim.costs.random_streams import Draws, uniforms
from mmusim.tests.support.command_line import mmusim_here
from mmusim.workload.fault_trace import is_faults, parse_faults
from mmusim.workload.replay import Replay
from mmusim.workload.trace_file import PageTrace, read_trace

TABLE = "gfn,time_us,vcpu,write\n900,10.0,0,1\n0x10,12.5,0,0\n900,13.0,0,1\n"
HEAD = "# tracer: nop\n"


def of(text: str, vcpu: str = "", unit: str = "") -> PageTrace:
    return parse_faults(text, "t", {}, vcpu, unit)[0]


def line(thread: int, us: float, event: str, rest: str) -> str:
    return f"  CPU 0/KVM-{thread} [003] d..1. {9 + us / 1e6:.6f}: {event}: {rest}\n"


def fault(thread: int, us: float, gfn: int, code: int = 0x182, handling: int = 4) -> str:
    address = f"vcpu 0 rip 0xffff address 0x{gfn << 12:016x} error_code 0x{code:x}"
    return (
        line(thread, us, "kvm_exit", "vcpu 0 reason EPT_VIOLATION rip 0xffff")
        + line(thread, us + 1, "kvm_page_fault", address)
        + line(thread, us + handling, "kvm_entry", "vcpu 0, rip 0xffff")
    )


def test_a_table_gives_pages_writes_and_times() -> None:
    """Pages are numbered by address; half a nanosecond is an instruction."""
    trace = of(TABLE)
    assert trace.page.tolist() == [1, 0, 1]
    assert trace.write.tolist() == [True, False, True]
    assert trace.at.tolist() == [0, 5_000, 6_000]


def test_times_become_think_times(tmp_path: Path) -> None:
    """Replay at its default waits between two faults as long as the guest did."""
    (tmp_path / "f.csv").write_text(TABLE)
    to = tmp_path / "f.trace.xz"
    done = mmusim_here("workload", "import", tmp_path / "f.csv", "--to", to)
    assert done.returncode == 0, done.stderr
    replay = Replay.model_validate({"pattern": "replay", "trace": str(to)})
    draws = Draws(1)
    made = replay.accesses(0, 8, lambda p, first, n: uniforms(draws.key(f"{p}0", 0), first, n))
    assert made.think is not None
    assert made.think.tolist() == [0, 2_500, 500]
    assert made.write.tolist() == [True, False, True]
    slower = replay.model_copy(update={"instruction_time": 1.0})
    again = slower.accesses(0, 8, lambda p, first, n: uniforms(draws.key(f"{p}0", 0), first, n))
    assert again.think is not None
    assert again.think.tolist() == [0, 5_000, 1_000], "control"


def test_handling_a_fault_is_no_work_of_the_guest() -> None:
    """From entry to exit: 6 us and 16 us, whether a fault took long or not."""
    short = fault(1, 0, 7) + fault(1, 10, 9, 0x181) + fault(1, 30, 7)
    trace = of(HEAD + short)
    assert trace.at.tolist() == [0, 12_000, 44_000]
    assert trace.write.tolist() == [True, False, True]
    long = fault(1, 0, 7) + fault(1, 10, 9, 0x181, 50) + fault(1, 76, 7)
    assert of(HEAD + long).at.tolist() == trace.at.tolist()
    bare = "".join(one for one in (HEAD + short).splitlines(True) if "kvm_entry" not in one)
    assert of(bare).at.tolist() == [0, 20_000, 60_000], "control: unknown, so not left out"


def test_several_vcpus_are_asked_for() -> None:
    text = HEAD + fault(11, 0, 7) + fault(12, 20, 8) + fault(11, 40, 9)
    with pytest.raises(ConfigError, match="choose one of 11, 12, or all"):
        of(text)
    assert of(text, "11").page.tolist() == [0, 1]
    assert of(text, "all").page.tolist() == [0, 1, 2]
    with pytest.raises(ConfigError, match="has no fault; it has those of 11, 12"):
        of(text, "3")
    rows = "gfn,time_us,vcpu\n1,1,0\n2,2,1\n"
    with pytest.raises(ConfigError, match="choose one of 0, 1, or all"):
        of(rows)
    assert of(rows.replace("2,2,1", "2,2,0")).page.tolist() == [0, 1], "control"


def test_what_was_assumed_or_lost_is_said() -> None:
    said = parse_faults("gfn,time_us\n1,1\n2,2\n", "t", {})[1]
    assert said == ("assumed: every fault is a write; there is no column write",)
    with pytest.raises(ConfigError, match="no line end after line 4, so it may be cut"):
        parse_faults("gfn,time_us\n1,1\n2,2\n3", "t", {})
    assert parse_faults(TABLE, "t", {})[1] == (), "control"
    lost = HEAD + fault(1, 0, 7) + "CPU:3 [LOST 5 EVENTS]\n" + fault(1, 20, 8)
    trace, said = parse_faults(lost, "t", {})
    assert "5 events were lost" in said
    assert "5 events were lost" in trace.facts["faults"]


@pytest.mark.parametrize(
    ("text", "unit", "message"),
    [
        ("1,2\n3,4\n", "", "has no header with one column for the page and one for the time"),
        ("gfn,time_us,time_ns\n1,1,1\n", "", "one for the time"),
        ("gfn,time\n1,1\n", "", "unit: of the time is not said; name the column time_ns"),
        ("gfn,time_us\n1,1\n", "ms", "contradicts the header"),
        ("gfn,time\n1,1\n", "weeks", "is not one of ns"),
        ("gfn,time_us\n1,1\n13a4f,2\n", "", "in row 3"),
        ("gfn,time_us,write\n1,1,maybe\n", "", "in row 2"),
        ("gfn,time_us\n1,-1\n", "", "in row 2"),
        ("gfn,time_us\n1,nan\n", "", "in row 2"),
        ("gfn,time_us\n", "", "has no fault"),
        ("gfn,time_s\n1,1\n2,9\n", "", "has a pause of 8 s; a trace keeps up to 2.15 s"),
        (HEAD + line(1, 1, "kvm_page_fault", "address 7f0012345678 error_code 4"), "",
         "not known to be guest physical"),
        (HEAD + line(1, 1, "kvm_exit", "vcpu 0 reason HLT"), "", "has no kvm_page_fault"),
        (HEAD + fault(1, 0, 7), "us", "makes no difference"),
    ],
)  # fmt: skip
def test_what_is_ambiguous_or_wrong_is_refused(text: str, unit: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        of(text, unit=unit)


def test_a_unit_and_an_address_are_read() -> None:
    assert of("gpa;time\n0x13a4f2000;1\n0x13a4f3000;2\n", unit="ms").at.tolist() == [0, 2_000_000]
    assert of("gpa,time_ns\n4096,0\n4100,1\n").footprint == 1
    assert of("gfn,time_ns\n4096,0\n4100,1\n").footprint == 2, "control"


def test_the_verb_tells_faults_from_the_output_of_lackey(tmp_path: Path) -> None:
    faults, lackey = tmp_path / "f.txt", tmp_path / "l.txt"
    faults.write_text(HEAD + fault(1, 0, 7) + fault(1, 10, 9))
    lackey.write_text("I  04016b80,3\n S 1ffefffe48,8\n")
    assert (is_faults(faults), is_faults(lackey), is_faults(tmp_path)) == (True, False, False)
    to = tmp_path / "t.trace.xz"
    done = mmusim_here("workload", "import", faults, "--to", to)
    assert done.returncode == 0, done.stderr
    assert "each vCPU is named by its thread" in done.stderr
    assert read_trace(to).page.tolist() == [0, 1]
    done = mmusim_here("workload", "import", lackey, "--to", to, "--vcpu", "1")
    assert (done.returncode, "makes no difference" in done.stderr) == (2, True)
    done = mmusim_here("workload", "import", faults, "--to", to, "--quantum", 9)
    assert (done.returncode, "makes no difference for faults" in done.stderr) == (2, True)
    done = mmusim_here("workload", "import", lackey, "--to", to)
    assert done.returncode == 0, done.stderr
