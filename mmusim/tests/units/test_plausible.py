"""Costs and machines beyond what is plausible are told wherever their result is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmusim.config.defaults import rests_on
from mmusim.config.host import shipped_profiles
from mmusim.config.plausible import implausible
from mmusim.config.settings import settings_of
from mmusim.experiment.run import run_experiment
from mmusim.report.page import write_report
from mmusim.tests.support.experiment_files import changed
from mmusim.vocabulary import COSTS


def said(key: str, value: Any, folder: Path = Path()) -> list[str]:
    (setting,) = settings_of(changed(key, value), "x.toml", folder)
    return implausible(setting)


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("host.costs", {"t_line": "10s"}, "host.costs.t_line has a median of 10 s, and plausible"),
        ("host.costs", {"c_lock_indirect": "10us"}, "host.costs.c_lock_indirect has a median"),
        ("host.costs", {"c_exit": "1ns"}, "host.costs.c_exit has a median of 1 ns"),
        (
            "host.costs",
            {"c_exit": {"mixture": {"parts": [
                {"weight": 99, "of": "1us"}, {"weight": 1, "of": "9000s"},
            ]}}},
            "host.costs.c_exit has a mean of 90 s, and plausible is at most",
        ),
        ("host.machine", {"cores": 65536}, "host.machine: cores is 65536, and plausible is 1 to"),
        ("host.machine", {"cores": 8, "smt_gain": 0.9}, "host.machine: smt_gain is 0.9"),
        ("host.machine", {"cores": 8, "private_cache": "1TiB"}, "private_cache is 1TiB"),
    ],
)  # fmt: skip
def test_what_is_implausible_is_said(key: str, value: Any, text: str) -> None:
    (found,) = said(key, value)
    assert text in found


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("host.costs", {"t_line": "0.7ns", "c_exit": "2us"}),
        ("host.costs", dict.fromkeys(COSTS, "0ns")),
        ("host.machine", {"cores": 56, "nodes": 2}),
        ("host.machine", {"cores": 8, "smt_gain": 0.9, "plausible": {"smt_gain": [0.5, 0.95]}}),
        *(("host.profile", name) for name in shipped_profiles()),
    ],
)
def test_what_is_plausible_left_out_or_given_bounds_of_its_own_is_not(key: str, value: Any) -> None:
    """Negative control."""
    assert not said(key, value)


def test_a_profile_of_a_file_is_looked_at_unless_it_gives_bounds(tmp_path: Path) -> None:
    text = (
        "name = 'mine'\ndescribes = 'a host'\nsource = 'me'\n[costs]\n"
        "c_kick = { value = '1ms', provenance = 'measured', note = 'x' BOUNDS }\n"
    )
    for bounds, count in (("", 1), (", plausible = ['0.5ms', '2ms']", 0)):
        (tmp_path / "mine.toml").write_text(text.replace(" BOUNDS", bounds))
        found = said("host.profile", "mine.toml", tmp_path)
        assert len(found) == count
        assert all(text.startswith("c_kick of mine.toml has a median of 1 ms") for text in found)


def test_the_report_says_it(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text(
        "schema = 1\nid = 'x'\nquestion = 'x'\nhost = { costs = { c_kick = '1ms' } }\n"
        "vm = { memory = '4MiB' }\n[policies]\nbaseline = 'linux-6.1'\ncompare = ['linux-6.2']\n"
        "[driver]\nphases = [{ do = 'write' }]\n[replications]\nseeds = 2\n"
    )
    outcome = run_experiment(file, tmp_path / "out", workers=1, engine="simpy")
    assert (
        "host.costs.c_kick has a median of 1 ms, and plausible is"
        in write_report(outcome, tmp_path / "out").read_text()
    )
    assert len(rests_on(outcome.settings[0].setting)) == 2, "and the default of host.profile"
