"""Actors of other packages: the documented one, on both engines, and those that are wrong."""

from __future__ import annotations

import importlib.util
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mmusim.actors import Actor, HostView, Share, Steps
from mmusim.base.errors import ConfigError, DeadlockError
from mmusim.base.patience import VARIABLE
from mmusim.config.settings import Setting
from mmusim.engine.choice import COMPILED, SIMPY
from mmusim.engine.simulate import simulate
from mmusim.plan.make import make_plan
from mmusim.tests.support.any_run import runs
from mmusim.tests.support.places import ROOT
from mmusim.tests.support.settings import busy_setting, only, setting, with_actors
from mmusim.timeline.record import name_of, record

BOTH = (SIMPY, COMPILED)
DOCUMENT = ROOT / "docs" / "how-to" / "actors.md"
OFTEN = {"name": "write-protector", "every": "20us", "jitter": "100%", "part": "50%"}


@pytest.fixture(scope="module", autouse=True)
def documented(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The actor of the documents, imported from a file as printed there."""
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert len(code.splitlines()) <= 40
    file = tmp_path_factory.mktemp("package") / "write_protector.py"
    file.write_text(code, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("write_protector", file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["write_protector"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield
    del Actor._registry["write-protector"], sys.modules["write_protector"]


@given(runs(), st.integers(0, 9999), st.integers(1, 3))
@settings(
    max_examples=15, deadline=None, derandomize=True, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
def test_engines_agree_beside_actors(run: tuple[str, Setting], seed: int, count: int) -> None:
    """Whatever else goes on, the two engines give one trace, and no policy loses a write."""
    policy, base = run
    busy = with_actors(base, *[OFTEN] * count)
    slow, fast = (simulate(make_plan(busy, policy, seed), engine=engine) for engine in BOTH)
    assert slow == fast


@pytest.mark.parametrize("policy", ["linux-6.2", "linux-6.2+pml", "none"])
@pytest.mark.parametrize("engine", BOTH)
def test_what_is_write_protected_faults_once_more(policy: str, engine: str) -> None:
    """The guest pays for it, mmu_lock and the vCPUs that are flushed notice it."""
    quiet = busy_setting(policies=only(policy), vm={"kernel": "linux-6.2"})
    busy = with_actors(quiet, OFTEN)
    without, beside = (simulate(make_plan(s, policy, 1), engine=engine) for s in (quiet, busy))
    assert beside.counters["pf_fast"] > without.counters["pf_fast"]
    assert beside.counters["remote_tlb_flush"] > without.counters["remote_tlb_flush"]
    assert beside.end_ns > without.end_ns


def test_paired_policies_meet_an_actor_at_the_same_times() -> None:
    """The seed and the actor decide when it sleeps, not the policy."""
    asked = []

    class Asks(Actor, name="asks"):
        def process(self, host: HostView) -> Steps:
            times = host.times("gap", 1e5, 1.0)
            asked.append([next(times) for _ in range(5)])
            yield from host.sleep(1)

    try:
        base = with_actors(busy_setting(), {"name": "asks"}, {"name": "asks"})
        for policy, seed in (("eager-drop", 1), ("lazy-drop", 1), ("lazy-drop", 2)):
            simulate(make_plan(base, policy, seed), engine=SIMPY)
    finally:
        del Actor._registry["asks"]
    first, second, again, _, other, _ = asked
    assert first == again
    assert first not in (second, other)


def test_a_timeline_names_actors() -> None:
    timeline = record(make_plan(with_actors(busy_setting(), OFTEN), "lazy-drop", 1))
    assert "actor 1" in {name_of(hold.who) for hold in timeline.holds}


def failing(process: Any) -> type[Actor]:
    """An actor, registered as "failing", that does this."""
    return type("Failing", (Actor,), {"process": process, "__module__": __name__}, name="failing")


def raises(self: Actor, host: HostView) -> Steps:
    yield from host.sleep(10)
    raise ZeroDivisionError("no")


def waits_for_nothing(self: Actor, host: HostView) -> Steps:
    yield 3


def keeps_the_lock(self: Actor, host: HostView) -> Steps:
    yield from host.hold_mmu_lock()


def takes_it_twice(self: Actor, host: HostView) -> Steps:
    yield from host.hold_mmu_lock()
    yield from host.hold_mmu_lock()


def needs_the_lock(self: Actor, host: HostView) -> Steps:
    yield from host.write_protect(0, 512)


def has_no_range(self: Actor, host: HostView) -> Steps:
    yield from host.hold_mmu_lock()
    yield from host.write_protect(0, 100)


def pays_what_there_is_not(self: Actor, host: HostView) -> Steps:
    yield from host.spend({"c_wclaer": 1})


def sleeps_not_at_all(self: Actor, host: HostView) -> Steps:
    yield from host.sleep(0)


def is_no_process(self: Actor, host: HostView) -> None:
    host.times("gap", 1.0, 0.0)


@pytest.mark.parametrize(
    ("process", "says"),
    [
        (raises, "raises ZeroDivisionError: no"),
        (waits_for_nothing, "yields 3, which is not an event"),
        (keeps_the_lock, "ends with mmu_lock held"),
        (takes_it_twice, "takes mmu_lock, which it holds"),
        (needs_the_lock, "changes sptes without mmu_lock"),
        (has_no_range, "is not a range of whole 2 MiB regions within 1024 pages"),
        (pays_what_there_is_not, "did you mean 'c_wclear'?"),
        (sleeps_not_at_all, "sleeps for no time"),
        (is_no_process, "has no yield"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("engine", BOTH)
def test_an_actor_that_is_wrong_is_named(process: Any, says: str, engine: str) -> None:
    failing(process)
    try:
        plan = make_plan(
            with_actors(setting([{"do": "write"}]), {"name": "failing"}), "lazy-drop", 1
        )
        with pytest.raises(ConfigError) as error:
            simulate(plan, engine=engine)
    finally:
        del Actor._registry["failing"]
    said = str(error.value)
    assert said.startswith("host.actors.failing: ")
    assert says in said
    where = process is raises or process is is_no_process
    assert not where or f"{__file__}:" in said


def hangs_at_once(self: Actor, host: HostView) -> Steps:
    time.sleep(2)
    yield from host.sleep(10)


def hangs_later(self: Actor, host: HostView) -> Steps:
    yield from host.sleep(10)
    time.sleep(2)


def spins(self: Actor, host: HostView) -> Steps:
    yield from host.hold_mmu_lock()
    while True:
        pass


def takes_its_time(self: Actor, host: HostView) -> Steps:
    time.sleep(0.05)
    yield from host.sleep(10)
    time.sleep(0.05)


@pytest.mark.parametrize("engine", BOTH)
def test_an_actor_that_never_returns_is_named(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: one that returns in time."""
    monkeypatch.setenv(VARIABLE, "0.4")
    for process in (takes_its_time, hangs_at_once, hangs_later, spins):
        monkeypatch.setattr(process, "__module__", "another_package")
        failing(process)
        try:
            plan = make_plan(
                with_actors(setting([{"do": "write"}]), {"name": "failing"}), "lazy-drop", 1
            )
            if process is takes_its_time:
                simulate(plan, engine=engine)
                continue
            with pytest.raises(ConfigError) as error:
                simulate(plan, engine=engine)
        finally:
            del Actor._registry["failing"]
        said = str(error.value)
        assert said.startswith("host.actors.failing: process: does not return within 0.4 s")
        first = process.__code__.co_firstlineno
        assert f"of {__file__}:{first}" in said


def sleeps_with_the_lock(self: Actor, host: HostView) -> Steps:
    yield from host.hold_mmu_lock()
    while True:
        yield from host.sleep(1000)


@pytest.mark.parametrize("engine", BOTH)
def test_a_deadlock_beside_actors_comes_to_light(engine: str) -> None:
    failing(sleeps_with_the_lock)
    try:
        plan = make_plan(
            with_actors(setting([{"do": "write"}]), {"name": "failing"}, OFTEN), "lazy-drop", 1
        )
        with pytest.raises(DeadlockError, match="mmu_lock is held by the actor failing"):
            simulate(plan, engine=engine)
    finally:
        del Actor._registry["failing"]


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"name": "write-protecter"}, "did you mean 'write-protector'?"),
        ({"name": "write-protector", "evry": "1ms"}, "did you mean 'every'?"),
        ({"name": "write-protector", "every": 5}, "must be text with a unit"),
        ({"name": "write-protector", "every": "1ns"}, "must be at least 1 us"),
        ({"every": "1ms"}, "is required"),
    ],
)  # fmt: skip
def test_a_table_that_is_wrong_is_named(table: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)) as error:
        with_actors(busy_setting(), table)
    assert "host.actors" in str(error.value)


def test_a_run_is_found_by_what_its_actors_are(tmp_path: Path) -> None:
    """Name, parameters and code decide; a time that is written in another unit is the same."""
    quiet = busy_setting()
    same = {**OFTEN, "every": "20000ns"}
    keys = [
        with_actors(quiet, *some).key()
        for some in ([], [OFTEN], [same], [{**OFTEN, "part": "40%"}], [OFTEN, OFTEN])
    ]
    assert keys[1] == keys[2]
    assert len(set(keys)) == 4
    file = Path(str(sys.modules["write_protector"].__file__))
    file.write_text(f"{file.read_text(encoding='utf-8')}# changed\n", encoding="utf-8")
    assert with_actors(quiet, OFTEN).key() not in keys


def test_two_actors_cannot_have_one_name() -> None:
    def again() -> None:
        class Again(Actor, name="write-protector"):
            part: Share = 0.5

    with pytest.raises(TypeError, match="taken by write_protector"):
        again()
