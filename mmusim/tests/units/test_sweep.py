"""Sweeps: grids, keys that change together, designs; and axes that contradict each other."""

from __future__ import annotations

import tomllib
from typing import Any

import jsonschema
import numpy as np
import pytest
from scipy.stats import qmc

from mmusim.base.units import parse_ns
from mmusim.config.ranges import Range
from mmusim.config.schema import experiment_schema
from mmusim.config.settings import Setting, settings_of
from mmusim.tests.support.experiment_files import HERE, MINIMAL, changed, complaints, minimal
from mmusim.tests.support.places import ROOT


def settings(text: str) -> list[Setting]:
    return settings_of(tomllib.loads(MINIMAL + text), "x.toml", HERE)


def labels(text: str) -> list[tuple[Any, ...]]:
    return [tuple(setting.labels.values()) for setting in settings(text)]


SAMPLE = """
[vm]
memory = "24MiB"
[sweep.sample]
design = "{design}"
points = 16
seed = {seed}
[sweep.sample.ranges]
"host.costs.c_exit" = {{ from = "500ns", to = "8us", scale = "log" }}
"vm.vcpus" = {{ from = 1, to = 4 }}
"""


def test_zipped_keys_change_together_at_every_point_of_the_grid() -> None:
    found = labels(
        '[sweep]\n"vm.backing" = ["4KiB", "2MiB"]\n[sweep.zip]\n"vm.vcpus" = [1, 2, 4]\n'
        '"vm.memory" = ["1GiB", "2GiB", "4GiB"]\n'
    )
    assert found == [
        (backing, vcpus, f"{vcpus}GiB") for backing in ("4KiB", "2MiB") for vcpus in (1, 2, 4)
    ]


def test_a_design_is_crossed_with_grid_and_variants() -> None:
    text = '[variants.a]\n[variants.b]\n[sweep]\n"vm.backing" = ["4KiB", "2MiB"]\n'
    found = labels(text + SAMPLE.format(design="sobol", seed=1))
    assert len(found) == len(set(found)) == 2 * 2 * 16
    drawn = {(variant, backing): [] for variant, backing, *_ in found}  # type: ignore[var-annotated]
    for variant, backing, *point in found:
        drawn[variant, backing].append(point)
    assert len(drawn) == 4
    assert all(points == drawn["a", "4KiB"] for points in drawn.values()), "the same everywhere"


@pytest.mark.parametrize("design", ["sobol", "latin-hypercube", "random"])
def test_a_design_is_the_same_for_a_seed_and_another_for_another(design: str) -> None:
    first, again, other = (labels(SAMPLE.format(design=design, seed=seed)) for seed in (1, 1, 2))
    assert first == again != other
    assert len(first) == 16


def places(design: str) -> np.ndarray:
    """Where the points of a design lie in the unit square; the second key in quarters."""
    points = labels(SAMPLE.format(design=design, seed=3))
    return np.array([[np.log2(parse_ns(c) / 500) / 4, (v - 0.5) / 4] for c, v in points])


def test_designs_are_even_as_they_promise_and_random_points_are_not() -> None:
    """A Latin hypercube has a point in every sixteenth; of 16 Sobol points so does any box."""
    every = list(range(16))
    for design in ("latin-hypercube", "sobol"):
        assert sorted(np.floor(places(design)[:, 0] * 16).astype(int)) == every, design
    sobol = places("sobol")
    boxes = np.floor(sobol[:, 0] * 4) * 4 + np.floor(sobol[:, 1] * 4)
    assert sorted(boxes.astype(int)) == every
    assert sorted(np.floor(places("random")[:, 0] * 16).astype(int)) != every, "control"
    assert qmc.discrepancy(sobol) < qmc.discrepancy(places("random"))


