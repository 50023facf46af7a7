"""Rules of a VMM from other packages: whatever they do, the message names them, and soon."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mmusim.base.errors import ConfigError
from mmusim.base.packages import code_of
from mmusim.base.patience import VARIABLE
from mmusim.config.migrate import Migration
from mmusim.engine import simulate
from mmusim.engine.choice import SIMPY
from mmusim.plan.make import make_plan
from mmusim.policies import Policy
from mmusim.tests.support.settings import setting
from mmusim.trace.records import Trace
from mmusim.vmm.postcopy import Plain, Postcopy
from mmusim.vmm.rule import Rule
from mmusim.vmm.switch_over import SwitchOver
from mmusim.vmm.switch_over.qemu_estimate import QemuEstimate
from mmusim.vmm.throttle import AutoConverge, Throttle

SOUND: dict[str, type[Rule]] = {
    "throttle": AutoConverge, "switch_over": QemuEstimate, "postcopy": Plain
}  # fmt: skip
"""A sound rule of each kind: the wrong ones differ by one answer."""
KINDS: tuple[type[Rule], ...] = (Throttle, SwitchOver, Postcopy)
QUESTIONS = [(kind.key, question) for kind in KINDS for question in kind.answers]
ODD: dict[str, Any] = {
    "nothing": None, "bytes": b"x", "nan": float("nan"), "less than nothing": -1, "a list": [1],
    "a complex number": 1j,
}  # fmt: skip


def raises(self: Any, *about: Any) -> Any:
    raise ZeroDivisionError("no")


def leaves(self: Any, *about: Any) -> Any:
    raise SystemExit(3)


def sleeps(self: Any, *about: Any) -> Any:
    time.sleep(2)


def spins(self: Any, *about: Any) -> Any:
    while True:
        pass


PLACE = {"throttle": "throttle_rule", "switch_over": "switch_over", "postcopy": "postcopy_way"}


class Outside:
    """Lets a migration have a rule of another package."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch

    def __call__(self, key: str, sound: Any = None, **methods: Any) -> Rule:
        """Make a rule that answers as given, and else is a sound one."""
        for method in methods.values():
            method.__module__ = "another_package"
        own: dict[str, Any] = {"__module__": __name__, "name": "outside", **methods}
        rule: Rule = type("Another", (sound or SOUND[key],), own).model_construct()  # type: ignore[attr-defined]
        self._patch.setattr(Migration, PLACE[key], property(lambda _: rule), raising=False)
        return rule


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> Outside:
    monkeypatch.setenv(VARIABLE, "0.3")
    return Outside(monkeypatch)


def migrated(key: str) -> Trace:
    """A migration in which every question is asked: it is throttled, or ends in post-copy."""
    again = {"postcopy_after": 1} if key == "postcopy" else {"max_time": "8s"}
    dirty = "100MB/s" if key == "postcopy" else "150MB/s"
    made = setting(
        [{"do": "write"}, {"do": "migrate", "workload": "it"}], vcpus=2, memory="16MiB",
        vm={"kernel": "linux-6.13"}, vmm={"qemu": "9.2"},
        workloads={"it": {"pattern": "dirty-rate", "dirty_rate": dirty, "over": "10ms"}},
        driver={"migration": {
            "bandwidth": "10MB/s", "max-bandwidth": "0B/s", "bandwidth_cv": "0%",
            "downtime-limit": "1ms", **again,
        }},
        policies={"baseline": "linux-6.13", "compare": ["linux-6.13+pml"]},
    )  # fmt: skip
    return simulate(make_plan(made, "linux-6.13", 1), engine=SIMPY)


def complaint(key: str) -> str:
    began = time.monotonic()
    with pytest.raises(ConfigError) as caught:
        migrated(key)
    assert time.monotonic() - began < 20
    return str(caught.value)


@pytest.mark.parametrize("wrong", [raises, leaves, sleeps, spins])
@pytest.mark.parametrize(
    ("key", "question"), [q for q in QUESTIONS if q[1] not in ("quota", "beyond")]
)
def test_a_rule_that_fails_in_a_run_is_named(
    key: str, question: str, wrong: Any, outside: Outside
) -> None:
    """Quotas are asked of rules with rings, and releases when a file is read: below."""

    def own(self: Any, *about: Any) -> Any:
        return wrong(self, *about)

    outside(key, **{question: own})
    said = complaint(key)
    what = {raises: "raises ZeroDivisionError: no", leaves: "raises SystemExit: 3"}
    assert f"driver.migration.{key}: {question} of outside: " in said
    assert what.get(wrong, "does not return within 0.3 s, it is at") in said
    assert f"{__file__}:" in said


