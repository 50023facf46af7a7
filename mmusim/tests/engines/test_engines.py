"""Two engines, one meaning: equal to the last nanosecond and counter, or red."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numba
import pytest

from mmusim.base.errors import (
    ConfigError,
    EngineError,
    LivelockError,
    LostWriteError,
)
from mmusim.base.units import BYTES, REGION, parse_ns, parse_rate, show_bytes
from mmusim.config.resolved import resolved
from mmusim.config.settings import Setting, load_settings, settings_of
from mmusim.engine import choice, code_cache
from mmusim.engine.choice import COMPILED, SIMPY, prepare, resolve
from mmusim.engine.compiled.vm import CompiledVm
from mmusim.engine.compiled.weaving import WOVEN
from mmusim.engine.simulate import Simulation, simulate
from mmusim.engine.weave.emit import ASTRAY
from mmusim.plan.make import make_plan
from mmusim.policies import PRESETS
from mmusim.tests.support.agreement import agree, differences
from mmusim.tests.support.compared import compare
from mmusim.tests.support.places import ROOT
from mmusim.tests.support.settings import (
    AT_ONCE,
    CONSTANT,
    SOUND,
    busy_setting,
    kernel_of,
    only,
    setting,
)


def compared(runs: int, *, bounds: bool) -> str:
    """The last line of a process that compares both engines on random runs."""
    env = os.environ | ({"MMUSIM_BOUNDSCHECK": "1"} if bounds else {})
    command = [sys.executable, "-m", "mmusim.tests.support.compared", str(runs)]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


EXPERIMENTS = sorted((ROOT / "experiments").glob("*/experiment.toml"))
SMALL = 64 * BYTES["MiB"]


def small(setting: Setting) -> Setting:
    """The setting, with no more memory and no longer a migration than SimPy goes through soon.

    A guest that is given by rates keeps the share of its memory that it dirties. Its migration
    keeps its time, because only what changes state costs processor time.
    """
    vm = setting.experiment.vm
    if vm.memory <= SMALL:
        return setting
    data = resolved(setting)
    by_rate = any("dirty_rate" in workload for workload in data["workloads"].values())
    migration = data["driver"].get("migration", {})
    if "max_time" in migration and not by_rate:
        migration["max_time"] = min(migration["max_time"], "1s", key=parse_ns)
    memory = max(SMALL // (REGION * vm.vcpus), 1) * REGION * vm.vcpus
    data["vm"]["memory"] = show_bytes(memory)
    for workload in data["workloads"].values():
        if "dirty_rate" in workload:
            rate = parse_rate(workload["dirty_rate"]) * memory // vm.memory
            workload["dirty_rate"] = f"{rate}B/s"
    policies = data["policies"]  # a setting of one policy alone leaves nothing to compare
    policies["compare"] = policies["compare"] or [f"{policies['baseline']}+pml"]
    (made,) = settings_of(data, setting.experiment.id, ROOT)
    return made


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.parent.name)
def test_engines_agree_on_every_experiment(path: Path) -> None:
    """The first and the last setting of each, every policy."""
    _, settings = load_settings(path)
    for made in {settings[0].name: settings[0], settings[-1].name: settings[-1]}.values():
        for policy in made.experiment.policies.all:
            agree(small(made), policy)


@pytest.mark.parametrize("costs", [None, CONSTANT], ids=["random costs", "constant costs"])
@pytest.mark.parametrize("policy", [kernel.name for kernel in PRESETS] + SOUND)
def test_engines_agree_on_every_preset_and_policy(policy: str, costs: dict[str, Any]) -> None:
    """With constant costs simultaneous events are the rule."""
    kernel = policy if policy in {k.name for k in PRESETS} else kernel_of(policy)
    agree(busy_setting(costs, vm={"kernel": kernel}, policies=only(policy)), policy)


@pytest.mark.parametrize(
    "policy",
    ["linux-2.6.37", "linux-3.2", "linux-3.4", "linux-6.2", "linux-6.13+pml", "shadow", "nested",
     "linux-6.13+pml+dirty-ring", "linux-6.13+initially-all-set", "linux-6.13+wp-all-root"],
)  # fmt: skip
def test_memory_that_ends_within_a_region_and_a_group_of_eight_pages(policy: str) -> None:
    """8 MiB and five pages: all of them are written, logged and sent."""
    kernel = policy.split("+")[0] if policy.startswith("linux") else kernel_of(policy)
    vm = {"kernel": kernel, "backing": "4KiB", "memory": "8212KiB", "preemption": "full"}
    busy = busy_setting(None, vm=vm, policies=only(policy))
    agree(busy, policy)
    written = setting(
        [{"do": "write"}, {"do": "enable-logging"}, {"do": "write"}, {"do": "sync-dirty-log"}],
        vcpus=3, vm=vm, policies=only(policy),
    )  # fmt: skip
    trace = agree(written, policy)
    assert trace.phases[3].dirty == 2053


@pytest.mark.slow
def test_engines_agree_on_random_runs() -> None:
    """With bounds checks: an index that is wrong would write into what belongs to another."""
    told = compared(500, bounds=True)
    assert told.startswith("500 runs, no difference, bounds checked"), told


@pytest.mark.slow
def test_engines_agree_on_random_runs_at_full_speed() -> None:
    """The code that runs are made with has no checks, and is optimised further."""
    assert max(compare(100, first=1000)) == 100


def test_sources_that_sleep_longer_than_programs_run_have_a_row_each() -> None:
    """Twelve short programs: each leaves a sleeping source behind, and the next has its own."""
    tick = {"every": "4ms", "lasts": "3us"}
    often = {"every": "5us", "lasts": "1us"}
    short = setting(
        [{"do": "write", "pages": "3%", "think": "1us"}] * 12,
        vcpus=2,
        host={"interference": [tick, often]},
    )
    agree(short, "eager-drop")
    simulation = Simulation(make_plan(short, "eager-drop", 1), engine=COMPILED)
    trace = simulation.run()
    vm: Any = simulation._vm
    assert sum(phase.ledger["interference"] for phase in trace.phases if phase.guest) > 0
    assert len(vm.memory["interferer_at"]) > 2 * 2, "no row was needed beside the first"


@pytest.mark.parametrize("policy", ["eager-drop", "linux-6.13", "linux-6.13+pml"])
def test_a_vcpu_that_is_kicked_twice_at_one_instant_answers_both(policy: str) -> None:
    """Where the way into the guest takes no time, it is back before the first hears of it."""
    kernel = kernel_of(policy)
    for seed in (1, 2):
        agree(busy_setting(AT_ONCE, vm={"kernel": kernel}, policies=only(policy)), policy, seed)


@pytest.mark.parametrize("seed", range(1, 7))
def test_a_vcpu_that_waits_for_an_answer_gets_it_although_another_kicks_meanwhile(
    seed: int,
) -> None:
    """All times are whole microseconds, so vCPUs that drop large sptes flush at the same instant.

    The kicked vCPU is in the guest again, and is kicked by another, before the first hears of its
    answer. When answers were for whoever had kicked last, seeds 1 and 4 of these ended in a
    deadlock on the compiled engine.
    """
    free = ("c_zap_large", "c_alloc_table", "c_lock_handoff", "c_lock_count", "t_write")
    costs = AT_ONCE | dict.fromkeys((*free, "t_walk_4K"), "0ns") | {"t_hit_2M": "2us"}
    drop = {"do": "touch", "writes": "50%", "order": "random", "pages": "0.4%"}
    policy = "linux-6.13+lazy-drop"
    made = setting(
        [{"do": "touch", "writes": "0%"}, {"do": "enable-logging"}, drop], vcpus=4,
        memory="64MiB", costs=costs, vm={"kernel": "linux-6.13"}, policies=only(policy),
    )  # fmt: skip
    trace = agree(made, policy, seed)
    assert trace.counters["remote_tlb_flush"] > 10


def test_a_difference_in_a_random_run_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: a flush of all runs takes 1 ns more on one engine."""
    from mmusim.engine.processes import flush

    begun = flush.forget_taken

    def slower(vm: Any) -> None:
        begun(vm)
        vm.fingerprint.add(1)

    monkeypatch.setattr(flush, "forget_taken", slower)
    with pytest.raises(AssertionError) as raised:
        max(compare(50))
    assert "policy" in str(raised.value.__notes__)


