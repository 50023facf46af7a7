"""Claims: what the runs say of them, and how a folder of experiments is checked."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmusim.base.errors import ConfigError
from mmusim.comparison.pairing import UnlikeRunsError
from mmusim.comparison.reach import out_of_reach
from mmusim.comparison.verdicts import judge
from mmusim.config.claims import Claim
from mmusim.config.settings import load_settings
from mmusim.experiment.claims import check, experiment_files
from mmusim.experiment.judging import with_modes_of_others
from mmusim.tests.support.experiment_files import MINIMAL, changed, every_experiment, only
from mmusim.tests.support.made_up_runs import run, runs
from mmusim.tests.support.settings import setting

RNG = np.random.default_rng
HERE = setting([{"do": "write"}])
SIDES = {"origin": "observed", "says": "?"}


def verdict(claim: Mapping[str, object], **policies: np.ndarray) -> tuple[str, str]:
    made = Claim.model_validate({**SIDES, **claim})
    found = judge(made, HERE, {p: runs(p, x, made.metric) for p, x in policies.items()})
    return found.outcome, found.what


# --- kinds of claims ---

A = RNG(0).normal(100, 5, 12)
NOISE = RNG(1).normal(0, 1, (3, 12))
LOWER, SAME, HIGHER = A - 10 + NOISE[0], A + NOISE[1], A + 10 + NOISE[2]


@pytest.mark.parametrize(
    ("claim", "outcome"),
    [
        ({"order": "low < a"}, "supported"),
        ({"order": "a < low"}, "refuted"),
        ({"order": "a > low"}, "supported"),
        ({"order": "same < a"}, "inconclusive"),
        ({"difference": "low - a", "expect": [-12.0, -8.0]}, "supported"),
        ({"difference": "low - a", "expect": [-5.0, 5.0]}, "refuted"),
        ({"difference": "a - low", "expect": [10.0, 12.0]}, "inconclusive"),
        ({"ratio": "low / a", "expect": [0.85, 0.95]}, "supported"),
        ({"best": "low"}, "supported"),
        ({"best": "high"}, "refuted"),
        ({"best": "a"}, "refuted"),
        ({"best": "a", "within": "20%"}, "supported"),
    ],
)
def test_each_kind_of_claim(claim: dict[str, object], outcome: str) -> None:
    found = verdict(claim, a=A, low=LOWER, same=SAME, high=HIGHER)
    assert found[0] == outcome


def test_the_best_of_two_that_are_alike_is_inconclusive_and_names_the_rival() -> None:
    assert verdict({"best": "a"}, a=A, same=SAME, high=HIGHER) == ("inconclusive", "a / same")
    assert verdict({"best": "a"}, a=A, high=HIGHER) == ("supported", "a / high")


def test_more_is_better_where_it_is() -> None:
    shares = {"a": A / 200, "high": HIGHER / 200}
    claim: dict[str, object] = {"metric": "guest_share", "best": "high"}
    assert verdict(claim, **shares)[0] == "supported"
    assert verdict(claim | {"best": "a"}, **shares)[0] == "refuted"


def test_an_order_of_figures_that_are_zero_is_judged_by_the_difference() -> None:
    claim: dict[str, object] = {"metric": "false_dirty", "order": "none < some"}
    none, some = np.zeros(12), np.abs(NOISE[0]) + 1
    assert verdict(claim, none=none, some=some) == ("supported", "none - some")
    assert verdict(claim, none=none, some=none)[0] == "inconclusive", "a tie"


def test_the_best_is_said_to_be_wrongly_no_more_often_than_promised() -> None:
    """Four that are equal: each would have to beat three others."""
    made = Claim.model_validate(SIDES | {"best": "p0"})
    rng = RNG(2)
    said = [
        judge(
            made, HERE, {f"p{i}": runs(f"p{i}", rng.normal(100, 1, 10)) for i in range(4)}
        ).outcome
        for _ in range(40)
    ]
    assert said.count("refuted") <= 7  # 2.5 % of 120 comparisons, one-sided, are 3
    assert said.count("supported") == 0


def test_runs_on_other_seeds_are_not_judged() -> None:
    claim = Claim.model_validate(SIDES | {"order": "a < b"})
    sides = {"a": [run("a", s, phase_time=1.0) for s in (1, 2)],
             "b": [run("b", s, phase_time=1.0) for s in (1, 3)]}  # fmt: skip
    with pytest.raises(UnlikeRunsError, match="different seeds"):
        judge(claim, HERE, sides)


@pytest.mark.parametrize(
    ("claim", "key", "rule"),
    [
        ({"metric": "p99_latncy", "order": "lazy-drop < eager-drop"}, "claims[1].metric",
         "did you mean 'p99_latency'?"),
        ({"order": "lazy-drop < eagr-drop"}, "claims[1]", "did you mean 'eager-drop'?"),
        ({"order": "lazy-drop"}, "claims[1]", 'order must name two policies'),
        ({"difference": "lazy-drop-eager-drop", "expect": [0.0, 1.0]}, "claims[1]",
         'write e.g. "lazy-drop - eager-drop"'),
        ({"best": "lazy-drop", "expect": [0.0, 1.0]}, "claims[1]", "must be of one kind"),
        ({"best": "lazy-drop", "origin": "published"}, "claims[1]", "needs a source"),
        ({"best": "lazy-drop", "origin": "rumour"}, "claims[1].origin", "choices"),
    ],
)  # fmt: skip
def test_a_claim_that_cannot_be_judged_is_refused_when_it_is_read(
    claim: dict[str, object], key: str, rule: str
) -> None:
    c = only(changed("claims", [{"says": "?"} | claim]))
    assert c.key == key
    assert rule in str(c)


def test_what_reduced_keeps_must_exist() -> None:
    c = only(changed("reduced", {"where": {"vm.vcpus": [1]}}))
    assert (c.key, c.rule) == ("reduced.where", "is not a label of this experiment")


# --- a folder of experiments ---

TINY = (
    MINIMAL.replace("minimal", "ID")
    + """
