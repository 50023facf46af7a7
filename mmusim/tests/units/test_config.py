"""Experiment files: what loads, and what a person is told about what does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from mmusim.base.errors import Complaint, ConfigError, MmusimError
from mmusim.base.parsing import parse_toml, read_toml
from mmusim.base.units import BYTES
from mmusim.config.driver import Driver
from mmusim.config.experiment import Experiment
from mmusim.config.host import load_profile
from mmusim.config.load import check, load
from mmusim.config.settings import load_settings, settings_of
from mmusim.config.vm_and_host import DEFAULT_PROFILE
from mmusim.costs.distributions import Constant, Gamma
from mmusim.policies import DEFAULT_KERNEL
from mmusim.tests.support.experiment_files import (
    EXPERIMENTS,
    HERE,
    MINIMAL,
    changed,
    complaints,
    every_experiment,
    manual,
    minimal,
    only,
    phases,
    the_setting,
    without,
)
from mmusim.vocabulary import COSTS


def what_stands_at(key: str, data: Any) -> object:
    """The value in the file at a key as complaints write it; None for a table or nothing."""
    if isinstance(data, list) and key:
        number, _, rest = key.removeprefix("[").partition("]")
        return what_stands_at(rest.removeprefix("."), data[int(number) - 1])
    if isinstance(data, dict):
        for name, value in data.items():
            rest = key.removeprefix(name)
            if key.startswith(name) and rest[:1] in ("", ".", "["):
                return what_stands_at(rest.removeprefix("."), value)
        return None
    return data


def assert_says(c: Complaint, says: str) -> None:
    """Compare with "rule; remedy", each of which may end in dots where the rest is left out."""
    for got, expected in zip((c.rule, c.remedy), says.split("; ", 1), strict=True):
        assert got
        assert got == expected or (
            expected.endswith("...") and got.startswith(expected.removesuffix("..."))
        )


# What loads.


def test_a_minimal_experiment_loads_with_its_defaults(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text(MINIMAL)
    experiment, settings = load_settings(file)

    assert experiment == load(file, Experiment) == check(minimal(), Experiment, "x.toml")
    assert experiment.policies.all == ["eager-drop", "lazy-drop"]
    assert (experiment.vm.vcpus, experiment.vm.memory) == (1, BYTES["GiB"])
    assert experiment.replications.seeds == 30
    assert isinstance(experiment.driver, Driver)
    assert experiment.driver.measured == 1
    assert [(setting.name, setting.labels, set(setting.costs)) for setting in settings] == [
        ("", {}, set(COSTS))
    ]


@every_experiment
def test_every_shipped_experiment_loads_and_is_in_the_folder_of_its_id(file: Path) -> None:
    experiment, settings = load_settings(file)

    assert experiment.id == file.parent.name
    assert settings


def test_there_are_shipped_experiments() -> None:
    """Negative control: the test above is not about an empty list."""
    assert len(EXPERIMENTS) >= 1


def test_an_experiment_cannot_be_changed_after_it_was_checked() -> None:
    experiment = check(minimal(), Experiment, "x.toml")

    with pytest.raises(ValueError, match="frozen"):
        experiment.id = "other"  # type: ignore[misc]


@pytest.mark.parametrize(("measure", "index"), [("last", 1), ("first", 0)])
def test_the_measured_phase_is_the_last_of_the_guest_or_the_one_named(
    measure: str, index: int
) -> None:
    data = phases({"do": "read", "name": "first"}, "write", "enable-logging", measure=measure)

    driver = the_setting(data).experiment.driver
    assert isinstance(driver, Driver)
    assert driver.measured == index


def test_costs_in_the_file_replace_those_of_the_profile() -> None:
    setting = the_setting(
        changed("host.costs", {"c_exit": "1.5us", "c_entry": {"gamma": {"mean": "1us", "cv": 0.5}}})
    )
    profile = load_profile("skylake-2021")

    assert setting.costs["c_exit"] == Constant(1500.0)
    assert setting.costs["c_entry"] == Gamma(1000.0, 0.5)
    assert setting.costs["c_fault_slow"] == profile.costs["c_fault_slow"].distribution()


def test_without_variance_every_cost_is_its_mean() -> None:
    as_profiled, flat = the_setting(minimal()), the_setting(changed("host.variance", "none"))

    assert flat.costs == {name: Constant(c.mean()) for name, c in as_profiled.costs.items()}
    assert flat.costs != as_profiled.costs


# Errors carry file, key, value, rule and remedy, all of them at once.


def test_a_complaint_is_one_line_of_source_key_value_rule_and_remedy() -> None:
    error = ConfigError.of("f.toml", "vm.memory", "3", "must be a size", 'write e.g. "4GiB"')

    assert str(error) == "f.toml: vm.memory = '3': must be a size; write e.g. \"4GiB\""
    assert str(Complaint("f.toml", "vm", None, "is required", "add it")) == (
        "f.toml: vm: is required; add it"
    )
    option = Complaint("--engine", "", "fast", "is not an engine", "choose simpy")
    assert str(option) == "--engine = 'fast': is not an engine; choose simpy", "no key, no gap"
    assert isinstance(error, MmusimError)
    assert isinstance(error, ValueError)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("plain \u00e9.toml", "plain \u00e9.toml"),
        ("two\nlines\x1b[31m", "two\\nlines\\x1b[31m"),
        ("\u202eback \udcff", "\\u202eback \\udcff"),
        ("x" * 5_000, "x" * 500 + "..." + "x" * 500),
    ],
)
def test_a_complaint_is_one_line_whatever_a_file_or_key_is_called(name: str, text: str) -> None:
    """A name from elsewhere does not write into the terminal what it likes."""
    assert str(Complaint(name, name, 1, "is odd", "drop it")) == (
        f"{text}: {text} = 1: is odd; drop it"
    )


def test_everything_that_is_wrong_in_a_file_is_said_at_once(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text("""
schema = 1
id = "bad"