def test_engines_agree_where_a_migration_slows_the_guest_down() -> None:
    """Throttles begin after two syncs a second apart: longer than random runs last."""
    for policy, throttle in (
        ("linux-6.13", {"auto-converge": True}),
        ("linux-6.13+dirty-ring", {"vcpu-dirty-limit": "1MB/s"}),
    ):
        told = {"bandwidth": "90MB/s", "downtime-limit": "5ms", "max_rounds": 90, "max_time": "5s"}
        workload = {"pattern": "uniform", "accesses_per_page": 0.5, "writes": "100%"}
        slow_guest = setting(
            [{"do": "write"}, {"do": "migrate", "workload": "mixed", "think": "40us"}],
            vcpus=2,
            memory="8MiB",
            policies={"baseline": policy, "compare": ["linux-6.13+pml+dirty-ring"]},
            vm={"kernel": "linux-6.13"},
            driver={"migration": told | throttle},
            workloads={"mixed": workload},
        )
        trace = agree(slow_guest, policy)
        migration = trace.phases[-1].migration
        assert migration.throttle or migration.dirty_limit, "nothing was throttled"


@pytest.mark.parametrize(
    ("policy", "kernel", "error"),
    [
        ("lazy-drop-2013", "linux-3.9", LostWriteError),
        ("wp-all-levels-bug", "linux-2.6.37", LivelockError),
    ],
)
def test_engines_agree_on_what_is_wrong(policy: str, kernel: str, error: type[Exception]) -> None:
    workload = {"pattern": "reads-beside-writes", "accesses_per_page": 20.0, "writes": "4%"}
    phases = [
        {"do": "write"}, {"do": "enable-logging"}, {"do": "run", "workload": "mixed"},
        {"do": "sync-dirty-log"}, {"do": "run", "workload": "mixed"}, {"do": "sync-dirty-log"},
    ]  # fmt: skip
    broken = setting(
        phases, vcpus=2, memory="8MiB", workloads={"mixed": workload}, vm={"kernel": kernel},
        policies=only(policy),
    )  # fmt: skip
    said = agree(broken, policy)
    assert str(said).startswith(error.__name__), said


