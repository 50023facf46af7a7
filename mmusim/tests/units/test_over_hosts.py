"""How sure a verdict is when host costs are not: known responses, and experiments."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest
from typer.testing import CliRunner

from mmusim.analysis.answers import load
from mmusim.cli import app
from mmusim.comparison.compare import compare
from mmusim.comparison.verdicts import Verdict
from mmusim.config.claims import Claim
from mmusim.config.cost_ranges import factors, provenance_of
from mmusim.config.cost_vectors import WITHIN, cost_vectors
from mmusim.config.settings import Setting
from mmusim.execution import workers
from mmusim.experiment.over_hosts import (
    NO_VALUE,
    HostRuns,
    compared_over_hosts,
    judged_over_hosts,
)
from mmusim.experiment.run import run_experiment
from mmusim.metrics.measure import Metrics
from mmusim.plan.make import make_plan
from mmusim.stats import mean_interval, paired_ratio
from mmusim.stats.hosts import about_left_out, share_that_holds, spread_of, strongest
from mmusim.tests.support.experiment_files import SMALL, changed, only
from mmusim.tests.support.made_up_runs import run, runs
from mmusim.tests.support.settings import setting

RNG = np.random.default_rng
METRIC = "phase_time"


def response(x: np.ndarray) -> np.ndarray:
    """Logarithm of a ratio by four of its inputs, with an interaction and a bend."""
    return np.asarray(
        0.1 + 0.5 * x[:, 0] - 0.3 * x[:, 1] + 0.15 * x[:, 0] * x[:, 1] + 0.1 * x[:, 2] ** 2
    )


def test_the_share_of_hosts_is_covered_on_a_known_response() -> None:
    rng = RNG(0)
    truth = float((response(rng.normal(size=(200_000, 6))) < 0).mean())
    hits = wrong = 0
    for _ in range(200):
        figures = response(rng.normal(size=(32, 6))) + rng.normal(0, 0.05, 32)
        hits += truth in share_that_holds(figures < 0)
        wrong += truth in share_that_holds(figures < 0.6)
    assert binomtest(hits, 200, 0.95, alternative="less").pvalue > 0.001
    assert wrong < 20, "negative control: another statement"
    certain = share_that_holds(np.ones(32, bool))
    assert certain.high == 1
    assert certain.low == pytest.approx(0.025 ** (1 / 32)), "32 of 32 hosts are not all hosts"


def test_nineteen_of_twenty_further_hosts_lie_in_the_spread() -> None:
    rng, inside = RNG(1), 0
    for _ in range(400):
        low, high = spread_of(rng.normal(3, 2, 32))
        inside += low <= rng.normal(3, 2) <= high
    assert binomtest(inside, 400, 0.95).pvalue > 0.001


def test_the_two_costs_that_matter_are_named_and_no_others() -> None:
    rng, found = RNG(2), 0
    names = [f"c{i}" for i in range(40)]
    for _ in range(50):
        x = rng.normal(size=(32, 40))
        found += strongest(x, response(x) + rng.normal(0, 0.05, 32), names)[:2] == ["c0", "c1"]
    assert found >= 45
    assert strongest(rng.normal(size=(32, 5)), np.ones(32), names[:5]) == []


def test_hosts_lie_in_the_ranges_of_their_provenance() -> None:
    made = setting([{"do": "write"}])
    ranges, vectors = factors(made), cost_vectors(made, 64)
    spreads = []
    for name, (low, high) in ranges.items():
        values = np.array([vector[name] for vector in vectors])
        if provenance_of(made, name) == "assumed":
            assert low <= values.min()
            assert values.max() <= high
            spreads.append(float(np.log(values).std() / np.log(high)))
        else:
            assert ((low <= values) & (values <= high)).mean() > 0.85
    uniform, normal = 1 / math.sqrt(3), 1 / WITHIN  # of a range that reaches 1 to either side
    assert np.mean(spreads) == pytest.approx(uniform, abs=0.02), "log-uniform"
    assert np.mean(spreads) != pytest.approx(normal, abs=0.02), "negative control"
    assert min(spreads) > 0.45, "each by itself: four standard errors of 64 draws"
    assert cost_vectors(made, 64) == vectors, "settings with the same costs get the same hosts"
    assumed = [n for n in ranges if provenance_of(made, n) == "assumed"]
    logs = np.log([[vector[n] for n in assumed] for vector in vectors])
    between = np.corrcoef(logs.T)[np.triu_indices(len(assumed), 1)]
    assert 0.3 < between.mean() < 0.6, "a host is slow or fast as a whole"


def hosts_of(effect: float, spread: float) -> HostRuns:
    """16 hosts on which a cost decides the ratio, with seeds that both policies share."""
    rng = RNG(3)
    seeds, x = rng.lognormal(0, 0.3, 16), np.linspace(-1, 1, 16)
    there: Mapping[str, list[Metrics]] = {
        "a": [run("a", k, phase_time=float(100 * s)) for k, s in enumerate(seeds)],
        "b": [
            run("b", k, phase_time=float(100 * s * np.exp(effect + spread * z)))
            for k, (s, z) in enumerate(zip(seeds, x, strict=True))
        ],
    }
    here = {
        "a": there["a"],
        "b": [run("b", k, phase_time=float(100 * s * np.exp(effect))) for k, s in enumerate(seeds)],
    }
    return HostRuns(
        factors=tuple({"c_x": float(np.exp(z)), "c_y": 1.0} for z in x), there=there, here=here
    )


@pytest.mark.parametrize(("spread", "share"), [(0.0, 1.0), (0.1, 1.0), (1.0, 12 / 16)])
def test_a_verdict_holds_on_the_hosts_on_which_the_sign_is_the_same(
    spread: float, share: float
) -> None:
    a = RNG(4).lognormal(0, 0.02, 30)
    made = compare(runs("a", 100 * a), runs("b", 100 * a * np.exp(0.4)), "phase_time")
    found = compared_over_hosts(made, hosts_of(0.4, spread)).over_hosts
    assert found is not None
    assert found.holds.estimate == pytest.approx(share, abs=0.08)
    if spread:
        assert found.low < np.exp(0.4 - 0.5 * spread) < np.exp(0.4 + 0.5 * spread) < found.high
        assert found.costs == ("c_x",)


def test_an_experiment_says_on_how_many_hosts_its_verdicts_hold(tmp_path: Path) -> None:
    path, out = tmp_path / "experiment.toml", tmp_path / "out"
    path.write_text(SMALL.replace("seeds = 5", "seeds = 5\ncosts = 8"))
    made = run_experiment(path, out, workers=1, engine="simpy")
    (comparison,) = made.settings[0].comparisons["phase_time"]
    assert comparison.over_hosts is not None
    assert comparison.over_hosts.holds.seeds == 8
    assert comparison.over_hosts.low < comparison.over_hosts.high
    (verdict,) = made.verdicts
    assert verdict.over_hosts is not None
    again = load(path, out)
    assert again.settings[0].comparisons == made.settings[0].comparisons, "what is stored says it"
    none = run_experiment(path, out, workers=1, engine="simpy", costs=0)
    assert none.settings[0].comparisons["phase_time"][0].over_hosts is None
    assert none.hosts == 0
    assert load(path, out).hosts == 0


class OnSomeHosts:
    """Plans of runs, of which those on some hosts fail; hosts are numbered as they are met."""

    def __init__(self, fail: int) -> None:
        self.fail, self.met = fail, list[str]()

    def __call__(self, setting: Setting, policy: str, seed: int) -> Any:
        if "costs=" in setting.name:
            self.met += [setting.name] if setting.name not in self.met else []
            if self.met.index(setting.name) < self.fail and policy == "lazy-drop":
                raise ZeroDivisionError("of a policy from outside")
        return make_plan(setting, policy, seed)


@pytest.mark.parametrize(("fail", "left"), [(0, 12), (3, 9), (8, 4), (12, 0)])
def test_hosts_whose_runs_failed_are_counted_and_too_few_are_no_share(
    fail: int, left: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were left out without a word. With `fail` of 0 it is the control."""
    path, out = tmp_path / "experiment.toml", tmp_path / "out"
    path.write_text(SMALL.replace("seeds = 5", "seeds = 5\ncosts = 12"))
    monkeypatch.setattr(workers, "make_plan", OnSomeHosts(fail))
    command = ["run", str(path), "--out", str(out), "--workers", "1", "--engine", "simpy"]
    done = CliRunner().invoke(app, command)
    said, again = done.output, f"mmusim run {path} --out {out} --costs 12 --retry-failed"
    assert done.exit_code == (fail > 0), "a failed run is told by the exit status, wherever it was"
    assert (f"failed: on {fail} of 12 hosts with drawn costs" in said) == (fail > 0)
    assert (again in said) == (fail > 0)
    assert CliRunner().invoke(app, ["report", *command[1:4]]).exit_code == (fail > 0)
    found = load(path, out)
    hosts = [
        found.settings[0].comparisons["phase_time"][0].over_hosts,
        found.verdicts[0].over_hosts,
    ]
    for one in hosts:
        assert one is not None
        assert (one.tried, one.holds.seeds, one.is_known) == (12, left, left >= 8)
        assert sum(one.left_out.values()) == fail
    assert ("│ not known" in said) == ("fewer than 8 hosts are left" in said) == (left < 8)
    assert (f"{fail} of 12 hosts are left out" in said) == (fail > 0)
    assert ("ZeroDivisionError: of a policy from outside" in said) == (fail > 0)
    whole = share_that_holds(np.ones(12, bool))
    assert hosts[0] is not None
    assert hosts[0].holds.high == 1
    assert hosts[0].holds.low == whole.low if not fail else hosts[0].holds.low < whole.low
    written = (out / "report.html").read_text()
    assert (f"{fail} of 12 left out" in written) == (fail > 0)
    monkeypatch.undo()
    done = CliRunner().invoke(app, [*again.split()[1:], "--workers", "1", "--engine", "simpy"])
    assert (done.exit_code, "failed:" in done.output) == (0, False), "the remedy works"