@pytest.mark.parametrize(
    ("limits", "low", "middle", "high"),
    [
        ({"from": "1us", "to": "100us"}, "1us", "50.5us", "100us"),
        ({"from": "1us", "to": "100us", "scale": "log"}, "1us", "10us", "100us"),
        ({"from": "100ns", "to": "2ms", "scale": "log"}, "100ns", "14.1421us", "2ms"),
        ({"from": "0ns", "to": "1s"}, "0ns", "500ms", "1s"),
        ({"from": "4MiB", "to": "8MiB", "step": "2MiB"}, "4MiB", "6MiB", "8MiB"),
        ({"from": "4KiB", "to": "12KiB"}, "4KiB", "8KiB", "12KiB"),
        ({"from": "10MB/s", "to": "4GB/s", "scale": "log"}, "10MB/s", "200MB/s", "4GB/s"),
        ({"from": "0%", "to": "50%"}, "0%", "25%", "50%"),
        ({"from": 1, "to": 3}, 1, 2, 3),
        ({"from": 1, "to": 64, "scale": "log"}, 1, 6, 64),
        ({"from": 0.5, "to": 2, "scale": "log"}, 0.5, 1.0, 2.0),
        ({"from": 1, "to": 9, "step": 4}, 1, 5, 9),
    ],
)
def test_ranges_at_their_ends_and_in_the_middle(
    limits: dict[str, Any], low: Any, middle: Any, high: Any
) -> None:
    r = Range.model_validate(limits)
    assert r.wrong() is None
    assert [r.at(0.0), r.at(0.5), r.at(1 - 1e-12)] == [low, middle, high]
    assert type(r.at(0.3)) is type(middle)


def test_every_step_of_a_range_has_an_equal_part() -> None:
    r = Range.model_validate({"from": 1, "to": 4})
    drawn = [r.at(u) for u in (np.arange(4000) + 0.5) / 4000]
    assert [drawn.count(value) for value in (1, 2, 3, 4)] == [1000] * 4


def sampled(key: str, limits: object, **more: object) -> dict[str, Any]:
    sample = {"design": "sobol", "points": 8, "ranges": {key: limits}} | more
    return changed("sweep.sample", sample)


EXIT = "host.costs.c_exit"
US = {"from": "1us", "to": "2us"}


def one(data: dict[str, Any]) -> tuple[str, object, str, str]:
    (c,) = complaints(data)
    return c.key, c.value, c.rule, c.remedy


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            changed("sweep", {"vm.vcpus": [1, 2], "zip": {"vm.vcpus": [2, 4]}}),
            ("vm.vcpus", None, "is swept twice, in [sweep] and in [sweep.zip]",
             "leave it out of one"),
        ),
        (
            changed("sweep", {"host.costs": [{}], EXIT: ["1us"]}),
            (EXIT, None, "is part of host.costs, which is swept as well", "sweep only one"),
        ),
        (
            changed("sweep.zip", {"vm.vcpus": [1, 2], "vm.memory": ["1GiB"]}),
            ("sweep.zip.vm.memory", ["1GiB"], "has 1 values, and vm.vcpus has 2",
             "zipped keys change together: give lists of equal length"),
        ),
        (
            sampled(EXIT, US, points=12),
            ("sweep.sample.points", 12, "must be a power of two for a Sobol design",
             "take 8 or 16"),
        ),
        (
            sampled(EXIT, {"from": "1us", "to": "2MiB"}),
            (f"sweep.sample.ranges.{EXIT}.to", "2MiB", "is a size, and from is a time",
             "write all of a range in one unit"),
        ),
        (
            sampled(EXIT, {"from": "2us", "to": "1us"}),
            (f"sweep.sample.ranges.{EXIT}", None, "from '2us' to '1us' is empty",
             "let it ascend"),
        ),
        (
            sampled(EXIT, {"from": "0us", "to": "1us", "scale": "log"}),
            (f"sweep.sample.ranges.{EXIT}.from", "0us", "must be above zero on a log scale",
             "begin higher"),
        ),
        (
            sampled(EXIT, {"from": "1us", "to": "2us", "step": "5us"}),
            (f"sweep.sample.ranges.{EXIT}.step", "5us",
             "must be above zero and fit into the range", "take another"),
        ),
        (
            sampled(EXIT, {"from": "fast", "to": "slow"}),
            (f"sweep.sample.ranges.{EXIT}.from", "fast", "is neither a number nor a quantity",
             'write e.g. "500ns"'),
        ),
        (
            sampled(EXIT, {"from": "1us", "till": "2us", "to": "3us"}),
            (f"sweep.sample.ranges.{EXIT}.till", "2us", "is not a known key",
             'known: from, scale, step, to'),
        ),
        (
            sampled(EXIT, US, design="sobel"),
            ("sweep.sample.design", "sobel", "is not one of the choices",
             "did you mean 'sobol'?"),
        ),
        (
            changed("sweep", {"vm.vcpus": 4}),
            ("sweep.vm.vcpus", 4, "must be a list", "put it in [ ]"),
        ),
        (
            changed("sweep", {"vm.vcpus": []}),
            ("sweep.vm.vcpus", [], "must not be empty", "add at least one entry"),
        ),
        (
            sampled("vm.vcpuss", {"from": 1, "to": 2}),
            ("vm.vcpuss", 1, "is not a known key", "did you mean 'vcpus'?"),
        ),
    ],
)  # fmt: skip
def test_contradictions_are_refused_with_a_remedy(
    data: dict[str, Any], expected: tuple[str, object, str, str]
) -> None:
    found = complaints(data)
    assert expected in [(c.key, c.value, c.rule, c.remedy) for c in found]
    assert len(found) == (2 if "vcpuss" in expected[0] else 1)