def test_the_compiled_engine_may_bundle_as_it_likes() -> None:
    plan = make_plan(busy_setting(), "lazy-drop", 3)
    one, few, many = (simulate(plan, engine=COMPILED, run_limit=n) for n in (1, 7, 1 << 16))
    assert one == few == many


def test_a_difference_of_a_nanosecond_is_noticed() -> None:
    """Negative control: one cost is 1 ns longer, and one page is touched in another order."""
    base = busy_setting(CONSTANT)
    slow = simulate(make_plan(base, "lazy-drop", 1), engine=SIMPY)
    longer = make_plan(busy_setting(CONSTANT | {"c_zap_large": "101ns"}), "lazy-drop", 1)
    assert list(differences(slow, simulate(longer, engine=COMPILED)))
    assert list(differences(slow, simulate(make_plan(base, "lazy-drop", 2), engine=COMPILED)))


def read_while_it_runs() -> Setting:
    """A guest of 16 MiB that serves requests while its log is read three times."""
    requests = {"pattern": "open-loop-requests", "requests": 200, "touches": 4, "writes": "2%"}
    reading = [{"do": "sleep", "time": "800us"}, {"do": "sync-dirty-log"}] * 3
    return setting(
        [
            {"do": "write"},
            {"do": "run", "workload": "requests", "name": "requests", "background": True},
            {"do": "sleep", "time": "500us"},
            {"do": "enable-logging"},
            *reading,
            {"do": "wait"},
        ],
        vcpus=4, memory="16MiB", vm={"kernel": "linux-6.13"}, driver={"measure": "requests"},
        workloads={"requests": requests | {"interarrival": "20us"}},
    )  # fmt: skip


def test_what_is_under_way_is_seen_however_many_accesses_a_run_bundles() -> None:
    """False dirty pages are counted while runs are under way: their writes have happened."""
    for engine in (SIMPY, COMPILED):
        plan = make_plan(read_while_it_runs(), "linux-6.13", 1)
        bundled, single = (simulate(plan, engine=engine, run_limit=n) for n in (1 << 16, 1))
        assert bundled == single


