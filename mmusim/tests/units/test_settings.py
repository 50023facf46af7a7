"""Cells, resolved experiments, host profiles and the JSON schema: from a file to what is run."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import tomli_w

from mmusim.base.errors import ConfigError
from mmusim.base.parsing import read_toml
from mmusim.base.units import BYTES
from mmusim.config.experiment import Experiment
from mmusim.config.host import HostProfile, load_profile, shipped_profiles
from mmusim.config.load import check, load
from mmusim.config.resolved import resolved
from mmusim.config.schema import experiment_schema
from mmusim.config.settings import CHANGEABLE, Setting, load_settings, settings_of
from mmusim.config.vm_and_host import DEFAULT_PROFILE, Host
from mmusim.costs.distributions import Constant
from mmusim.policies import DEFAULT_KERNEL
from mmusim.tests.support.experiment_files import (
    HERE,
    changed,
    complaints,
    every_experiment,
    minimal,
    phases,
    the_setting,
    without,
)
from mmusim.vocabulary import COSTS
from mmusim.vocabulary.host_costs import SHARING_COSTS
from mmusim.vocabulary.machine_costs import MACHINE_COSTS


def grid() -> dict[str, Any]:
    data = changed("sweep", {"vm.vcpus": [1, 2], "vm.memory": ["1GiB", "2GiB", "4GiB"]})
    data["variants"] = {
        "new": {"vm.kernel": "linux-6.1", "host.costs.c_exit": "1us"},
        "old": {},
    }
    return data


def test_cells_are_every_variant_at_every_point_of_the_sweep() -> None:
    settings = settings_of(grid(), "x.toml", HERE)

    assert [tuple(setting.labels.values()) for setting in settings] == [
        (variant, vcpus, memory)
        for variant in ("new", "old")
        for vcpus in (1, 2)
        for memory in ("1GiB", "2GiB", "4GiB")
    ]
    assert list(settings[0].labels) == ["variant", "vm.vcpus", "vm.memory"]
    for setting in settings:
        new = setting.labels["variant"] == "new"
        assert setting.experiment.vm.vcpus == setting.labels["vm.vcpus"]
        assert setting.experiment.vm.memory == BYTES["GiB"] * int(setting.labels["vm.memory"][0])
        assert setting.experiment.vm.kernel == ("linux-6.1" if new else DEFAULT_KERNEL)
        assert (setting.costs["c_exit"] == Constant(1000.0)) is new


def test_every_cell_has_a_name_and_a_key_of_its_own() -> None:
    settings = settings_of(grid(), "x.toml", HERE)

    assert (
        len({setting.name for setting in settings})
        == len({setting.key() for setting in settings})
        == 12
    )


def test_expanding_leaves_the_data_alone() -> None:
    data = grid()
    before = copy.deepcopy(data)
    settings_of(data, "x.toml", HERE)

    assert data == before


@pytest.mark.parametrize(
    ("swept", "varied"),
    [("vm.vcpus", "vm.vcpus"), ("host.costs.c_exit", "host.costs"), ("vm", "vm.memory")],
)
def test_a_key_is_not_swept_and_set_by_a_variant(swept: str, varied: str) -> None:
    """One of the two would silently be run as something else."""
    data = changed("sweep", {swept: [4]})
    data["variants"] = {"v": {varied: 2}, "w": {"host.variance": "none"}}

    assert {(c.key, c.rule) for c in complaints(data)} == {
        (f"variants.v.{varied}", "is set here and swept in [sweep]: two values for one key")
    }


@pytest.mark.parametrize(
    ("key", "value", "same"),
    [
        ("question", "Another one?", True),
        ("notes", "Some.", True),
        ("replications.seeds", 5, True),
        ("policies.compare", ["none"], True),
        ("vm.memory", "1024MiB", True),
        ("vm.memory", "2GiB", False),
        ("vm.kernel", "linux-3.16", False),
        ("host.costs.c_exit", "1us", False),
        ("host.variance", "none", False),
        ("host.need_resched", "1ms", False),
        ("host.emulatorpin", 0, False),
        ("host.interference", [{"every": "4ms", "lasts": "5us"}], False),
        ("replications.pairing", "independent", False),
        ("driver.phases", [{"do": "write"}], False),
    ],
)
def test_a_key_hashes_what_decides_a_result_and_nothing_else(
    key: str, value: object, same: bool
) -> None:
    assert (the_setting(changed(key, value)).key() == the_setting(minimal()).key()) is same


OUTSIDE = f"is not a key in one of {', '.join(CHANGEABLE)}"


@pytest.mark.parametrize(
    ("swept", "rule", "remedy"),
    [
        ("vm.memry", "is not a known key", "did you mean 'memory'?"),
        ("vmn.memory", OUTSIDE, "write e.g. vm.memory"),
        ("policies.compare", OUTSIDE, "write e.g. vm.memory"),
        ("replications", OUTSIDE, "write e.g. vm.memory"),
        ("memory", OUTSIDE, "write e.g. vm.memory"),
        ("host.profile.x", "does not lead to a key", "write e.g. vm.memory"),
        ("driver.phases.0.do", "does not lead to a key", "write e.g. vm.memory"),
        ("host.costs.c_exti", "is not a cost of the model", "did you mean 'c_exit'?"),
    ],
)
@pytest.mark.parametrize("table", ["sweep", "variants"])
def test_a_swept_key_that_leads_nowhere_is_refused(
    table: str, swept: str, rule: str, remedy: str
) -> None:
    settings = {swept: ["1us"]} if table == "sweep" else {"v": {swept: "1us"}}
    (c,) = complaints(changed(table, settings))

    assert c.source == ("x.toml" if table == "sweep" else "x.toml [variants.v]")
    assert (c.key, c.rule, c.remedy) == (swept, rule, remedy)


def test_what_cells_may_change_are_tables_that_decide_results() -> None:
    """What is asked and compared is the same in every cell."""
    assert set(CHANGEABLE) == {"vm", "vmm", "host", "driver", "workloads", "replications"}
    assert set(CHANGEABLE) < set(Experiment.model_fields)


@pytest.mark.parametrize("table", ["sweep", "variants"])
def test_a_wrong_list_in_a_cell_is_a_complaint_like_any_other(table: str) -> None:
    """Though lists cannot be hashed."""
    settings: object = {"driver.phases": [[]]} if table == "sweep" else {"v": {"driver.phases": []}}
    (c,) = complaints(changed(table, settings))

    assert (c.key, c.value, c.rule) == ("driver.phases", [], "must not be empty")


def test_what_is_wrong_in_several_cells_is_said_of_each_variant_once() -> None:
    data = changed("sweep", {"replications.seeds": [5, 6], "vm.backing": ["2MiB", "3GiB"]})
    data["variants"] = {"a": {"vm.kernel": "linux-4"}, "b": {}}
    found = complaints(data)

    assert len(found) == len(set(found)) == 3
    assert {(c.source, c.key) for c in found} == {
        ("x.toml [variants.a]", "vm.kernel"),
        ("x.toml [variants.a]", "vm.backing"),
        ("x.toml [variants.b]", "vm.backing"),
    }


# Resolved cells.


def round_trip(setting: Setting, folder: Path) -> Setting:
    """Write a cell as TOML and read it back as an experiment of its own."""
    data = resolved(setting)
    if not data["policies"]["compare"]:  # one cell of one policy compares nothing, and is refused
        data["policies"]["compare"] = [f"{data['policies']['baseline']}+pml"]
    text = tomli_w.dumps(data)
    (back,) = settings_of(tomllib.loads(text), "resolved.toml", folder)
    return back


def assert_same(back: Setting, setting: Setting) -> None:
    assert back.key() == setting.key()
    assert back.costs == setting.costs
    assert back.experiment.vm == setting.experiment.vm
    assert back.experiment.driver == setting.experiment.driver
    assert back.experiment.workloads == setting.experiment.workloads
    assert back.experiment.replications == setting.experiment.replications


@pytest.mark.parametrize(
    "setting", settings_of(grid(), "x.toml", HERE)[::5], ids=lambda setting: setting.name
)
def test_a_resolved_cell_can_be_read_back_and_is_the_same(setting: Setting) -> None:
    assert_same(round_trip(setting, HERE), setting)
    assert isinstance(check(resolved(setting), Experiment, "resolved.toml"), Experiment)


@every_experiment
def test_resolved_cells_of_shipped_experiments_can_be_read_back(file: Path) -> None:
    for setting in load_settings(file)[1][::3]:
        assert_same(round_trip(setting, file.parent), setting)


def test_a_resolved_cell_spells_out_every_default_and_every_cost() -> None:
    data = resolved(the_setting(changed("host.costs", {"c_exit": "1us"})))

    unpaid = {*MACHINE_COSTS, *SHARING_COSTS}
    assert set(data["host"]["costs"]) == set(COSTS) - unpaid, "no machine, no shared processor"
    assert data["host"]["costs"]["c_exit"] == "1us"
    assert data["vm"]["memory"] == "1GiB"
    assert data["driver"]["phases"][1]["order"] == "sequential"
    assert data["schema"] == 1


def test_a_resolved_cell_with_one_cost_changed_is_another(tmp_path: Path) -> None:
    """Negative control for the equalities above."""
    setting = the_setting(minimal())
    data = resolved(setting)
    data["host"]["costs"]["c_exit"] = "123ns"
    (back,) = settings_of(data, "resolved.toml", tmp_path)

    assert back.key() != setting.key()


# Workloads in files of their own.


def test_keys_beside_the_name_of_a_workload_file_prevail_over_those_in_it(tmp_path: Path) -> None:
    (tmp_path / "w.toml").write_text('pattern = "reads-beside-writes"\nwrites = "7%"\n')
    data = changed("workloads.w", {"file": "w.toml", "accesses_per_page": 2.0})
    (setting,) = settings_of(data, "x.toml", tmp_path)

    assert setting.experiment.workloads["w"].model_dump(exclude_unset=True) == {
        "pattern": "reads-beside-writes",
        "writes": "7%",
        "accesses_per_page": 2.0,
    }
    assert_same(round_trip(setting, HERE), setting)  # of which no file is a part any more


def test_a_workload_file_that_is_missing_or_wrong_is_complained_about(tmp_path: Path) -> None:
    data = changed("workloads.w", {"file": "w.toml"})
    (missing,) = complaints(data, tmp_path)
    (tmp_path / "w.toml").write_text('pattern = "reads-beside-writes"\nwrite = "7%"\n')
    (wrong,) = complaints(data, tmp_path)

    assert (missing.source, missing.key) == (str(tmp_path / "w.toml"), "file")
    assert (wrong.key, wrong.remedy) == ("workloads.w.write", "did you mean 'writes'?")


# Host profiles.


@pytest.mark.parametrize("name", shipped_profiles())
def test_a_shipped_profile_knows_where_each_of_its_costs_comes_from(name: str) -> None:
    profile = load_profile(name)

    assert profile.name == name
    assert list(profile.costs) == list(COSTS)
    for cost in profile.costs.values():
        assert cost.provenance in ("measured", "published", "derived", "assumed")
        assert cost.note
        assert cost.distribution().mean() >= 0
    assert profile.describes
    assert profile.source


def write_profile(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    data = tomllib.loads(shipped_profiles()["skylake-2021"].read_text())
    change(data)
    file.write_text(tomli_w.dumps(data))


def test_a_profile_of_ones_own_lies_beside_the_experiment(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    write_profile(file, lambda data: data["costs"]["c_exit"].update(value="7us"))
    (setting,) = settings_of(changed("host.profile", "mine.toml"), "x.toml", tmp_path)

    assert setting.costs["c_exit"] == Constant(7000.0)
    assert setting.profile == load(file, HostProfile)


def test_everything_that_is_wrong_in_a_profile_is_said_at_once(tmp_path: Path) -> None:
    def spoil(data: dict[str, Any]) -> None:
        del data["source"]
        data["costs"]["c_exit"] |= {"value": 5, "provenance": "guessed"}
        del data["costs"]["c_entry"]["note"]
        data["costs"]["c_scan"]["note"] = ""

    write_profile(tmp_path / "bad.toml", spoil)
    with pytest.raises(ConfigError) as caught:
        settings_of(changed("host.profile", "bad.toml"), "x.toml", tmp_path)

    assert {c.source for c in caught.value.complaints} == {str(tmp_path / "bad.toml")}
    assert {(c.key, c.rule) for c in caught.value.complaints} == {
        ("source", "is required"),
        ("costs.c_exit.value", "must be text with a unit"),
        ("costs.c_exit.provenance", "is not one of the choices"),
        ("costs.c_entry.note", "is required"),
        ("costs.c_scan.note", "must not be empty"),
    }


def test_a_profile_has_no_cost_that_the_model_does_not_have(tmp_path: Path) -> None:
    write_profile(
        tmp_path / "bad.toml", lambda data: data["costs"].update(c_exti=data["costs"]["c_exit"])
    )
    with pytest.raises(ConfigError) as caught:
        load_profile("bad.toml", tmp_path)

    (c,) = caught.value.complaints
    assert (c.key, c.rule, c.remedy) == (
        "costs", "'c_exti' is not a cost of the model", "did you mean 'c_exit'?",
    )  # fmt: skip


def test_a_cost_that_a_profile_lacks_is_assumed_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A new cost of the model does not invalidate the profiles that people have."""
    write_profile(tmp_path / "mine.toml", lambda data: data["costs"].pop("c_exit"))
    profile = load_profile("mine.toml", tmp_path)
    load_profile("mine.toml", tmp_path)

    assert profile.defaulted == ("c_exit",)
    assert profile.costs["c_exit"].provenance == "assumed"
    assert COSTS["c_exit"].source in profile.costs["c_exit"].note
    usual = load_profile("skylake-2021").costs["c_exit"].distribution()
    assert profile.costs["c_exit"].distribution() == usual
    assert list(profile.costs) == list(COSTS)
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith(f"{tmp_path / 'mine.toml'}: has no value for c_exit; ")


