"""Old spellings are refused, and the answer names the new one with the value as it is now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmusim.base.errors import ConfigError
from mmusim.config.migrate import Migration
from mmusim.config.renamed import RENAMED, renamed
from mmusim.config.settings import settings_of
from mmusim.policies import Large, policy_named
from mmusim.policies.base import RENAMED as POLICIES
from mmusim.policies.base import policies
from mmusim.tests.support.experiment_files import changed, complaints


@pytest.mark.parametrize(
    ("key", "value", "remedy"),
    [
        ("driver.migration.max_bandwidth", "8MB/s", 'write max-bandwidth = "8MB/s"'),
        ("driver.migration.auto_converge", True, "write auto-converge = true"),
        ("driver.migration.channels", 4, "write multifd-channels = 4"),
        ("driver.migration.multifd_channels", 4, "write multifd-channels = 4"),
        ("driver.migration.dirty_limit", "1MB/s", 'write vcpu-dirty-limit = "1MB/s"'),
        ("driver.migration.clear_chunk", "1GiB", "write clear-bitmap-shift = 18"),
        ("driver.migration.clear_chunk", "3GiB", "write clear-bitmap-shift"),
        ("driver.migration.clear_chunk", 7, "write clear-bitmap-shift"),
        ("driver.dirty_ring", "64KiB", "write dirty-ring-size = 4096"),
    ],
)
def test_an_old_key_is_answered_with_the_new_one(key: str, value: Any, remedy: str) -> None:
    (c,) = complaints(changed(key, value))
    assert (c.key, c.value, c.remedy) == (key, value, remedy)
    assert c.rule.startswith(f"is called {RENAMED[key].key} now (QEMU's own name")


def test_what_is_wrong_with_the_value_of_an_old_key_is_said_at_once() -> None:
    """Otherwise it comes up when the remedy has been followed."""
    wrong = {"channels": 4, "auto_converge": "yes", "max_bandwidth": "0", "downtime_limit": "1ms"}
    data = changed("driver.migration", wrong)
    data["variants"] = {"v": {"driver.migration.dirty_limit": "1 snail"}}
    found = [(c.key, c.rule.partition(" ")[0]) for c in complaints(data)]
    assert found == [
        *((f"driver.migration.{key}", "is") for key in wrong),
        ("driver.migration.max-bandwidth", "must"),
        ("driver.migration.auto-converge", "must"),
        ("driver.migration.dirty_limit", "is"),
        ("driver.migration.vcpu-dirty-limit", "must"),
    ]


def test_an_old_key_in_a_sweep_is_answered_too() -> None:
    found = complaints(changed("sweep", {"driver.migration.channels": [1, 4]}))
    assert {c.rule for c in found} == {"is called multifd-channels now (QEMU's own name)"}


def test_a_key_that_never_was_is_unknown() -> None:
    """Negative control."""
    (c,) = complaints(changed("driver.migration.chanels", 4))
    assert c.rule == "is not a known key"
    assert renamed("driver.migration.bandwidth", "1MB/s") is None


def test_new_keys_are_keys() -> None:
    known = {field.alias for field in Migration.model_fields.values()}
    assert {now.key for key, now in RENAMED.items() if "migration" in key} <= known
    assert settings_of(changed("driver.dirty-ring-size", 4096), "x.toml", Path())


@pytest.mark.parametrize("old", POLICIES)
def test_an_old_policy_is_answered_with_the_new_one(old: str) -> None:
    assert POLICIES[old] in policies()
    for name in (old, f"linux-6.1+{old}"):
        with pytest.raises(ConfigError, match=f"is called {POLICIES[old]} now .*; write "):
            policy_named(name)


def test_axis_values_carry_the_names_of_the_kernel() -> None:
    assert Large.EAGER_SPLIT.value == "eager_page_split"
    assert policy_named("eager_page_split").choices["large"] is Large.EAGER_SPLIT