[vm]
memory = "2MiB"
[replications]
seeds = 5
[sweep]
"vm.vcpus" = [1]
[[claims]]
says = "a policy is itself"
metric = "faults"
policy = "lazy-drop"
expect = [1, 1e6]
[[claims]]
says = "CLAIM"
metric = "faults"
policy = "lazy-drop"
expect = EXPECT
MORE
"""
)


def write(folder: Path, name: str, claim: str, expect: str, more: str = "") -> Path:
    path = folder / name / "experiment.toml"
    path.parent.mkdir(parents=True)
    text = TINY.replace("ID", name).replace("CLAIM", claim)
    path.write_text(text.replace("EXPECT", expect).replace("MORE", more))
    return path


def test_a_table_of_all_claims_and_the_exit_status_tells(
    tmp_path: Path, mmusim: Callable[..., tuple[int, str, str]]
) -> None:
    folder, out = tmp_path / "experiments", ("--out", tmp_path / "out", "--workers", 1)
    write(folder, "one", "it faults", "[1, 1e6]")
    status, text, _ = mmusim("check", folder, *out)
    assert status == 0
    assert "2 claims: 2 supported" in text

    write(folder, "two", "it faults a million times", "[1e6, 1e7]")
    status, text, _ = mmusim("check", folder, *out)
    assert status == 1
    assert "4 claims: 3 supported, 1 refuted" in text

    status, text, _ = mmusim("check", folder, *out, "--json")
    data = json.loads(text)
    assert status == 1
    assert [row["verdict"] for row in data["rows"]] == ["supported"] * 3 + ["refuted"]
    assert data["rows"][3]["settings"][0]["measured"]["seeds"] == 5
    assert data["rows"][3]["surprises"]
    status, text, _ = mmusim("check", folder, *out, "--json", "--seeds", 3)
    assert status == 0, "below five seeds there is no interval, so nothing is refuted"
    assert {row["verdict"] for row in json.loads(text)["rows"]} == {"inconclusive"}


def test_a_claim_that_is_known_to_be_refuted_stays_and_fails_only_when_it_is_not(
    tmp_path: Path, mmusim: Callable[..., tuple[int, str, str]]
) -> None:
    out = ("--out", tmp_path / "out", "--workers", 1)
    known = 'refuted = "too few pages"'
    path = write(tmp_path, "known", "it faults a million times", "[1e6, 1e7]", known)
    status, text, _ = mmusim("check", path, *out)
    assert status == 0
    assert "refuted, as known" in text
    assert "1 refuted (1 known to be)" in text
    assert mmusim("check", path, *out, "--strict")[0] == 1
    path = write(tmp_path, "wrong", "it faults", "[1, 1e6]", known)
    status, text, _ = mmusim("check", path, *out)
    assert status == 1
    assert "supported, but known as" in text


def test_inconclusive_is_no_failure_unless_one_is_strict(
    tmp_path: Path, mmusim: Callable[..., tuple[int, str, str]]
) -> None:
    claim = 'metric = "phase_time"\norder = "lazy-drop < eager-drop"\n'
    path = write(tmp_path, "tie", "a tie", "[1, 1e6]", f'[[claims]]\nsays = "a tie"\n{claim}')
    arguments = ("check", path, "--out", tmp_path / "out", "--workers", 1)
    status, text, _ = mmusim(*arguments)
    assert status == 0
    assert "1 inconclusive" in text
    assert mmusim(*arguments, "--strict")[0] == 1


def test_what_cannot_be_judged_is_inconclusive_and_stops_no_other(
    tmp_path: Path, mmusim: Callable[..., tuple[int, str, str]]
) -> None:
    """No vCPU runs for as long as the window, which nobody can know before."""
    claim = 'metric = "worst_utilisation_100ms"\norder = "lazy-drop < eager-drop"\n'
    write(tmp_path / "e", "a", "?", "[1, 1e6]", f'[[claims]]\nsays = "?"\n{claim}')
    write(tmp_path / "e", "b", "?", "[1, 1e6]")
    arguments = ("check", tmp_path / "e", "--out", tmp_path / "out", "--workers", 1)
    status, text, said = mmusim(*arguments)
    assert status == 0, said
    assert "1 inconclusive" in text
    told = json.loads(mmusim(*arguments, "--json")[1])
    (reason,) = {s["reason"] for row in told["rows"] for s in row["settings"] if s["reason"]}
    assert "which has no vCPU that ran for as long as the window" in reason


def test_a_place_that_is_no_file_is_called_what_it_is(tmp_path: Path) -> None:
    """A pipe is there, and so is a link to nowhere; a name without anything is not."""
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to("nowhere")
    assert experiment_files([pipe, link]) == [pipe, link]
    with pytest.raises(ConfigError, match="does not exist; name a folder or a file"):
        experiment_files([tmp_path / "nowhere"])
    with pytest.raises(ConfigError, match="is a pipe and no regular file; write it to a file"):
        list(check([pipe], tmp_path / "out"))


def test_wrong_input_is_found_before_anything_runs(
    tmp_path: Path, mmusim: Callable[..., tuple[int, str, str]]
) -> None:
    out = tmp_path / "out"
    good = write(tmp_path / "e", "good", "?", "[1, 1e6]")
    for wrong, message in [
        (tmp_path / "nowhere", "does not exist"),
        (out.parent / "e" / "empty", "has no experiment.toml"),
        (write(tmp_path / "e", "bad", "?", "[2, 1]"), "expect must ascend"),
    ]:
        if message.startswith("has"):
            wrong.mkdir()
        status, _, err = mmusim("check", good, wrong, "--out", out)
        assert status == 2
        assert message in err
    twin = tmp_path / "twin.toml"
    twin.write_text(good.read_text())
    with pytest.raises(ConfigError, match=r"is that of .* too"):
        list(check([good, twin], out))
    assert not out.exists()
    assert experiment_files([good, good.parent]) == [good]


def test_reduced_runs_less_and_the_rest_is_not_judged(tmp_path: Path) -> None:
    more = '[reduced]\nseeds = 5\nwhere = { "vm.vcpus" = [1] }\n'
    path = write(tmp_path, "small", "?", "[1, 1e6]", 'where = { "vm.vcpus" = [2] }\n' + more)
    text = path.read_text().replace(
        '"vm.vcpus" = [1]\n[[', '"vm.vcpus" = [1, 2]\n"vm.memory" = ["4MiB"]\n[['
    )
    path.write_text(text)
    (one,) = check([path], tmp_path / "out", reduced=True, workers=1)
    assert one.outcome is not None
    assert [c.outcome for c in one.judged] == ["supported", "not judged"]
    assert [len(r.runs["lazy-drop"]) for r in one.outcome.settings] == [5]
    (one,) = check([path], tmp_path / "out", workers=1)
    assert [c.outcome for c in one.judged] == ["supported", "supported"]


# --- the published experiments ---


@pytest.mark.slow
@every_experiment
def test_the_claims_of_the_published_experiments_hold_at_reduced_size(
    file: Path, tmp_path: Path
) -> None:
    (one,) = check([file], tmp_path, reduced=True, workers=1)
    assert one.outcome is not None, one.problem
    assert not one.outcome.failures
    assert not [judged.claim.says for judged in one.judged if judged.surprises]
    assert not [judged.claim.says for judged in one.judged if judged.outcome == "not judged"]
    assert any(judged.outcome == "supported" for judged in one.judged)


def test_every_published_experiment_has_claims_that_somebody_made() -> None:
    from mmusim.config.settings import load_settings
    from mmusim.tests.support.experiment_files import EXPERIMENTS

    for file in EXPERIMENTS:
        origins = {claim.origin for claim in load_settings(file)[0].claims}
        assert {"published", "calibrated"} & origins, file.parent.name


def test_what_costs_were_fitted_to_is_met_and_no_evidence(tmp_path: Path) -> None:
    from mmusim.cli.questions.check import _sentence
    from mmusim.report.claim_cells import verdict_text
    from mmusim.tests.support.experiment_files import MINIMAL

    source = 'source = "the posting"\nmetric = "faults"\npolicy = "eager-drop"\nexpect = [0, 1e9]\n'
    said = '[[claims]]\nsays = "so many"\norigin = "{}"\n'
    path = tmp_path / "experiment.toml"
    path.write_text(
        MINIMAL
        + '[vm]\nmemory = "4MiB"\n'
        + said.format("calibrated")
        + source
        + said.format("published")
        + source
    )
    (one,) = check([path], tmp_path / "out", seeds=5, workers=1, engine="simpy")
    assert [judged.outcome for judged in one.judged] == ["supported"] * 2
    assert [verdict_text(j.outcome, j.claim.origin, j.claim.refuted) for j in one.judged] == [
        "met, as calibrated",
        "supported",
    ]
    assert "1 of those supported are met because costs were fitted" in _sentence(one.judged)


def test_make_reproduce_calls_verbs_and_options_that_exist() -> None:
    import shlex
    import subprocess

    import typer.main

    from mmusim.cli import app
    from mmusim.tests.support.places import ROOT

    done = subprocess.run(
        ["make", "-n", "-o", ".venv/.ready", "reproduce"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    words = [shlex.split(line) for line in done.stdout.splitlines()]
    lines = [rest for program, *rest in words if program == ".venv/bin/mmusim"]
    assert next(verb for verb, *_ in lines) == "check"
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for verb, *arguments in lines:
        commands[verb].make_context(verb, arguments, resilient_parsing=False).close()


# --- what stands against a claim ---


def verdicts_in(*rows: np.ndarray) -> list[str]:
    """Return the verdicts on "a < b" in settings with these values of `a`, where `b` is 100."""
    claim = Claim.model_validate({**SIDES, "order": "a < b"})
    made = [
        judge(claim, HERE, {"a": runs("a", row), "b": runs("b", np.full(len(row), 100.0))})
        for row in rows
    ]
    named = [replace(one, setting=str(number)) for number, one in enumerate(made)]
    return [one.outcome for one in with_modes_of_others(named)]


def test_a_mode_that_two_settings_show_leaves_claims_open_in_the_others() -> None:
    """As it leaves the comparison of the same runs unknown."""
    plain = RNG(3).normal(80, 1, 12)
    odd = np.where(np.arange(12) == 4, 99.0, plain)
    assert verdicts_in(plain, odd, odd)[0] == "inconclusive"
    assert verdicts_in(plain, odd, plain)[0] == "supported", "one setting may be an accident"
    assert verdicts_in(plain, plain)[0] == "supported", "negative control"


@pytest.mark.parametrize(
    ("claim", "seeds", "said"),
    [
        ({"metric": "migrated", "policy": "a", "expect": [1.0, 1.0]}, 100, "no number would do"),
        ({"metric": "migrated", "policy": "a", "expect": [0.9, 1.0]}, 10, "29 would do"),
        ({"metric": "migrated", "policy": "a", "expect": [0.9, 1.0]}, 36, ""),
        ({"metric": "migrated", "policy": "a", "expect": [0.0, 0.5]}, 5, ""),
        ({"metric": "migrated", "policy": "a", "expect": [0.2, 0.8]}, 20, ""),
        ({"ratio": "a / b", "expect": [0.9995, 1.0005]}, 30, "0.1 % of the baseline"),
        ({"ratio": "a / b", "expect": [0.99, 1.01]}, 30, ""),
    ],
)
def test_what_so_many_seeds_cannot_support_is_said_before_they_run(
    claim: dict[str, object], seeds: int, said: str
) -> None:
    found = list(out_of_reach([Claim.model_validate({**SIDES, **claim})], seeds))
    assert len(found) == bool(said)
    assert said in "".join(found)


@every_experiment
def test_no_shipped_claim_is_out_of_reach(file: Path) -> None:
    made = load_settings(file)[0]
    assert list(out_of_reach(made.claims, made.replications.seeds)) == []