@pytest.mark.parametrize("key", SOUND)
def test_a_rule_from_outside_that_is_sound_runs_as_one_of_mmusim(
    key: str, outside: Outside
) -> None:
    """Control: whoever asks in another thread gets the same run."""

    def answers(question: str) -> Any:
        def own(self: Any, *about: Any) -> Any:
            return getattr(SOUND[key], question)(self, *about)

        return own

    outside(key, **{question: answers(question) for kind, question in QUESTIONS if kind == key})
    theirs = migrated(key)
    outside(key)
    assert theirs == migrated(key)


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize(("key", "question"), QUESTIONS)
def test_an_answer_that_cannot_be_is_refused(
    key: str, question: str, odd: str, outside: Outside
) -> None:
    def own(self: Any, *about: Any) -> Any:
        return ODD[odd]

    rule = outside(key, **{question: own})
    with pytest.raises(ConfigError, match=rf"{question} of outside.*: is not .*{__file__}"):
        rule.ask(question)


@pytest.mark.parametrize(
    ("key", "question", "answer"),
    [
        ("throttle", "share", 0.995), ("throttle", "cycle", (0, 0)), ("throttle", "cycle", (9, 1)),
        ("throttle", "sync_every", 1), ("throttle", "overdue_after", 1),
        ("switch_over", "after_sync", "go-on"),
        ("postcopy", "goes_on", 0.5), ("postcopy", "ahead", float("inf")),
    ],
)  # fmt: skip
def test_an_answer_with_which_a_run_would_not_end_is_refused(
    key: str, question: str, answer: Any, outside: Outside
) -> None:
    """A cycle of 0 ns, and a timer of 1 ns, went round for ever."""

    def own(self: Any, *about: Any) -> Any:
        return answer

    outside(key, **{question: own})
    assert f"{question} of outside = {answer!r}: is not" in complaint(key)


def test_a_rule_without_the_answer_that_it_owes_is_named(outside: Outside) -> None:
    outside("switch_over", sound=SwitchOver)
    assert "does not say how much may be left" in complaint("switch_over")


def test_a_rule_that_hung_once_is_not_waited_for_again(outside: Outside) -> None:
    def own(self: Any, *about: Any) -> Any:
        return sleeps(self, *about)

    rule = outside("throttle", share=own)
    times = []
    for _ in range(3):
        began = time.monotonic()
        with pytest.raises(ConfigError, match="does not return"):
            rule.ask("share", None)
        times.append(time.monotonic() - began)
    assert times[0] > 0.25 > max(times[1:])


def test_a_thread_that_spins_is_ended(outside: Outside) -> None:
    """It would take half the time of every run after it."""
    laps = []

    def own(self: Any, *about: Any) -> Any:
        while True:
            laps.append(1)

    rule = outside("throttle", share=own)
    with pytest.raises(ConfigError, match="does not return"):
        rule.ask("share", None)
    time.sleep(0.2)
    count = len(laps)
    time.sleep(0.2)
    assert len(laps) == count > 0


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of two modules with a policy, and a module with a throttle."""
    folder = tmp_path / "some_package"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from mmusim import Policy\nfrom mmusim.mmu.spte import Edit\n"
        "from some_package import more\n"
        "class One(Policy, name='some-policy'):\n"
        "    def protect(self, spte):\n        return Edit.WRITE_PROTECT\n"
    )
    (folder / "more.py").write_text("A = 1\n")
    (tmp_path / "some_throttle.py").write_text(
        "from mmusim.vmm.throttle import AutoConverge\nclass Half(AutoConverge):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    Policy._registry.pop("some-policy", None)
    for name in ("some_package", "some_package.more", "some_throttle"):
        sys.modules.pop(name, None)


def test_who_changes_a_package_gets_new_runs(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger kept the runs of the code before: they were shown as those of the new code."""
    importlib.import_module("some_package")
    half = importlib.import_module("some_throttle").Half

    def key(*policies: str) -> str:
        baseline, *compare = policies
        phases = [{"do": "write"}]
        chosen = {"baseline": baseline, "compare": compare}
        return setting(phases, policies=chosen, vm={"kernel": "linux-6.13"}).key()

    before = (
        key("linux-6.13", "some-policy"),
        key("linux-6.13", "none"),
        key("some-policy+pml", "none"),
    )
    (package / "some_package" / "more.py").write_text("A = 2\n")
    after = (
        key("linux-6.13", "some-policy"),
        key("linux-6.13", "none"),
        key("some-policy+pml", "none"),
    )
    assert before[1] == after[1], "control: mmusim's own policies have no code of their own"
    assert before[0] != after[0]
    assert before[2] != after[2]
    with_rule = [key("linux-6.13", "none")]
    for text in ("A = 1\n", "A = 2\n"):
        (package / "some_throttle.py").write_text(text)
        monkeypatch.setattr(Migration, "throttle_rule", half.model_construct())
        with_rule.append(key("linux-6.13", "none"))
    assert len(set(with_rule)) == 3


def test_a_class_without_a_file_has_code_too(package: Path) -> None:
    """Such as one of a notebook."""
    codes = []
    for number in (1, 1, 2):
        names: dict[str, Any] = {"__name__": "no_such_module", "Plain": Plain}
        exec(f"class Mine(Plain):\n    def ahead(self, n):\n        return {number}", names)
        codes.append(code_of(names["Mine"]))
    assert codes[0] == codes[1] != codes[2]
    assert code_of(Plain) == ""
