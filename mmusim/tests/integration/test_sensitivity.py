"""Sobol indices of functions that are known, and of costs that must or cannot matter."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmusim.config.cost_ranges import FACTORS, factors, with_factors
from mmusim.config.settings import load_settings
from mmusim.costs.distributions import (
    Constant,
    Empirical,
    Gamma,
    Lognormal,
    Shifted,
    mixture,
    scaled,
)
from mmusim.experiment.sensitivity import Influence, Study, sensitivity
from mmusim.stats.sobol import Index, sobol
from mmusim.tests.support.experiment_files import MINIMAL
from mmusim.vocabulary import COSTS

E = math.e


def ishigami(x: np.ndarray) -> np.ndarray:
    """Of inputs uniform in (-pi, pi), plus a constant and an input that nothing depends on."""
    z = np.log(x) * np.pi
    return np.asarray(np.sin(z[0]) + 7 * np.sin(z[1]) ** 2 + 0.1 * z[2] ** 4 * np.sin(z[0]) + 1000)


FIRST, TOTAL = (0.3139, 0.4424, 0.0, 0.0), (0.5576, 0.4424, 0.2437, 0.0)


def test_the_indices_of_the_ishigami_function_are_those_that_are_known() -> None:
    found = sobol(ishigami, [(1 / E, E)] * 4, samples=256)
    for index, truth in zip([*found.first, *found.total], [*FIRST, *TOTAL], strict=True):
        assert index.estimate == pytest.approx(truth, abs=0.08)
        slack = (index.high - index.low) / 4  # eight intervals of 95 % at once
        assert index.low - slack <= truth <= index.high + slack
        assert index.low - 1e-9 <= index.estimate <= index.high + 1e-9
    assert found.total[3].high == pytest.approx(0, abs=1e-9), "nothing depends on the fourth"
    assert found.first[2].high < 0.15 < found.total[2].low, "the third acts through the first"
    assert found.evaluations == 256 * 6
    assert found.mean == pytest.approx(1003.5, abs=0.5)
    assert sobol(ishigami, [(1 / E, E)] * 4, samples=256) == found, "can be recomputed"


def test_a_constant_has_no_indices_and_samples_are_a_power_of_two() -> None:
    found = sobol(lambda x: np.full(x.shape[1], 3.0), [(1, 2)] * 2, samples=4)
    assert found.total[0] == Index(estimate=0, low=0, high=0)
    with pytest.raises(ValueError, match="not a power of 2"):
        sobol(ishigami, [(1, 2)] * 4, samples=48)


# --- costs ---


@pytest.fixture
def reads(tmp_path: Path) -> Path:
    """Reads of 2 MiB that is mapped: hits and nothing else. t_write is set by the experiment."""
    path = tmp_path / "experiment.toml"
    path.write_text(
        MINIMAL.replace('{ do = "enable-logging" }', '{ do = "read" }')
        .replace('[{ do = "read" }, { do = "write" }]', '[{ do = "write" }, { do = "read" }]')
        .replace('"skylake-2021"', '"skylake-2021"\ncosts = { t_write = "20ns" }')
        + '[vm]\nmemory = "2MiB"\n'
    )  # fmt: skip
    return path


def test_one_cost_that_dominates_is_found_and_one_that_is_never_paid_is_not(
    reads: Path, tmp_path: Path, mmusim: Callable[..., tuple[int, str, str]]
) -> None:
    common = ("sensitivity", reads, "--out", tmp_path / "out", "--workers", 1, "--samples", 8)
    status, text, _ = mmusim(*common, "--json")
    data = json.loads(text)
    assert status == 0
    top = data["rows"][0]
    assert top["cost"] == "t_hit_2M"
    assert top["provenance"] == "derived"
    assert top["total"]["estimate"] > 0.9
    assert {"c_emulate", "c_send_page", "t_write"} <= set(data["unpaid"]), "negative control"
    assert set(data["unpaid"]) | {row["cost"] for row in data["rows"]} == set(COSTS)
    assert data["mean"] == pytest.approx(512 * 23, rel=0.3)
    status, text, _ = mmusim(*common)
    assert "t_hit_2M decides most of phase_time of eager-drop" in text
    assert f"{len(data['unpaid'])} other costs are not paid here" in text


def test_an_assumed_cost_that_dominates_is_worth_measuring(
    reads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {name: COSTS[name] for name in ("t_hit_2M", "c_exit", "c_emulate")}  # for speed
    monkeypatch.setattr("mmusim.config.cost_ranges.COSTS", few)
    reads.write_text(reads.read_text().replace('t_write = "20ns"', 't_hit_2M = "23ns"'))
    study = Study(samples=8)
    found = sensitivity(reads, tmp_path / "out", study, workers=1)
    assert found.influences[0].advice == "measure it"
    assert "worth measuring: t_hit_2M" in str(found)
    told: list[object] = []
    again = sensitivity(reads, tmp_path / "out", study, workers=1, progress=told.append)
    assert again == found
    assert not told, "nothing is run twice"

    ratio = replace(study, policy="lazy-drop / eager-drop")
    alike = sensitivity(reads, tmp_path / "out", ratio, workers=1)
    assert not alike.influences, "both policies read alike here"
    assert str(alike) == "no cost changes phase_time of lazy-drop / eager-drop"


def test_the_metric_that_answers_the_file_is_studied(
    reads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of hits decides how long a phase takes, and no cost decides how often it faults."""
    monkeypatch.setattr("mmusim.config.cost_ranges.COSTS", {"t_hit_2M": COSTS["t_hit_2M"]})
    reads.write_text(reads.read_text().replace("schema = 1", 'schema = 1\nanswer_by = "faults"'))
    found = sensitivity(reads, tmp_path / "out", Study(samples=8), workers=1)
    assert (found.metric, found.influences) == ("faults", ())
    other = Study(metric="phase_time", samples=8)
    (influence,) = sensitivity(reads, tmp_path / "out", other, workers=1).influences
    assert influence.cost == "t_hit_2M"