def test_without_settling_bundles_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control of the last."""
    monkeypatch.setattr("mmusim.engine.state.vm.Vm.settle", lambda vm: None)
    plan = make_plan(read_while_it_runs(), "linux-6.13", 1)
    assert simulate(plan, engine=SIMPY) != simulate(plan, engine=SIMPY, run_limit=1)


# --- choosing one ------------------------------------------------------------------------------


def test_an_engine_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"--engine = 'turbo'.*choose one of auto, simpy"):
        resolve("turbo")


def test_without_numba_auto_is_simpy_and_compiled_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(choice.VARIABLE, raising=False)
    monkeypatch.setattr(choice, "numba_trouble", lambda: "is not installed")
    assert resolve() == SIMPY
    with pytest.raises(ConfigError, match=r"needs Numba.*install mmusim\[compiled\]"):
        resolve(COMPILED)


def test_the_environment_decides_what_auto_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(choice.VARIABLE, SIMPY)
    assert resolve() == SIMPY
    assert resolve(COMPILED) == COMPILED


def test_a_first_use_is_announced_and_a_second_is_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("numba.config.CACHE_DIR", "")
    prepare(COMPILED)
    code_cache.use_cache()
    assert not caplog.records
    monkeypatch.setenv("MMUSIM_CACHE_DIR", str(tmp_path))
    code_cache.use_cache()
    assert "compiling the engine" in caplog.text
    assert str(code_cache.cache_folder()) == numba.config.CACHE_DIR
    assert code_cache.cache_folder().parent == tmp_path


def test_old_states_of_the_code_are_forgotten(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("numba.config.CACHE_DIR", "")
    monkeypatch.setenv("MMUSIM_CACHE_DIR", str(tmp_path))
    for number in range(8):
        old = tmp_path / f"state{number}-numba-0.1"
        old.mkdir()
        os.utime(old, (number, number))
    code_cache.use_cache()
    kept = {folder.name for folder in tmp_path.iterdir()}
    assert kept == {code_cache.cache_folder().name, *(f"state{n}-numba-0.1" for n in (5, 6, 7))}


# --- keeping house -----------------------------------------------------------------------------


def test_how_far_a_compiled_run_is_can_be_seen_from_outside() -> None:
    simulation = Simulation(make_plan(busy_setting(), "lazy-drop", 1), engine=COMPILED)
    before = simulation.reached()
    trace = simulation.run()
    after = simulation.reached()
    assert before.now_ns == 0
    assert before.share == 0
    assert after.now_ns == trace.end_ns
    assert after.share == 1


def test_an_error_in_compiled_code_names_the_vcpu_and_the_place() -> None:
    vm = CompiledVm(make_plan(busy_setting(), "lazy-drop", 1), 1 << 16)
    vm.memory.set("why_vcpu", 2)
    place = next(n for n, where in WOVEN.places.items() if where.startswith("touch ("))
    vm.memory.set("place", place)
    where = r"vCPU 2 cannot go on from 'touch \(mmusim/engine/processes/vcpu.py:\d+\)', 0 ns"
    with pytest.raises(EngineError, match=where):
        vm.compiled_env._wanted(ASTRAY)


LONG_RUN = """
import signal, threading
from mmusim.tests.support.settings import setting
from mmusim.engine.simulate import Simulation
from mmusim.plan.make import make_plan

once = make_plan(setting([{"do": "write"}], vcpus=2, memory="4MiB"), "none", 1)
Simulation(once, engine="compiled").run()  # loads the compiled code, before the clock starts
forever = [{"do": "write"}, *[{"do": "read"}] * 4_000]
plan = make_plan(setting(forever, vcpus=2, memory="512MiB"), "none", 1)
simulation = Simulation(plan, engine="compiled")
threading.Timer(0.3, lambda: print("runs", flush=True)).start()
try:
    simulation.run()
except KeyboardInterrupt:
    print(simulation.reached().now_ns > 0, flush=True)
"""


def test_ctrl_c_ends_a_compiled_run() -> None:
    code = LONG_RUN
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "runs\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "True\n"
        assert process.wait(60) == 0