def test_hosts_left_out_may_lie_on_either_side() -> None:
    """A share that is covered though what decides it also keeps runs from ending."""
    rng, hits, naive = RNG(6), 0, 0
    truth = 0.6  # holds where x < 0.6, and half of the runs on the other hosts fail
    for _ in range(400):
        x = rng.random(32)
        lost = (x >= truth) & (rng.random(32) < 0.5)
        holds = (x < truth)[~lost]
        hits += truth in share_that_holds(holds, left_out=int(lost.sum()))
        naive += truth in share_that_holds(holds)
    assert binomtest(hits, 400, 0.95, alternative="less").pvalue > 0.001
    assert binomtest(naive, 400, 0.95, alternative="less").pvalue < 1e-4, "negative control"


def test_a_host_without_a_ratio_is_counted_too() -> None:
    made = compare(runs("a", RNG(4).lognormal(0, 0.02, 30)), runs("b", np.full(30, 2.0)), METRIC)
    hosts = hosts_of(0.4, 0.0)
    zeros = [replace(run, values={METRIC: 0.0}) if k < 4 else run
             for k, run in enumerate(hosts.there["b"])]  # fmt: skip
    found = compared_over_hosts(made, replace(hosts, there={**hosts.there, "b": zeros})).over_hosts
    assert found is not None
    assert found.left_out == {NO_VALUE: 4}
    assert about_left_out([found])[0].startswith("4 of 16 hosts are left out where it is most")
    assert about_left_out([replace(found, left_out={})]) == []