def test_all_contradictions_are_told_at_once() -> None:
    data = sampled(EXIT, {"from": "2us", "to": "1us"}, points=12)
    data["sweep"] |= {"vm.vcpus": [1], "zip": {"vm.vcpus": [1, 2], "vm.memory": ["1GiB"]}}
    assert len(complaints(data)) == 4


def test_a_range_that_leaves_the_fields_rule_is_refused_at_its_ends() -> None:
    """Once for each end that is wrong, however many points there are."""
    found = complaints(sampled("vm.vcpus", {"from": 0, "to": 5000}, points=64))
    assert [(c.key, c.value) for c in found] == [("vm.vcpus", 0), ("vm.vcpus", 5000)]


def test_points_that_the_field_refuses_between_good_ends_are_one_complaint() -> None:
    (c,) = complaints(sampled("vm.memory", {"from": "64MiB", "to": "128MiB"}, points=64))
    assert c.key == "vm.memory"
    assert "must be a whole number of 2 MiB regions" in c.rule
    assert c.remedy.endswith("; or give the range in sweep.sample a step that fits")
    data = sampled("vm.memory", {"from": "64MiB", "to": "128MiB", "step": "2MiB"}, points=64)
    assert len({setting.experiment.vm.memory for setting in settings_of(data, "x.toml", HERE)}) > 20


def test_the_schema_knows_sweeps() -> None:
    accepts = jsonschema.Draft202012Validator(experiment_schema()).is_valid
    assert accepts(minimal() | {"sweep": {"vm.vcpus": [1], "zip": {"vm.memory": ["1GiB"]}}})
    assert accepts(sampled(EXIT, US))
    assert not accepts(minimal() | {"sweep": {"vm.vcpus": 1}})
    assert not accepts(sampled(EXIT, US, design="sobel"))
    assert not accepts(minimal() | {"sweep": {"zip": [1]}})


def test_claims_may_be_about_values_of_lists() -> None:
    claim = {"says": "x", "ratio": "lazy-drop / eager-drop", "expect": [0.0, 1.0]}
    data = changed("sweep.zip", {"vm.vcpus": [1, 2]}) | {
        "claims": [claim | {"where": {"vm.vcpus": [2]}}]
    }
    assert len(settings_of(data, "x.toml", HERE)) == 2
    data["claims"][0]["where"] = {"vm.vcpus": [3]}
    assert one(data)[2] == "is not a value of vm.vcpus"


def test_the_sweep_that_the_docs_show_is_one() -> None:
    text = (ROOT / "docs" / "how-to" / "sweeps.md").read_text()
    block = text[text.index("    [sweep] ") : text.index("Keys are dotted names")]
    found = settings(
        block + '[workloads.w]\npattern = "reads-beside-writes"\naccesses_per_page = 2.0\n'
    )
    assert len(found) == 3 * 2 * 64
    assert list(found[0].labels)[:3] == ["vm.vcpus", "vm.memory", "vm.backing"]
