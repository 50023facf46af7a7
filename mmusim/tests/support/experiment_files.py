"""Experiments for tests: the smallest one, changes to it, and what is complained about them."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

import mmusim
from mmusim.base.errors import Complaint, ConfigError
from mmusim.config.settings import Setting, settings_of

READ_AFTER_PROTECT = '{ do = "write" }, { do = "enable-logging" }, { do = "read" }'


def experiment_text(
    name: str,
    question: str = "?",
    *,
    vm: str = "",
    profile: str = "skylake-2021",
    phases: str = READ_AFTER_PROTECT,
    more: str = "",
) -> str:
    """An experiment file of two policies; `vm` and `more` are lines of it."""
    return f"""
schema = 1
id = "{name}"
question = "{question}"
{f"[vm]{chr(10)}{vm}{chr(10)}" if vm else ""}[host]
profile = "{profile}"
[policies]
baseline = "eager-drop"
compare = ["lazy-drop"]
[driver]
phases = [{phases}]
{more}"""


MINIMAL = experiment_text(
    "minimal", "Does it load?", phases='{ do = "enable-logging" }, { do = "write" }'
)
"""The smallest file."""

SMALL = experiment_text(
    "small",
    "Is it faster?",
    vm='memory = "4MiB"\nkernel = "linux-3.7"',
    profile="xiao-2012-r1",
    more="""[replications]
seeds = 5
[[claims]]
says = "it is"
ratio = "lazy-drop / eager-drop"
expect = [0.0, 0.9]
""",
)
"""A question that is answered in a second."""

EXPERIMENTS = sorted((Path(mmusim.__file__).parents[1] / "experiments").glob("*/experiment.toml"))
every_experiment = pytest.mark.parametrize("file", EXPERIMENTS, ids=lambda file: file.parent.name)
HERE = Path()


def minimal() -> dict[str, Any]:
    return tomllib.loads(MINIMAL)


def changed(path: str, value: object) -> dict[str, Any]:
    """The minimal experiment with one value added or replaced; tables on the way are made."""
    data = minimal()
    *tables, last = path.split(".")
    table = data
    for name in tables:
        table = table.setdefault(name, {})
    table[last] = value
    return data


def without(key: str) -> dict[str, Any]:
    return {k: v for k, v in minimal().items() if k != key}


def phases(*do: object, **driver: object) -> dict[str, Any]:
    listed = [{"do": d} if isinstance(d, str) else d for d in do]
    return changed("driver", {"phases": listed, **driver})


def manual(*do: object, kernel: str = "linux-6.1") -> dict[str, Any]:
    return phases(*do, manual_protect="on") | {"vm": {"kernel": kernel}}


def complaints(data: dict[str, Any], folder: Path = HERE) -> list[Complaint]:
    with pytest.raises(ConfigError) as caught:
        settings_of(data, "x.toml", folder)
    return list(caught.value.complaints)


def only(data: dict[str, Any]) -> Complaint:
    (c,) = complaints(data)
    assert c.source == "x.toml"
    return c


def the_setting(data: dict[str, Any], folder: Path = HERE) -> Setting:
    (setting,) = settings_of(data, "x.toml", folder)
    return setting