def test_too_few_hosts_are_refused() -> None:
    assert "too few for a probability" in only(changed("replications", {"costs": 3})).rule


# --- claims on hosts ---


def claimed(claim: Mapping[str, object], measured: str, **policies: np.ndarray) -> float | None:
    """Return the share of hosts on which a claim holds; each array has the values on 8 hosts."""
    made = Claim.model_validate({"says": "?", **claim})
    there = {name: runs(name, row, made.metric) for name, row in policies.items()}
    here = {name: runs(name, np.full(8, 1.0), made.metric) for name in policies}
    verdict = Verdict(
        says="?", setting="", metric=made.metric, what=measured,
        measured=paired_ratio([1.0, 1.1, 1, 1, 1], [0.9, 1, 1, 1, 1]), expected=(-math.inf, 1.0),
        outcome="supported", origin="observed", source="", refuted="",
    )  # fmt: skip
    hosts = HostRuns(factors=({"c_x": 1.0},) * 8, there=there, here=here)
    found = judged_over_hosts(verdict, made, hosts).over_hosts
    return None if found is None else found.holds.estimate


def test_no_host_has_a_time_below_zero() -> None:
    """The spread of a time over hosts that differ by factors once began at minus 350 us."""
    times = 1e6 * np.exp(np.linspace(-1, 1, 8))
    made = Claim.model_validate({"says": "?", "policy": "a", "expect": [0.0, 9e6]})
    there = {"a": runs("a", times)}
    hosts = HostRuns(
        factors=({"c_x": 1.0},) * 8, there=there, here={"a": runs("a", np.full(8, 1e6))}
    )
    verdict = Verdict(
        says="?", setting="", metric=METRIC, what="a", measured=mean_interval([1e6] * 5),
        expected=(0.0, 9e6), outcome="supported", origin="observed", source="", refuted="",
    )  # fmt: skip
    found = judged_over_hosts(verdict, made, hosts).over_hosts
    assert found is not None
    assert 0 < found.low < times.min() < times.max() < found.high
    assert spread_of(times)[0] < 0, "negative control: without logarithms"