def test_cores_that_are_assumed_can_decide_and_known_ones_cannot(
    reads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight vCPUs on two to eighteen cores: reads are stretched by up to four, and not by the gain
    of second threads, which are not there. What a hit takes is known within 1.5, and adds little.
    """
    few = {name: COSTS[name] for name in ("t_hit_2M", "c_emulate")}  # for speed
    monkeypatch.setattr("mmusim.config.cost_ranges.COSTS", few)
    crowd = "cores = 6, threads_per_core = 1, laws = ['threads']"
    text = reads.read_text().replace('memory = "2MiB"', 'memory = "16MiB"\nvcpus = 8')
    found = {}
    for name, more in (("assumed", ", plausible = { cores = [2, 18] }"), ("known", "")):
        reads.write_text(text.replace("[policies]", f"machine = {{ {crowd}{more} }}\n[policies]"))
        found[name] = sensitivity(reads, tmp_path / name, Study(samples=8), workers=1)
    top = found["assumed"].influences[0]
    assert (top.cost, top.provenance, top.mean, top.unit) == ("cores", "assumed", 6, "cores")
    assert (top.low, top.high) == (1 / 3, 3)
    assert top.advice == "measure it"
    assert top.total.estimate > 0.5
    assert {one.cost for one in found["assumed"].influences} == {"cores", "t_hit_2M"}
    assert [one.cost for one in found["known"].influences] == ["t_hit_2M"], "control"


def test_advice_depends_on_what_the_interval_leaves_open() -> None:
    def advice(low: float, high: float, provenance: str = "assumed") -> str:
        index = Index(estimate=(low + high) / 2, low=low, high=high)
        return Influence(
            cost="c",
            provenance=provenance,
            mean=1,
            unit="ns",
            low=0.5,
            high=2,
            first=index,
            total=index,
        ).advice

    assert advice(0.06, 0.3) == "measure it"
    assert advice(0.0, 0.04) == "leave it"
    assert advice(0.01, 0.2) == "more samples"
    assert advice(0.5, 0.9, "derived") == ""


def test_ranges_come_from_provenance_or_from_the_measured_interval(reads: Path) -> None:
    (setting,) = load_settings(reads)[1]
    found = factors(setting)
    assert list(found["c_exit"]) == [1 / 1.25, 1.25]
    assert list(found["c_ack"]) == [1 / 3, 3]
    assert list(found["t_write"]) == [1 / 3, 3], "what the experiment sets is assumed"
    assert "t_pass" not in found, "zero has no range"
    assert factors(setting, FACTORS | {"assumed": 10})["c_ack"] == (0.1, 10)

    class Certainty:
        low, high = 240.0, 280.0  # of a median of 250 ns

    measured = setting.profile.costs["c_exit"].model_copy(update={"provenance": "measured"})
    certain = measured.model_construct(**dict(measured) | {"certainty": Certainty()})
    object.__setattr__(certain, "__dict__", dict(measured) | {"certainty": Certainty()})
    profile = setting.profile.model_copy(
        update={"costs": setting.profile.costs | {"c_exit": certain}}
    )
    low, high = factors(replace(setting, profile=profile))["c_exit"]
    assert (low, high) == pytest.approx((0.96, 1.12))


def test_a_fault_costs_at_least_its_parts_wherever_the_costs_lie(reads: Path) -> None:
    (setting,) = load_settings(reads)[1]
    made = with_factors(setting, {"c_exit": 3.0, "c_lock_section": 3.0, "c_fault_slow": 0.5})
    means = {name: cost.mean() for name, cost in made.costs.items()}
    assert means["c_exit"] == pytest.approx(3 * setting.costs["c_exit"].mean())
    parts = means["c_exit"] + means["c_entry"] + means["c_lock_section"]
    assert means["c_fault_slow"] == pytest.approx(parts)
    assert made.key() != setting.key()
    assert with_factors(setting, {}).key() == setting.key()
    written = made.experiment.host.costs["c_lock_section"]
    assert written == pytest.approx(450), "the ledger has the costs as they were"


def test_every_shape_scales() -> None:
    shapes = [
        Constant(40.0), Lognormal(40.0, 0.5), Gamma(40.0, 0.7), Shifted(10.0, Constant(30.0)),
        Empirical((0.0, 1.0), (10.0, 70.0)), mixture([(9, Constant(40.0)), (1, Gamma(400.0, 1.0))]),
    ]  # fmt: skip
    p = np.array([0.1, 0.5, 0.999])
    for shape in shapes:
        assert scaled(shape, 2.5).quantile(p) == pytest.approx(2.5 * shape.quantile(p))
        assert scaled(shape, 1.0) == shape
    with pytest.raises(ValueError, match="a factor of 0 makes no time"):
        scaled(shapes[0], 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--metric", "phase_tme"], "did you mean 'phase_time'?"),
        (["--samples", "60"], "is not a power of 2 from 4 to 16,384; take 64"),
        (["--policy", "lazydrop"], "did you mean 'lazy-drop'?"),
        (["--policy", "a / b / c"], "more than two policies"),
        (["--setting", "R1"], "is not a setting"),
        (["--range", "assumed"], "write e.g. assumed=3"),
        (["--range", "guessed=3"], "write e.g. assumed=3"),
        (["--range", "assumed=1"], "above 1"),
        (["--range", "assumed=inf"], "above 1 and up to 1000"),
        (["--samples", "32768"], "less than or equal to 16384"),
        (["--seeds", "100001"], "less than or equal to 100000"),
    ],
)
def test_wrong_studies_are_refused(
    arguments: list[str],
    message: str,
    reads: Path,
    tmp_path: Path,
    mmusim: Callable[..., tuple[int, str, str]],
) -> None:
    status, _, err = mmusim("sensitivity", reads, "--out", tmp_path / "out", *arguments)
    assert status == 2
    assert message in err