def test_a_profile_that_gives_every_cost_is_not_remarked_upon(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Negative control."""
    write_profile(tmp_path / "whole.toml", lambda data: data)
    assert load_profile("whole.toml", tmp_path).defaulted == ()
    assert not caplog.records


def test_the_command_line_says_on_stderr_which_costs_are_assumed(tmp_path: Path) -> None:
    write_profile(tmp_path / "mine.toml", lambda data: data["costs"].pop("c_exit"))
    done = subprocess.run(
        [sys.executable, "-m", "mmusim", "hosts", str(tmp_path / "mine.toml"), "--json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    rows = {row["cost"]: row for row in json.loads(done.stdout)["rows"]}
    assert rows["c_exit"]["provenance"] == "assumed"
    assert done.stderr.startswith("mmusim: notice: ")
    assert "has no value for c_exit" in done.stderr


def _set_exit(value: str, profile: dict[str, Any]) -> None:
    profile["costs"]["c_exit"]["value"] = value


def test_a_profile_that_was_edited_is_read_again(tmp_path: Path) -> None:
    for value in ("7us", "8us"):
        change = partial(_set_exit, value)
        write_profile(tmp_path / "mine.toml", change)
        cost = load_profile("mine.toml", tmp_path).costs["c_exit"].distribution()

    assert cost == Constant(8000.0)


@pytest.mark.parametrize("table", ["the file", "a variant"])
def test_an_unknown_profile_is_blamed_on_what_names_it(table: str) -> None:
    variants = changed("variants", {"v": {"host.profile": "xyzzy"}})
    (c,) = complaints(changed("host.profile", "xyzzy") if table == "the file" else variants)

    assert c.source == ("x.toml" if table == "the file" else "x.toml [variants.v]")
    assert (c.key, c.value) == ("host.profile", "xyzzy")


def test_a_missing_profile_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nope\.toml: file: cannot be read") as caught:
        load_profile("nope.toml", tmp_path)

    assert caught.value.complaints[0].source == str(tmp_path / "nope.toml")


# The JSON schema that editors use.

SCHEMA = experiment_schema()
accepts = jsonschema.Draft202012Validator(SCHEMA).is_valid


def test_the_schema_is_a_valid_json_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@every_experiment
def test_the_schema_accepts_every_shipped_experiment_and_its_resolved_cells(file: Path) -> None:
    jsonschema.validate(read_toml(file), SCHEMA, jsonschema.Draft202012Validator)
    for setting in load_settings(file)[1][:2]:
        jsonschema.validate(resolved(setting), SCHEMA, jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    "data",
    [
        without("question"),
        changed("questoin", "x"),
        changed("schema", 2),
        changed("vm.memory", "1Gib"),
        changed("vm.memory", "1e100B"),
        changed("vm.memory", 4096),
        changed("vm.vcpus", 0),
        phases(),
        phases("raed"),
        phases({"do": "read", "ordr": "random"}),
        changed("host.costs", {"c_exit": "5"}),
        changed("host.costs", {"c_exit": {"gama": {}}}),
        changed("host.costs", {"c_exit": {"gamma": {"mean": "1us", "cv": 4}}}),
        changed("policies.compare", "lazy-drop"),
    ],
)
def test_the_schema_refuses_what_loading_refuses(data: dict[str, Any]) -> None:
    """Negative control: a schema that accepts everything would be valid, too."""
    assert accepts(minimal())
    assert not accepts(data)
    with pytest.raises(ConfigError):
        check(data, Experiment, "x.toml")


@pytest.mark.parametrize(
    "data",
    [
        changed("vm.memory", "4e3MiB"),
        changed("vm.memory", " 4_000.0 MiB "),
        phases({"do": "write", "pages": "5e1%"}),
        phases("write", {"do": "sleep", "time": "2.5e-03s"}),
        changed("host.costs", {"c_exit": {"gamma": {"mean": "1µs", "cv": 3}}}),
    ],
)
def test_the_schema_accepts_what_loading_accepts(data: dict[str, Any]) -> None:
    assert check(data, Experiment, "x.toml")
    assert accepts(data)


def test_the_default_profile_is_the_fit_to_published_times() -> None:
    """Its costs are those of skylake-2021, 14 of them times the factors that their notes state."""
    old, new = load_profile("skylake-2021"), load_profile(DEFAULT_PROFILE)
    stated = re.compile(r"^([\d.]+) times that of skylake-2021, by the fit to published times")
    factors = {
        name: float(found[1]) for name in COSTS if (found := stated.match(new.costs[name].note))
    }
    assert len(factors) == 14
    for name in COSTS:
        before, after = (p.costs[name].distribution().mean() for p in (old, new))
        assert after == pytest.approx(before * factors.get(name, 1.0), rel=2e-3), name
    assert Host().profile == DEFAULT_PROFILE