[vm]
memory = "1Gib"
vcpus = 0
kernel = "linux-3.8x"

[host]
profil = "skylake-2021"

[policies]
baseline = "eager"
compare = 5

[driver]
phases = [{ do = "raed" }, { do = "sleep", time = 5 }]
""")
    with pytest.raises(ConfigError) as caught:
        load_settings(file)

    found = caught.value.complaints
    assert sorted((c.key, repr(c.value)) for c in found) == [
        ("driver.phases[1].do", "'raed'"),
        ("driver.phases[2].time", "5"),
        ("host.profil", "'skylake-2021'"),
        ("policies.baseline", "'eager'"),
        ("policies.compare", "5"),
        ("question", "None"),
        ("vm.kernel", "'linux-3.8x'"),
        ("vm.memory", "'1Gib'"),
        ("vm.vcpus", "0"),
    ]
    assert all(c.source == str(file) and c.rule and c.remedy for c in found)
    lines = str(caught.value).splitlines()
    assert lines == [str(c) for c in found]
    assert f"{file}: vm.vcpus = 0: must be at least 1" in str(caught.value)
    assert all(line.startswith(f"{file}: ") and "; " in line for line in lines)


def test_mending_everything_but_one_leaves_one_complaint() -> None:
    """Negative control: complaints are about what is wrong, not about the file."""
    assert len(complaints(changed("vm.vcpus", 0))) == 1
    assert settings_of(changed("vm.vcpus", 1), "x.toml", HERE)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read (No such file or directory); check path and permissions"),
        (b"a = [1\n", "is not valid TOML: Unclosed array...; correct the syntax at that place"),
        (
            b"a = 1\na = 2\n",
            "is not valid TOML: Cannot overwrite...; correct the syntax at that place",
        ),
        (
            b'a = "\xff"\n',
            "is not UTF-8 (byte 0xff in line 1); save it as UTF-8",
        ),
    ],
    ids=["missing", "unclosed", "twice", "not UTF-8"],
)
@pytest.mark.parametrize("reader", [read_toml, load_settings, lambda file: load_profile(str(file))])
def test_a_missing_or_broken_file_is_named_and_shown_with_the_place(
    tmp_path: Path, content: bytes | None, says: str, reader: Callable[[Path], object]
) -> None:
    file = tmp_path / "x.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        reader(file)

    (c,) = caught.value.complaints
    assert (c.source, c.key, c.value) == (str(file), "file", None)
    assert_says(c, says)


# What is wrong, one thing at a time.

EXIT = "host.costs.c_exit"
RUN_W = phases({"do": "run", "workload": "w"})["driver"]
RATIO = {"says": "x", "ratio": "lazy-drop / eager-drop", "expect": [0.4, 0.6]}
PUBLISHED = {"says": "x", "policy": "lazy-drop", "published": "11ms", "within": "5%"}
THEORY = {"says": "x", "policy": "lazy-drop", "theory": True, "metric": "fault_free_pages"}
UNKNOWN = "is not a known key; did you mean "
WHOLE = "write a whole number without quotes, point or unit"
EXAMPLE = {"size": '; write e.g. "4GiB"', "time": '; write e.g. "300ms"', "share": "; write e.g."}

# fmt: off
# what is put where; the key that is blamed, if another; rule and remedy
WRONG: dict[str, Sequence[tuple[str, object, str, str]]] = {
    "an unknown key": [
        ("questoin", "x", "", UNKNOWN + "'question'?"),
        ("vm.memry", "1GiB", "", UNKNOWN + "'memory'?"),
        ("driver.manual_protct", "on", "", UNKNOWN + "'manual_protect'?"),
        ("replications.seed", 1, "", UNKNOWN + "'seeds'?"),
        ("policies.comparee", [], "", UNKNOWN + "'compare'?"),
        ("vm.xyzzy", 1, "", "is not a known key; known: backing, cached_child_tables, ..."),
        ("host.profil", "x", "", UNKNOWN + "'profile'?"),
        ("workloads.w", {"pattern": "reads-beside-writes", "write": "1%"}, "workloads.w.write",
         UNKNOWN + "'writes'?"),
        ("workloads.shape", {"pattern": "reads-beside-writes", "write": "1%"},
         "workloads.shape.write", UNKNOWN + "'writes'?"),
        ("driver.phases", [{"do": "read", "ordr": "x"}], "driver.phases[1].ordr",
         UNKNOWN + "'order'?"),
        ("driver.phases", [{"do": "read"}, {"do": "sleep", "time": "1s", "tiem": "2s"}],
         "driver.phases[2].tiem", UNKNOWN + "'time'?"),
        ("claims", [RATIO, RATIO | {"expct": 1}], "claims[2].expct", UNKNOWN + "'expect'?"),
        (EXIT, {"lognormal": {"medain": "1us", "p99": "2us"}}, EXIT + ".lognormal.medain",
         UNKNOWN + "'median'?"),
        (EXIT, {"lognormall": {"median": "1us", "p99": "2us"}}, EXIT + ".lognormall",
         UNKNOWN + "'lognormal'?"),
        (EXIT, {"mixture": {"parts": [{"weight": 1.0, "of": "1us", "wieght": 2}]}},
         EXIT + ".mixture.parts[1].wieght", UNKNOWN + "'weight'?"),
    ],
    "a wrong type": [
        ("question", 5, "", "must be text; write one text in quotes"),
        ("vm", 3, "", "must be a table; write it as { key = value }"),
        ("question", ["why"], "", "must be text; write one text in quotes"),
        ("vm.vcpus", "2", "", "must be a whole number; " + WHOLE),
        ("vm.vcpus", "2 of 4", "", "must be a whole number; " + WHOLE),
        ("vm.vcpus", 2.0, "", "must be a whole number; " + WHOLE),
        ("claims", [RATIO | {"expect": ["0ns", 1.0]}], "claims[1].expect[1]",
         "must be a number; write a number without quotes or unit"),
        ("vm.cached_child_tables", 1, "",
         "must be true or false; write one of them without quotes"),
        ("host.costs", ["x"], "", "must be a table; write it as { key = value }"),
        ("policies.compare", "lazy-drop", "", "must be a list; put it in [ ]"),
        ("driver.phases", "read", "", "must be a list; put it in [ ]"),
        ("sweep", {"vm.memory": "1GiB"}, "sweep.vm.memory", "must be a list; put it in [ ]"),
    ],
    "a wrong quantity": [
        ("vm.memory", 4096, "", "must be text with a unit" + EXAMPLE["size"]),
        ("vm.memory", "1Gib", "", "must be a number and a unit of B, KiB, ..." + EXAMPLE["size"]),
        ("vm.memory", "0.1B", "", "must be a byte or more" + EXAMPLE["size"]),
        (EXIT, 5, "", "must be text with a unit" + EXAMPLE["time"]),
        (EXIT, "5", "", "must be a number and a unit of ns, ..." + EXAMPLE["time"]),
        (EXIT, "5 sec", "", "must be a number and a unit of ns, ..." + EXAMPLE["time"]),
        (EXIT, "1e99s", "", "must be shorter than 30 years" + EXAMPLE["time"]),
        (EXIT, "1e400s", "", "must be a number and a unit of ns, ..." + EXAMPLE["time"]),
        (EXIT, "1e9999999s", "", "must be a number and a unit of ns, ..." + EXAMPLE["time"]),
        ("workloads.w", {"pattern": "reads-beside-writes", "writes": "101%"},
         "workloads.w.writes", 'must lie between 0% and 100%; write e.g. "20%"'),
        ("workloads.w", {"pattern": "reads-beside-writes", "written_regions": "0%"},
         "workloads.w.written_regions", "must be more than 0; write a larger value"),
    ],
    "a number out of bounds": [
        ("schema", 0, "", "must be at least 1; write a larger value"),
        ("schema", 2, "", "must be at most 1; write a smaller value"),
        ("vm.vcpus", 0, "", "must be at least 1; write a larger value"),
        ("vm.vcpus", 4097, "", "must be at most 4,096; write a smaller value"),
        ("replications.seeds", 0, "", "must be at least 1; write a larger value"),
    ],
    "a wrong name": [
        ("id", "Bad Id", "", "must be words of a to z and 0 to 9...; write e.g. my-guest"),
        ("vm.kernel", "linux-3.7x", "",
         f"is not a release of Linux from 2.6.28 to {DEFAULT_KERNEL[6:]}; "
         "did you mean 'linux-3.7'?"),
        ("vm.mmu", "xyzzy", "", "is not one of the choices; known: legacy..."),
        ("host.profile", "skylake", "",
         "is neither a shipped profile nor a .toml file; did you mean 'skylake-2021'?"),
        ("host.profile", "xyzzy", "", "is neither a shipped profile nor a .toml file; "
         "known: emerald-rapids-pvm, emerald-rapids-pvm-2, server-2012, skylake-2021, "
         "skylake-2021-fitted, skylake-2021-two-sockets, xiao-2012-r1, xiao-2012-r2, "
         "xiao-2012-r3"),
        ("host.variance", "non", "", "is not one of the choices; did you mean 'none'?"),
        ("policies.baseline", "eager", "", "is not a policy; did you mean 'eager-drop'?"),
        ("policies.compare", ["lazy"], "policies.compare[1]",
         "is not a policy; did you mean 'lazy-drop'?"),
        ("driver.kind", "loop", "",
         "is not one of the choices; known: dirty-log-perf-test, script"),
        ("driver.manual_protect", "yes", "",
         "is not one of the choices; known: initially-all-set, off, on"),
        ("driver.phases", [{"do": "write"}, {"do": "raed"}], "driver.phases[2].do",
         "is not one of the choices; did you mean 'read'?"),
        ("driver.phases", [{"do": "write"}, {"do": "dance"}], "driver.phases[2].do",
         "is not one of the choices; known: checkpoint, ..."),
        ("driver.phases", [{"name": "x"}], "driver.phases[1].do",
         "is required; choose read, write, touch, ..."),
        ("replications.pairing", "by-acces", "",
         "is not one of the choices; did you mean 'by-access'?"),
        ("workloads.w", {"pattern": "read-beside-writes"}, "workloads.w.pattern",
         "is not one of the choices; did you mean 'reads-beside-writes'?"),
        ("claims", [RATIO | {"metric": "phase_tim"}], "claims[1].metric",
         "is not one of the choices; did you mean 'phase_time'?"),
    ],
    "too little": [
        ("policies.compare", [], "",
         "leaves nothing to compare: one policy, one setting; name another policy..."),
        ("driver.phases", [], "", "must not be empty; add at least one entry"),
        ("sweep", {"vm.memory": []}, "sweep.vm.memory",
         "must not be empty; add at least one entry"),
        ("claims", [RATIO | {"expect": [0.4]}], "claims[1].expect",
         "must have at least 2 entries; complete it"),
    ],
    "a policy named twice": [
        ("policies.compare", ["eager-drop"], "",
         "names a policy twice; name each once, and leave the baseline out"),
        ("policies.compare", ["lazy-drop", "lazy-drop"], "",
         "names a policy twice; name each once, and leave the baseline out"),
        ("policies.compare", ["lazy-drop+spinlock", "spinlock+lazy-drop"], "",
         "names a policy twice; name each once, and leave the baseline out"),
    ],
    "memory that cannot be parted": [
        ("vm", {"memory": "4MiB", "vcpus": 1025}, "vm.vcpus", "leaves a vCPU without a page of the "
         "4MiB; lower it or raise vm.memory"),
    ],
    "no distribution": [
        (EXIT, {}, "", "must have exactly one shape; choose one of lognormal, gamma, ..."),
        (EXIT, {"gamma": {"mean": "1us", "cv": 0.5}, "shifted": {"by": "1us", "base": "1us"}}, "",
         "must have exactly one shape; choose one of lognormal, gamma, ..."),
        (EXIT, {"lognormal": {"p99": "3us"}}, EXIT + ".lognormal",
         'must give either median or mean; write e.g. median = "1us"'),
        (EXIT, {"lognormal": {"median": "1us", "mean": "1us", "p99": "3us"}}, EXIT + ".lognormal",
         'must give either median or mean; write e.g. median = "1us"'),
        (EXIT, {"lognormal": {"median": "1us"}}, EXIT + ".lognormal",
         'must give one of p90, p95, p99, p999; write e.g. p99 = "3us"'),
        (EXIT, {"lognormal": {"median": "1us", "p90": "2us", "p99": "3us"}}, EXIT + ".lognormal",
         'must give one of p90, p95, p99, p999; write e.g. p99 = "3us"'),
        (EXIT, {"lognormal": {"median": "1us", "p99": "1us"}}, EXIT + ".lognormal",
         "the quantile must lie above the median; give a larger value"),
        (EXIT, {"lognormal": {"mean": "1us", "p99": "2ms"}}, EXIT + ".lognormal",
         "no lognormal has its 0.99 quantile at 2e+03 times its mean; choose a factor between..."),
        (EXIT, {"lognormal": {"median": "0us", "p99": "2ms"}}, EXIT + ".lognormal.median",
         "must be more than 0; write a larger value"),
        (EXIT, {"gamma": {"mean": "1us", "cv": 0.0}}, EXIT + ".gamma.cv",
         "must be more than 0; write a larger value"),
        (EXIT, {"gamma": {"mean": "1us", "cv": 3.1}}, EXIT + ".gamma.cv",
         "must be at most 3; write a smaller value"),
        (EXIT, {"quantiles": {"p": [0, 0.5], "value": ["1us", "2us"]}}, EXIT + ".quantiles",
         "p must ascend from 0 to 1; write e.g. p = [0, 0.5, 0.99, 1]"),
        (EXIT, {"quantiles": {"p": [0, 1], "value": ["2us", "1us"]}}, EXIT + ".quantiles",
         "the values must not descend; sort them"),
        (EXIT, {"quantiles": {"p": [0, 1], "value": ["2us"]}}, EXIT + ".quantiles",
         "must have as many p as values, at least two; complete the table"),
        (EXIT, {"mixture": {"parts": []}}, EXIT + ".mixture.parts",
         "must not be empty; add at least one entry"),
        (EXIT, {"mixture": {"parts": [{"weight": 0.0, "of": "1us"}]}},
         EXIT + ".mixture.parts[1].weight", "must be more than 0; write a larger value"),
        (EXIT, {"shifted": {"by": 5, "base": "1us"}}, EXIT + ".shifted.by",
         "must be text with a unit" + EXAMPLE["time"]),
    ],
    "no sense in the order of phases": [
        ("driver", phases("enable-logging")["driver"], "",
         "no phase makes the guest work; add a read, write or run phase"),
        ("driver", phases("write", "get-dirty-log")["driver"], "",
         "phases[2] (get-dirty-log) needs logging; put enable-logging before it"),
        ("driver", phases("write", "enable-logging", "disable-logging", "get-dirty-log")["driver"],
         "", "phases[4] (get-dirty-log) needs logging; put enable-logging before it"),
        ("driver", manual("write", "clear-dirty-log")["driver"], "",
         "phases[2] (clear-dirty-log) needs logging; put enable-logging before it"),
        ("driver", manual("enable-logging", "write", "clear-dirty-log")["driver"], "",
         "phases[3] (clear-dirty-log) needs a bitmap; put get-dirty-log before it"),
        ("driver", phases({"do": "write", "background": True}, "recreate-slot")["driver"], "",
         "phases[2] (recreate-slot) deletes the memory of a running guest; put wait before it"),
        ("driver", phases({"do": "read", "name": "1st pass"}, measure="1st-pass")["driver"], "",
         "measure = '1st-pass' names no guest phase; did you mean '1st pass'?"),
    ],
    "a claim of no kind or of two": [
        ("claims", [RATIO, claim], "claims[2]", "must be of one kind; give either ratio and ...")
        for claim in (
            {"says": "x"},
            {"says": "x", "ratio": "lazy-drop / eager-drop"},
            {"says": "x", "expect": [0.4, 0.6]},
            {"says": "x", "policy": "lazy-drop", "published": "11ms"},
            {"says": "x", "published": "11ms", "within": "5%"},
            RATIO | PUBLISHED,
            RATIO | THEORY,
            RATIO | {"within": "5%"},
            RATIO | {"policy": "lazy-drop"},
        )
    ],
    "a claim that cannot hold": [
        ("claims", [RATIO | {"ratio": "lazy-drop"}], "claims[1]",
         'ratio must name two policies; write e.g. "lazy-drop / eager-drop"'),
        ("claims", [RATIO | {"ratio": "a / b / c"}], "claims[1]",
         'ratio must name two policies; write e.g. "lazy-drop / eager-drop"'),
        ("claims", [RATIO | {"expect": [0.6, 0.4]}], "claims[1]",
         "expect must ascend; write [lowest, highest]"),
        ("claims", [THEORY | {"metric": "faults"}], "claims[1]",
         "theory needs a policy and a metric with a closed form; choose fault_free_pages"),
        ("claims", [PUBLISHED | {"published": 11}], "claims[1].published",
         "must be text with a unit" + EXAMPLE["time"]),
    ],
}
# fmt: on


@pytest.mark.parametrize(
    ("path", "value", "key", "says"),
    [
        pytest.param(*row, id=f"{what}: {row[2] or row[0]} {number}")
        for what, rows in WRONG.items()
        for number, row in enumerate(rows, 1)
    ],
)
def test_what_is_wrong_is_answered_with_key_value_rule_and_remedy(
    path: str, value: object, key: str, says: str
) -> None:
    """And with nothing else: it is the only complaint."""
    data = changed(path, value)
    c = only(data)

    assert c.key == (key or path)
    assert c.value == what_stands_at(c.key, data)
    assert_says(c, says)


@pytest.mark.parametrize("key", ["schema", "id", "question", "policies", "driver"])
def test_what_has_no_default_is_required(key: str) -> None:
    assert only(without(key)) == Complaint("x.toml", key, None, "is required", "add it")


def test_the_nearest_key_is_spelled_as_in_the_file() -> None:
    """It is `schema`, not the name of the field that holds it."""
    data = without("schema") | {"schma": 1}

    assert {c.remedy for c in complaints(data)} == {"add it", "did you mean 'schema'?"}


@pytest.mark.parametrize(
    "data",
    [
        changed("host.costs", {"c_exit": spec})
        for spec in (
            "0ns",
            {"lognormal": {"median": "1us", "p999": "3us"}},
            {"lognormal": {"mean": "1us", "p90": "2us"}},
            {"gamma": {"mean": "1us", "cv": 1}},
            {"gamma": {"mean": "1us", "cv": 3.0}},
            {"quantiles": {"p": [0, 0.5, 1], "value": ["1us", "2us", "2us"]}},
            {"shifted": {"by": "1us", "base": {"gamma": {"mean": "1us", "cv": 0.5}}}},
            {"mixture": {"parts": [{"weight": 9, "of": "1us"}, {"weight": 1, "of": "9us"}]}},
        )
    ]
    + [
        changed("vm", {"memory": "12MiB", "vcpus": 3}),
        changed("claims", [RATIO, PUBLISHED, THEORY]),
        manual("enable-logging", "write", "get-dirty-log", "clear-dirty-log"),
        manual("enable-logging", "write"),
        phases({"do": "write", "background": True}, "wait", "recreate-slot"),
    ],
)
def test_what_is_nearly_the_same_and_right_is_accepted(data: dict[str, Any]) -> None:
    """Negative control for the refusals above."""
    setting = the_setting(data)

    assert setting.costs["c_exit"].mean() >= 0
    assert len(check(data, Experiment, "x.toml").claims) == len(data.get("claims", []))


@pytest.mark.parametrize(
    ("memory", "nearest"),
    [("3MiB", "4MiB"), ("3000KiB", "2MiB"), ("3073KiB", "4MiB"), ("1B", "2MiB"), ("0B", "2MiB"),
     ("5MB", "4MiB"), ("1GB", "954MiB")],
)  # fmt: skip
def test_a_memory_that_is_no_multiple_of_2_mib_is_answered_with_the_nearest_that_is(
    memory: str, nearest: str
) -> None:
    assert only(changed("vm.memory", memory)) == Complaint(
        "x.toml",
        "vm.memory",
        memory,
        'must be a whole number of 2 MiB regions with backing = "2MiB"',
        f'write "{nearest}", or backing = "4KiB"',
    )
    assert the_setting(changed("vm.memory", nearest))


def test_a_chunk_is_a_whole_number_of_64_pages() -> None:
    wrong, right = (
        manual("enable-logging", "write", "get-dirty-log", {"do": "clear-dirty-log", "chunk": c})
        for c in ("100KiB", "256KiB")
    )
    c = only(wrong)

    assert (c.key, c.value) == ("driver.phases[4].chunk", "100KiB")
    assert_says(c, 'must be a multiple of 64 pages (256KiB); write e.g. "1GiB"')
    assert the_setting(right)


def test_the_sides_of_a_claim_are_its_policies() -> None:
    experiment = check(changed("claims", [RATIO, PUBLISHED]), Experiment, "x.toml")

    assert [c.sides for c in experiment.claims] == [["lazy-drop", "eager-drop"], ["lazy-drop"]]


# What does not fit together is blamed on one of the keys that do not.

MISFITS = {
    "an unknown cost": (
        changed("host.costs", {"c_exti": "1us"}),
        ("host.costs.c_exti", "c_exti"),
        "is not a cost of the model; did you mean 'c_exit'?",
    ),
    "no workload": (
        changed("driver", RUN_W),
        ("driver.phases[1].workload", "w"),
        "is not a workload; none is defined; define one",
    ),
    "an unknown workload": (
        changed("workloads.ww", {"pattern": "reads-beside-writes"}) | {"driver": RUN_W},
        ("driver.phases[1].workload", "w"),
        "is not a workload; did you mean 'ww'?",
    ),
    "an unknown policy in a ratio": (
        changed("claims", [RATIO, RATIO | {"ratio": "lazy-dorp / eager-drop"}]),
        ("claims[2]", "lazy-dorp"),
        "is not a policy of this experiment; did you mean 'lazy-drop'?",
    ),
    "a policy that is not compared": (
        changed("claims", [PUBLISHED | {"policy": "none"}]),
        ("claims[1]", "none"),
        "is not a policy of this experiment; known: eager-drop, lazy-drop",
    ),
    "an unknown label": (
        changed("sweep", {"vm.vcpus": [1, 2]}) | {"claims": [RATIO | {"where": {"vcpus": [1]}}]},
        ("claims[1].where", "vcpus"),
        "is not a label of this experiment; did you mean 'vm.vcpus'?",
    ),
    "an unknown value of a label": (
        changed("sweep", {"vm.vcpus": [1, 2]}) | {"claims": [RATIO | {"where": {"vm.vcpus": [3]}}]},
        ("claims[1].where", 3),
        "is not a value of vm.vcpus; known: 1, 2",
    ),
    **{
        f"manual protect in {kernel}": (
            manual("enable-logging", "write", kernel=kernel),
            ("driver.manual_protect", "on"),
            f"does not exist in {kernel} with policy 'eager-drop': "
            "KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 came in 5.2 (from linux-5.2); set vm.kernel = "
            "'linux-5.2', or take the nearest legal combination, which has reporting = "
            "'get-clears'",
        )
        for kernel in ("linux-3.7", "linux-3.16")
    },
    "clearing without manual protect": (
        phases("write", "enable-logging", "get-dirty-log", "clear-dirty-log"),
        ("driver.phases[4].do", None),
        "clear-dirty-log goes with manual-clear, initially-all-set and not with get-clears, of "
        "policy 'eager-drop'; use sync-dirty-log, which goes with every way of reporting, or set "
        'manual_protect = "on"',
    ),
}


@pytest.mark.parametrize(("data", "blamed", "says"), MISFITS.values(), ids=MISFITS)
def test_of_two_parts_that_do_not_fit_one_is_blamed(
    data: dict[str, Any], blamed: tuple[str, object], says: str
) -> None:
    c, *others = complaints(data)

    assert (c.key, c.value) == blamed
    assert_says(c, says)
    assert {other.key for other in others} <= {c.key}, "the same of another policy"


def test_a_workload_that_is_defined_may_be_run() -> None:
    """Negative control for the unknown ones above."""
    data = changed("workloads.w", {"pattern": "reads-beside-writes"}) | {"driver": RUN_W}

    assert the_setting(data)


@pytest.mark.parametrize(
    ("spec", "key", "remedy"),
    [
        (
            {"shifted": {"by": "1us", "base": {"gama": {}}}},
            ".shifted.base.gama",
            "did you mean 'gamma'?",
        ),
        (
            {"mixture": {"parts": [{"weight": 1, "of": {"gama": {}}}]}},
            ".mixture.parts[1].of.gama",
            "did you mean 'gamma'?",
        ),
        (
            {"shifted": {"by": "1us", "base": {"gamma": {"mean": "1us", "cv": 4.0}}}},
            ".shifted.base.gamma.cv",
            "write a smaller value",
        ),
    ],
    ids=["shifted", "mixture", "value"],
)
def test_what_is_wrong_within_a_shape_within_a_shape_is_answered_the_same_way(
    spec: object, key: str, remedy: str
) -> None:
    c = only(changed(EXIT, spec))

    assert (c.key, c.remedy) == (EXIT + key, remedy)


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (changed("policies.compare", ["lazy", "eagre"]), ["lazy", "eagre"]),
        (changed("host.costs", {"c_exti": "1us", "c_entyr": "1us"}), ["c_exti", "c_entyr"]),
        (
            changed("claims", [PUBLISHED | {"policy": "lazy"}, PUBLISHED | {"policy": "eagre"}]),
            ["lazy", "eagre"],
        ),
    ],
    ids=["policies", "costs", "claims"],
)
def test_two_unknown_names_are_both_reported(data: dict[str, Any], names: list[str]) -> None:
    found = complaints(data)

    assert [c.value for c in found] == names
    assert len({c.key for c in found}) == 2


# Metrics that no run will have.

REQUESTS = {"pattern": "open-loop-requests"}


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        ("p99_request", "serves no requests"),
        ("request_count", "serves no requests"),
        ("downtime", "is not a migration"),
        ("laps", "is not a write-page-table"),
        ("clear_time", "there is no phase clear-dirty-log"),
    ],
)
def test_a_metric_that_no_run_has_is_refused_before_they_are_made(metric: str, reason: str) -> None:
    claim = {"says": "s", "metric": metric, "best": "lazy-drop"}
    data = changed("claims", [claim]) | {"answer_by": metric}
    answered, claimed = complaints(data)

    assert (answered.key, claimed.key) == ("answer_by", "claims[1].metric")
    assert reason in answered.rule
    assert answered.rule == claimed.rule


def test_a_metric_that_some_runs_have_may_be_asked_for() -> None:
    """Negative control: requests where the workload has them, in one of two variants."""
    data = changed("workloads.w", REQUESTS) | {"driver": RUN_W, "answer_by": "p99_request"}
    assert the_setting(data)
    data["workloads"]["w"] = {"pattern": "uniform"}
    assert complaints(data)
    data["variants"] = {"a": {"workloads.w": REQUESTS}, "b": {}}
    assert len(settings_of(data, "x.toml", Path())) == 2


@pytest.mark.parametrize(
    ("policies", "vm", "said"),
    [
        (["eager-drop", "lazy-drop"], {}, True),
        (["eager-drop", "lazy-drop"], {"kernel": "linux-3.7"}, False),
        (["linux-6.1", "linux-3.7"], {}, False),
    ],
)
def test_a_result_that_rests_on_the_default_kernel_says_so(
    policies: list[str], vm: dict[str, str], said: bool, tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    data = changed("policies", {"baseline": policies[0], "compare": policies[1:]}) | {"vm": vm}
    file = tmp_path / "x.toml"
    file.write_text(tomli_w.dumps(data))
    load_settings(file)
    assert (f"{DEFAULT_KERNEL} is the default, vm.kernel is not given" in caplog.text) is said


@pytest.mark.parametrize(("host", "said"), [({}, True), ({"profile": "xiao-2012-r1"}, False)])
def test_a_result_that_rests_on_the_default_host_says_so(
    host: dict[str, str], said: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "x.toml"
    file.write_text(tomli_w.dumps(changed("host", host)))
    load_settings(file)
    default = f"{DEFAULT_PROFILE} is the default, host.profile is not given"
    assert (default in caplog.text) is said


@pytest.mark.parametrize(
    "character", ["\x1b", "\x7f", "\x85", "\x9b", "\u2028", "\u2029", "\u202e", "\u2066"]
)
def test_text_that_would_turn_or_break_a_line_is_refused(character: str) -> None:
    """Negative control: letters that are written from right to left, and a joiner."""
    control = parse_toml('question = "\u05d0\u05d1\u200d?"', "x.toml")
    assert control == {"question": "\u05d0\u05d1\u200d?"}
    escaped = f"\\u{ord(character):04x}"
    with pytest.raises(ConfigError, match=r"question = .*: has a control character; write it"):
        parse_toml(f'question = "a{escaped}b"', "x.toml")


def test_a_folder_in_the_place_of_an_experiment_has_the_right_remedy(tmp_path: Path) -> None:
    """Who gives the folder of the runs is not told to name a file in it: that is the ledger."""
    with pytest.raises(ConfigError, match=r"is a folder and no experiment file; give the \.toml"):
        load_settings(tmp_path)


def test_port_io_is_as_rare_as_it_can_be_served() -> None:
    told = only(changed("driver.migration.io_interval", "999ns"))
    assert (told.key, told.value) == ("driver.migration.io_interval", "999ns")
    assert "no exit to user space is served in less" in told.rule
    for value in ("1us", "0ns"):  # negative control
        the_setting(changed("driver.migration.io_interval", value))