def test_an_integer_that_no_cost_changes_is_that_integer_on_every_host() -> None:
    """16 laps held on no host of eight, as exp(log(16)) is below 16."""
    laps = Claim.model_validate({"says": "?", "policy": "a", "expect": [16, 16]})
    verdict = Verdict(
        says="?", setting="", metric=METRIC, what="a", measured=mean_interval([16.0] * 5),
        expected=(16.0, 16.0), outcome="supported", origin="observed", source="", refuted="",
    )  # fmt: skip

    def share(there: np.ndarray) -> float:
        hosts = HostRuns(
            factors=({"c_x": 1.0},) * 8, there={"a": runs("a", there)},
            here={"a": runs("a", np.full(8, 16.0))},
        )  # fmt: skip
        found = judged_over_hosts(verdict, laps, hosts).over_hosts
        assert found is not None
        return found.holds.estimate

    assert share(np.full(8, 16.0)) == 1
    assert share(np.where(np.arange(8) < 2, 17.0, 16.0)) == 6 / 8, "negative control"


def test_a_tie_on_a_host_does_not_hold_an_order() -> None:
    """All eight hosts once held "a < b" where a and b were equal."""
    one, order = np.ones(8), {"order": "a < b"}
    ties = np.where(np.arange(8) < 2, 1.0, 0.5)
    assert claimed(order, "a / b", a=ties, b=one) == 6 / 8
    assert claimed(order, "a / b", a=np.full(8, 0.5), b=one) == 1, "negative control"


def test_the_best_must_be_so_against_each_rival_of_a_host() -> None:
    """Only the rival of the verdict was looked at, which another may replace on other hosts."""
    a, far, best = np.full(8, 0.8), np.full(8, 1.0), {"best": "a"}
    crossing = np.where(np.arange(8) < 3, 0.7, 1.2)
    assert claimed(best, "a / far", a=a, far=far, crossing=crossing) == 5 / 8
    assert claimed(best, "a / far", a=a, far=far) == 1, "negative control"


def test_nothing_holds_on_a_host_where_the_metric_is_missing() -> None:
    """A migration that does not converge on a host has no downtime: it was left out."""
    made = compare(runs("a", RNG(4).lognormal(0, 0.02, 30)), runs("b", np.full(30, 2.0)), METRIC)
    hosts = hosts_of(0.4, 0.0)
    lacking = [replace(run, values={}) if k < 4 else run for k, run in enumerate(hosts.there["b"])]
    found = compared_over_hosts(made, replace(hosts, there={**hosts.there, "b": lacking}))
    assert found.over_hosts is not None
    assert found.over_hosts.holds.estimate == 12 / 16
    whole = compared_over_hosts(made, hosts).over_hosts
    assert whole is not None
    assert whole.holds.estimate == 1, "negative control"
