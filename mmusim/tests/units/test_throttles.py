"""Throttles as pure functions of periods, and what is no throttle."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from mmusim.base.errors import ConfigError
from mmusim.config.migrate import Migration
from mmusim.tests.support.settings import setting
from mmusim.vmm import qemu_named
from mmusim.vmm.throttle import AutoConverge, Period, Throttle, Watched, throttles

S = 10**9
SENT = 1000 * 4096


def rule(name: str, **more: Any) -> Throttle:
    return throttles()[name].model_validate({"rule": name, **more})


def shares(one: Throttle, ratios: list[float], qemu: str = "9.2") -> list[float]:
    """The share after each period; each ratio is dirty by sent of a period of 2 s."""
    periods: list[Period] = []
    found, share = [], 0.0
    for number, ratio in enumerate(ratios, 1):
        periods.append(Period(2 * S * number, round(ratio * SENT), SENT))
        share = one.share(Watched(periods, share, qemu_named(qemu)))
        found.append(share)
    return found


def slowed(ratios: list[float], name: str, qemu: str = "9.2") -> list[int]:
    """At which periods the guest is slowed down."""
    found = [0.0, *shares(rule(name), ratios, qemu)]
    return [number for number, (before, now) in enumerate(pairwise(found)) if now > before]


def test_auto_converge_counts_bad_syncs_over_good_ones() -> None:
    assert slowed([0.9, 0.9, 0.9, 0.9], "auto-converge") == [1, 3]
    assert slowed([0.9, 0.1, 0.9, 0.9], "auto-converge") == [2]
    assert slowed([0.9, 0.9, 0.9, 0.9], "auto-converge", "2.9") == [2], "the third, until 2.9"
    assert slowed([0.4, 0.5, 0.4, 0.5], "auto-converge") == [], "at the threshold, not above"


def test_auto_converge_goes_up_to_its_most_in_steps() -> None:
    one = rule("auto-converge", initial="30%", increment="40%", most="80%")
    assert shares(one, [0.9] * 8)[1::2] == [0.3, 0.7, 0.8, 0.8]
    slow = rule("auto-converge", tailslow=True)
    assert shares(slow, [0.9, 0.9, 0.55, 0.55])[-1] == pytest.approx(
        0.2 + 0.8 * (1 - 0.5 / 0.55), abs=1e-6
    )
    assert shares(slow, [0.9] * 4)[-1] == 0.3, "no more than a step"


def test_a_responsive_throttle_looks_at_the_trend_too() -> None:
    rising = [0.6, 0.7, 0.8, 0.9, 0.9]
    assert slowed(rising, "auto-converge") == [1, 3]
    assert slowed(rising, "responsive") == [1, 2, 3, 4]
    assert slowed([0.904, 0.901, 0.909, 0.901], "responsive") == [1, 2, 3], "whole percent"
    assert slowed([0.9, 0.4, 0.6, 0.7], "responsive") == [2, 3], "a good sync is no step"
    assert slowed([0.9, 0.8, 0.7, 0.6], "responsive") == [1, 3], "falling: as without"
    assert slowed([0.1, 0.2, 0.3, 0.4], "responsive") == [], "below the threshold"


def test_the_timer_comes_with_a_release_or_with_its_own_throttle() -> None:
    plain, timed = rule("auto-converge"), rule("background-sync", every="2s")
    assert [plain.sync_every(qemu_named(name)) for name in ("9.1", "9.2")] == [0, 5 * S]
    assert [timed.sync_every(qemu_named(name)) for name in ("9.1", "9.2")] == [2 * S, 2 * S]


def test_a_thread_of_its_own_takes_the_place_of_the_timer_up_to_the_most() -> None:
    for name in ("background-watcher", "responsive"):
        one = rule(name, every="2s", most="60%")
        assert one.sync_every(qemu_named("9.2")) == 0
        assert [one.overdue_after(share) for share in (0.0, 0.5, 0.6)] == [2 * S, 2 * S, 0]
    assert rule("background-sync").overdue_after(0.0) == 0, "control"


def test_a_dirty_limit_begins_where_auto_converge_would() -> None:
    one = rule("dirty-limit", limit="10MB/s")
    watched = [Period(2 * S * n, round(0.9 * SENT), SENT) for n in (1, 2)]
    quotas = [one.quota(Watched(watched[:n], 0.0, qemu_named("8.2"))) for n in (1, 2)]
    assert quotas == [0, 10**7]
    assert shares(one, [0.9] * 4) == [0.0] * 4, "who only reads does not sleep"


def test_cloud_hypervisor_goes_up_whatever_the_guest_dirties() -> None:
    one = rule("cloud-hypervisor")
    assert shares(one, [0.0] * 7) == [0, 0, 0.1, 0.1, 0.2, 0.2, 0.3]
    assert one.cycle(0.1) == (50_000_000, 500_000_000)
    assert rule("auto-converge").cycle(0.5) == (10_000_000, 20_000_000)


def test_the_first_auto_converge_sleeps_30_ms_of_41_from_the_sixth_bad_sync_on() -> None:
    bad = [0.6] * 5
    assert slowed([*bad, 0.1, 0.6, 0.1, 0.1], "fixed-sleep") == [6], "good syncs are not counted"
    assert slowed([*bad, 0.5], "fixed-sleep") == [], "control: at the threshold, not above"
    one = rule("fixed-sleep")
    assert shares(one, [0.6] * 20)[5:] == [30 / 41] * 15, "one step, not turned off"
    assert one.cycle(30 / 41) == (30_000_000, 41_000_000)


def test_every_throttle_says_what_it_is_and_a_name_is_taken_once() -> None:
    assert len(throttles()) >= 5
    assert all(one.summary() for one in throttles().values())
    with pytest.raises(TypeError, match="taken"):

        class Second(Throttle, name="dirty-limit"):
            rule: str = ""


def test_qemus_own_keys_are_the_same_throttles() -> None:
    own = Migration.model_validate(
        {"auto-converge": True, "cpu-throttle-initial": "30%", "throttle-trigger-threshold": "70%"}
    )
    named = Migration.model_validate(
        {"throttle": {"rule": "auto-converge", "initial": "30%", "threshold": "70%"}}
    )
    assert isinstance(named.throttle_rule, AutoConverge)
    assert own.throttle_rule == named.throttle_rule
    assert Migration().throttle_rule is None
    responsive = Migration.model_validate({"auto-converge": True, "responsive_throttle": True})
    assert responsive.throttle_rule == rule("responsive")
    limited = Migration.model_validate({"vcpu-dirty-limit": "5MB/s"})
    assert limited.throttle_rule == rule("dirty-limit", limit="5MB/s")


@pytest.mark.parametrize(
    ("migration", "says"),
    [
        ({"throttle": {"rule": "gently"}}, "cloud-hypervisor"),
        ({"throttle": {"rule": "auto-converge"}, "auto-converge": True}, "drop auto-converge"),
        ({"throttle": {"rule": "responsive", "most": "10%"}}, "less than initial = 20%"),
        ({"throttle": {"rule": "dirty-limit"}}, "dirty-ring"),
        ({"responsive_throttle": True}, "set auto-converge = true"),
    ],
)
def test_what_is_no_throttle_is_refused(migration: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        setting([{"do": "migrate"}], driver={"migration": migration})


def test_a_throttle_that_came_later_is_refused() -> None:
    told: dict[str, Any] = {"throttle": {"rule": "auto-converge", "tailslow": True}}
    with pytest.raises(ConfigError, match=r"5\.1"):
        setting([{"do": "migrate"}], driver={"migration": told}, vmm={"qemu": "5.0"})
