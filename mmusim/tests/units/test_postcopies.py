"""Ways of post-copy as pure functions, QEMU's own key, and what is no way."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from mmusim.base.errors import ConfigError
from mmusim.config.migrate import Migration
from mmusim.engine import simulate
from mmusim.engine.choice import COMPILED, SIMPY
from mmusim.plan.make import make_plan
from mmusim.tests.support.settings import setting
from mmusim.trace.records import MigrationTrace
from mmusim.vmm import Qemu, qemu_named
from mmusim.vmm.postcopy import Plain, Postcopy, Preempt, postcopies

NEW, OLD = qemu_named("10.1"), qemu_named("10.0")


def test_a_requested_page_waits_for_the_socket_on_one_channel_only() -> None:
    assert Plain().ahead(2_000_000) == 2_000_000
    assert Preempt().ahead(2_000_000) == 0


def test_where_the_source_goes_on_depends_on_the_way_and_the_release() -> None:
    assert [Plain().goes_on(70, 20, qemu) for qemu in (OLD, NEW)] == [71, 71]
    assert [Preempt().goes_on(70, 20, qemu) for qemu in (OLD, NEW)] == [20, 71]


def test_qemus_own_key_is_the_same_way() -> None:
    assert Migration().postcopy_way == Plain()
    own = Migration.model_validate({"postcopy-preempt": True})
    named = Migration.model_validate({"postcopy": {"rule": "preempt"}})
    assert own.postcopy_way == named.postcopy_way == Preempt()


def test_every_way_says_what_it_is_and_a_name_is_taken_once() -> None:
    assert {"plain", "preempt"} <= set(postcopies())
    assert all(one.summary() for one in postcopies().values())
    with pytest.raises(TypeError, match="taken"):

        class Second(Postcopy, name="plain"):
            rule: str = ""


def migrated(engine: str = COMPILED, qemu: str = "11.0", **migration: Any) -> MigrationTrace:
    made = setting(
        [{"do": "write"}, {"do": "migrate", "workload": "it"}], vcpus=2, memory="16MiB",
        vm={"kernel": "linux-6.13"}, vmm={"qemu": qemu},
        workloads={"it": {"pattern": "dirty-rate", "dirty_rate": "300MB/s", "over": "10ms"}},
        driver={"migration": {
            "bandwidth": "100MB/s", "max-bandwidth": "0B/s", "bandwidth_cv": "0%",
            "downtime-limit": "1ms",
            "postcopy_after": 1, **migration,
        }},
        policies={"baseline": "linux-6.13", "compare": ["linux-6.13+pml"]},
    )  # fmt: skip
    found = simulate(make_plan(made, "linux-6.13", 1), engine=engine).phases[1].migration
    assert found is not None
    return found


def test_a_named_way_is_the_migration_of_the_own_key_on_both_engines() -> None:
    """And control: the ways differ, in what a fault waits for above all."""
    plain, preempt = migrated(), migrated(postcopy={"rule": "preempt"})
    own: dict[str, Any] = {"postcopy-preempt": True}
    assert plain == migrated(SIMPY, postcopy={"rule": "plain"})
    assert preempt == migrated(SIMPY, **own)
    assert preempt.blocked.maximum < plain.blocked.maximum / 2
    assert plain.blocked.maximum >= 2 * 1024**2 * 10, "2 MiB at 100 MB/s"


class Astray(Postcopy):
    """Go on where there is no page."""

    name: ClassVar[str] = "astray"

    def goes_on(self, page: int, cursor: int, qemu: Qemu) -> int:
        return -1


class Owing(Postcopy):
    """Nothing lies ahead, and less."""

    name: ClassVar[str] = "owing"

    def ahead(self, socket_buffer: int) -> int:
        return -1


@pytest.mark.parametrize("way", [Astray(), Owing()])
def test_a_way_that_says_what_cannot_be_is_named(
    way: Postcopy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Migration, "postcopy_way", way)
    with pytest.raises(ConfigError, match=rf"{way.name}.*test_postcopies"):
        migrated()


@pytest.mark.parametrize(
    ("migration", "qemu", "says"),
    [
        ({"postcopy": {"rule": "later"}}, "11.0", "preempt"),
        ({"postcopy": {"rule": "plain"}, "postcopy-preempt": True}, "11.0", "drop postcopy-preemp"),
        ({"postcopy": {"rule": "preempt"}}, "7.0", r"came in QEMU 7\.1"),
    ],
)
def test_what_is_no_way_is_refused(migration: dict[str, Any], qemu: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        migrated(qemu=qemu, **migration)
