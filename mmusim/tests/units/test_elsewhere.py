"""Keys of other tools are answered: with what stands for them here, or what they would change."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from mmusim.config.elsewhere import ELSEWHERE
from mmusim.config.migrate import Migration
from mmusim.config.settings import settings_of
from mmusim.tests.support.experiment_files import changed, complaints
from mmusim.vocabulary import COSTS

WRITTEN = re.compile(r"write ((?:[\w-]+ = )?(?:\{.*?\}|\"[^\"]*\"|\d+))")


@pytest.mark.parametrize(
    ("key", "value", "rule", "remedy"),
    [
        ("timeout_strategy", "force", "is a rule of when the guest is stopped", "after-rounds"),
        ("xbzrle", True, "is not modelled; in reality later rounds send deltas", "leave it out"),
        ("background_snapshot", True, "is a phase of its own", 'write { do = "snapshot" }'),
        ("zero-copy-send", True, "is not modelled; in reality senders do not", "c_send_page"),
        ("downtime_schedule", ["150ms", "300ms"], "is a rule of when", "downtime-ramp"),
        ("allowPostCopy", True, "is the number of rounds before", "postcopy_after = 1"),
        ("completionTimeoutPerGiB", 150, "is a rule of when", "after-rounds"),
        ("parallel-connections", 4, "is called multifd-channels here", "multifd-channels = 4"),
        ("dirty_rate", "8MB/s", "is not a property of the channel", 'pattern = "dirty-rate"'),
    ],
)
def test_a_key_of_another_tool_is_answered(key: str, value: Any, rule: str, remedy: str) -> None:
    (found,) = complaints(changed("driver.migration", {key: value}))
    assert (found.key, found.value) == (f"driver.migration.{key}", value)
    assert found.rule.startswith(rule)
    assert remedy in found.remedy


def test_a_key_of_a_phase_is_answered() -> None:
    phases = [{"do": "write"}, {"do": "write", "checkpoint_every": "1s"}]
    (found,) = complaints(changed("driver.phases", phases))
    assert found.remedy.startswith('write { do = "checkpoint", every =')


@pytest.mark.parametrize("key", ["xbzrlee", "timeoutx", "do"])
def test_another_key_is_unknown(key: str) -> None:
    """Negative control."""
    (found,) = complaints(changed("driver.migration", {key: True}))
    assert found.rule == "is not a known key"


def test_what_a_remedy_says_can_be_written() -> None:
    """Each piece of TOML in a remedy is valid at its place; each cost that one names exists."""
    written = 0
    for key, (rule, remedy) in ELSEWHERE.items():
        assert rule.startswith(("is", "has")), key
        for cost in re.findall(r"host\.costs\.(\w+)", remedy):
            assert cost in COSTS
        found = WRITTEN.search(remedy)
        if found is None or " = " not in found[1]:
            continue
        written += 1
        if found[1].startswith("{"):
            phase = tomllib.loads(f"phase = {found[1]}")["phase"]
            data = changed("driver.phases", [{"do": "write"}, phase])
            assert settings_of(data, "x.toml", Path())
        else:
            Migration.model_validate(tomllib.loads(found[1]))
            settings_of(changed("driver.migration", tomllib.loads(found[1])), "x.toml", Path())
    assert written > 15
