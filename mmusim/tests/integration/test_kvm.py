"""The machine's own KVM: counts are exact on any machine; times are never asserted."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mmusim.base.errors import ConfigError
from mmusim.calibration.samples import load_samples
from mmusim.cli import app
from mmusim.config.host import load_profile
from mmusim.config.settings import Setting
from mmusim.conformance.kernel_cases import as_line, read_cases
from mmusim.conformance.replay import replay
from mmusim.engine import simulate
from mmusim.kvm import abi, machine, memory
from mmusim.kvm import probe as probe_module
from mmusim.kvm.device import open_kvm, why_unusable
from mmusim.kvm.guest_code import GUEST_CODE, LISTING, source
from mmusim.kvm.live import run_live
from mmusim.kvm.machine import load_since, read_times, this_machine
from mmusim.kvm.measures import MEASURES
from mmusim.kvm.script import parse_script, random_scripts, run_script, shipped_scripts
from mmusim.kvm.vcpu import Vcpu
from mmusim.kvm.vm import Vm, count_bits
from mmusim.plan.make import make_plan
from mmusim.policies import Mmu
from mmusim.tests.support.settings import setting

MIB = 1 << 20
WHY_NOT = why_unusable(needs=("binary statistics", "manual dirty-log protect", "dirty ring"))
needs_kvm = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "usable")


def test_the_code_is_the_listing_assembled(tmp_path: Path) -> None:
    if not (shutil.which("as") and shutil.which("objcopy")):
        pytest.skip("as or objcopy is not installed; install the package binutils")
    (tmp_path / "guest.s").write_text(source())
    subprocess.run(["as", "guest.s", "-o", "guest.o"], cwd=tmp_path, check=True)
    command = ["objcopy", "-O", "binary", "-j", ".text", "guest.o", "guest.bin"]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert (tmp_path / "guest.bin").read_bytes() == GUEST_CODE


def test_addresses_of_the_listing_are_where_the_bytes_are() -> None:
    at = 0
    for line in LISTING.strip().splitlines():
        assert int(line[:4], 16) == at
        at += len(bytes.fromhex(line[6:22]))
    assert at == len(GUEST_CODE)


def test_a_machine_without_kvm_is_told_what_helps(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no KVM module is loaded; load kvm_intel or kvm_amd"):
        open_kvm(tmp_path / "kvm")
    with pytest.raises(ConfigError, match=r"is not KVM \(.*\); give /dev/kvm"):
        open_kvm(Path("/dev/null"))
    assert why_unusable(tmp_path / "kvm").count("\n") == 0, "one line"


@pytest.mark.parametrize(("number", "remedy"), [(13, "join the group"), (19, "enable VT-x or SVM")])
def test_each_error_has_its_remedy(
    number: int, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: object, flags: int) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("mmusim.kvm.device.os.open", refuse)
    monkeypatch.setattr("mmusim.kvm.device.platform.machine", lambda: "x86_64")
    assert remedy in why_unusable()


def test_another_architecture_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmusim.kvm.device.platform.machine", lambda: "aarch64")
    assert "use an x86-64 machine" in why_unusable()


def test_a_guest_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda: 100 * MIB)
    with pytest.raises(ConfigError, match="three quarters of the 100MiB that are available"):
        memory.Memory(80 * MIB)


@needs_kvm
def test_a_capability_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(abi.CAPABILITIES, "time travel", 100_000)
    with pytest.raises(ConfigError, match="lacks the capability 'time travel'"):
        open_kvm(needs=["time travel"])


def test_module_parameters_decide_the_mmu(tmp_path: Path) -> None:
    kvm, intel = tmp_path / "kvm" / "parameters", tmp_path / "kvm_intel" / "parameters"
    for folder in (kvm, intel):
        folder.mkdir(parents=True)
    (kvm / "tdp_mmu").write_text("Y\n")
    (kvm / "eager_page_split").write_text("N\n")
    (intel / "ept").write_text("Y\n")
    assert this_machine(kvm).mmu is Mmu.TDP
    assert this_machine(kvm).policy("get-clears").endswith("+tdp+get-clears+split-on-fault")
    (kvm / "tdp_mmu").write_text("N\n")
    assert this_machine(kvm).mmu is Mmu.LEGACY
    (intel / "ept").write_text("N\n")
    assert this_machine(kvm).mmu is Mmu.SHADOW
    assert this_machine(kvm).modules == ("kvm", "kvm_intel")


def test_other_tasks_are_seen_and_ours_are_not() -> None:
    before = read_times()
    stop = time.process_time() + 0.3
    while time.process_time() < stop:  # our own work is no disturbance
        pass
    ours = load_since(before)
    assert ours.others < 2 * (os.cpu_count() or 1)
    assert not machine.Load(10, 1.5, 0.0, 3).quiet
    assert "used 1.50 processors" in machine.Load(10, 1.5, 0.0, 3).warning()
    assert "took 0.25 processors" in machine.Load(10, 0.0, 0.25, 0).warning()
    assert machine.Load(10, 0.01, 0.0, 0).warning() == ""


@needs_kvm
def test_what_the_guest_writes_is_what_the_log_reports() -> None:
    with Vm(8 * MIB, 2048) as vm:
        v = Vcpu(vm, 0)
        vm.log(True)
        some = np.array([3, 700, 2047, 64, 65])
        run = v.access(some, np.array([True, False, True, True, True]))
        assert len(run.cycles) == 5
        assert (run.cycles > 0).all()
        assert (np.diff(run.starts.astype(np.int64)) > 0).all()
        assert run.span <= run.wall_ns * v.tsc_khz() / 1e6
        bits = vm.bitmap()
        vm.get_dirty(bits)
        reported = np.flatnonzero(np.unpackbits(bits.view(np.uint8), bitorder="little"))
        assert set(reported) - {700} == {3, 64, 65, 2047}
        vm.get_dirty(bits)
        assert count_bits(bits) == 0
        assert vm.data.words(4096 * 2047, 1)[0] == 2, "the guest wrote the number of the access"
        with pytest.raises(ValueError, match="give 1 to 2048"):
            v.access(np.zeros(4096, np.int64), np.zeros(4096, np.bool_))
        v.close()


@needs_kvm
def test_manual_clear_arms_only_what_it_is_asked_to() -> None:
    with Vm(4 * MIB, 1024, manual=1) as vm:
        v = Vcpu(vm, 0)
        pages = np.arange(1024)
        vm.log(True)
        v.access(pages, np.ones(1024, np.bool_), timed=False)
        bits = vm.bitmap()
        vm.get_dirty(bits)
        again = vm.bitmap()
        vm.get_dirty(again)
        assert count_bits(bits) == count_bits(again) == 1024, "a get does not clear"
        vm.clear_dirty(bits, 0, 512)
        vm.get_dirty(again)
        assert count_bits(again) == 512
        v.close()


@needs_kvm
def test_full_rings_are_harvested_until_every_page_is_known() -> None:
    with Vm(8 * MIB, 2048, ring_bytes=16384) as vm:
        v = Vcpu(vm, 0)
        vm.log(True)
        harvested = []

        def full() -> None:
            harvested.append(v.harvest())
            vm.reset_rings()

        run = v.access(np.arange(2048), np.ones(2048, np.bool_), when_full=full)
        harvested.append(v.harvest())
        assert len(run.fulls) == len(harvested) - 1 > 1
        assert sum(harvested) >= 2048
        assert list(run.fulls) == sorted(set(run.fulls)), "each at an access of its own"
        v.close()


@needs_kvm
def test_think_time_lies_between_accesses() -> None:
    with Vm(2 * MIB, 512) as vm:
        v = Vcpu(vm, 0)
        run = v.clock(200, think=20_000)
        gaps = np.diff(run.starts.astype(np.int64)) - run.cycles[:-1]
        assert (gaps >= 20_000).all()
        v.close()


@needs_kvm
@pytest.mark.parametrize("script", ["4,0,0,w,r,l,r,w,g,r,w,g,u,r,w", "n4,1,0,w,l,w,g,c,w50,g",
                                    "4,0,16384,w,l,w,h,w30,h", "4,0,0,r,w,z,r,g,w5,g"])  # fmt: skip
def test_every_integer_of_this_machine_is_the_simulators(script: str) -> None:
    case = run_script(parse_script(script))
    result = replay(case, live=True)
    assert result.status == "match", result.differences


@needs_kvm
def test_a_changed_count_of_this_machine_is_found(tmp_path: Path) -> None:
    """Negative control, and a recorded script reads back."""
    case = run_script(parse_script("4,0,0,w,l,w,g"))
    (tmp_path / "one.jsonl").write_text(as_line(case))
    (again,) = read_cases(tmp_path / "one.jsonl")
    assert [dict(step) for step in again.steps] == [dict(step) for step in case.steps]
    steps = [dict(step) for step in case.steps]
    steps[2]["pf_taken"] += 1
    changed = type(case)(**{f: getattr(case, f) for f in case.__slots__} | {"steps": tuple(steps)})
    assert [d.key for d in replay(changed, live=True).differences] == ["pf_taken"]
    steps[2]["pf_spurious"] = 1
    assert replay(changed, live=True).stale == 1, "spurious faults are counted apart"


def test_scripts_are_ones_that_a_kernel_does_not_refuse() -> None:
    for script in [*shipped_scripts(), *random_scripts(40, 7)]:
        logs = False
        for step in script.steps:
            assert logs or step not in ("g", "c")
            logs = step in "lz" or (logs and step not in "uZ")
    assert len(set(random_scripts(40, 7))) == 40
    assert list(random_scripts(3, 7)) == list(random_scripts(3, 7))


def live_setting(**vm: object) -> Setting:
    facts = this_machine()
    return setting(
        [
            {"do": "write"}, {"do": "enable-logging"},
            {"do": "touch", "writes": "50%", "order": "random", "name": "measured"},
            {"do": "sync-dirty-log"}, {"do": "read"}, {"do": "disable-logging"},
        ],
        memory="8MiB", vm={"kernel": facts.release, "mmu": facts.mmu.value, **vm},
        policies={"baseline": facts.policy("get-clears"), "compare": ["none"]},
    )  # fmt: skip


@needs_kvm
@pytest.mark.parametrize("vcpus", [1, 2])
def test_a_plan_counts_alike_on_the_machine_and_in_the_simulator(vcpus: int) -> None:
    policy = this_machine().policy("get-clears")
    plan = make_plan(live_setting(vcpus=vcpus), policy, 3)
    trace, simulated = run_live(plan), simulate(plan)
    for real, mine in zip(trace.phases[:-1], simulated.phases, strict=False):
        faults = real.counters["pf_taken"] - real.counters["pf_spurious"]
        assert faults == mine.counters["pf_taken"], real.do
        assert real.dirty == mine.dirty
    assert len(trace.latencies_ns(2)) == 2048
    assert trace.span_ns(2) > 0


@needs_kvm
def test_a_plan_that_no_real_guest_can_follow_is_refused() -> None:
    policy = this_machine().policy("get-clears")
    random_think = {"do": "read", "think": {"gamma": {"mean": "1us", "cv": 1.0}}}
    with pytest.raises(ConfigError, match="is random, which the guest cannot be"):
        run_live(make_plan(setting([random_think]), "eager-drop", 1))
    assert policy


@needs_kvm
def test_a_killed_guest_leaves_nothing_behind() -> None:
    code = (
        "import numpy as np\n"
        "from mmusim.kvm.vm import Vm\nfrom mmusim.kvm.vcpu import Vcpu\n"
        "vm = Vm(64 << 20, 1 << 14)\nv = Vcpu(vm, 0)\nprint('runs', flush=True)\n"
        "while True:\n    v.clock(1 << 14, think=100_000)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "runs\n"
    time.sleep(0.2)  # inside the guest
    child.send_signal(signal.SIGKILL)
    assert child.wait(timeout=10) == -signal.SIGKILL
    child.stdout.close()
    assert not Path(f"/proc/{child.pid}").exists()
    before = set(Path("/proc/self/fd").iterdir()), threading.active_count()
    with Vm(2 * MIB, 16) as vm:
        Vcpu(vm, 0).close()
    assert (set(Path("/proc/self/fd").iterdir()), threading.active_count()) == before


@needs_kvm
def test_a_probe_measures_what_it_can_and_names_what_it_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(rng: np.random.Generator, sink: object) -> None:
        raise OSError(22, "Invalid argument")

    some = {name: (MEASURES[name][0], 2) for name in ("clocks", "faults, 4 KiB", "faults, 2 MiB")}
    monkeypatch.setattr(probe_module, "MEASURES", some | {"time travel": (broken, 2)})
    out = tmp_path / "mine.toml"
    run = CliRunner().invoke(app, ["probe", "--to", str(out), "--seconds", "5"])
    assert run.exit_code == 0, run.output
    assert "Not measured: time travel ([Errno 22] Invalid argument)" in run.output
    profile = load_profile(str(out))
    assert profile.measurement is not None
    assert profile.measurement.load.seconds > 0
    assert profile.measurement.mmu == this_machine().mmu.value
    assert profile.costs["c_exit"].provenance == "derived"
    assert profile.costs["c_get_floor"].provenance == "assumed", "it was not measured"
    samples = load_samples(tmp_path / "mine.samples.npz")
    assert samples.facts["replicates"] == dict.fromkeys(some, 2) | {"time travel": 0}
    assert len(samples.of("clock")) > 1000
    monkeypatch.setattr(probe_module, "MEASURES", {"time travel": (broken, 2)})
    with pytest.raises(ConfigError, match="faults: could not be measured"):
        probe_module.probe(5)


def test_costs_of_a_measured_profile_have_room_for_their_parts() -> None:
    profile = load_profile("emerald-rapids-pvm")
    mean = {name: cost.distribution().mean() for name, cost in profile.costs.items()}
    assert mean["c_exit"] + mean["c_entry"] + mean["c_lock_section"] <= mean["c_fault_slow"]
