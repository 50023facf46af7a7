"""The command line as a whole: verbs found in folders, one meaning for each option."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

import mmusim.cli
from mmusim.cli import GROUPS, Program, app
from mmusim.cli.inputs.vocabulary import vocabulary
from mmusim.cli.verbs import help_text, verbs_in
from mmusim.experiment.claims import Checked
from mmusim.tests.support.command_line import mmusim as mmusim_process
from mmusim.tests.support.command_line import mmusim_here
from mmusim.tests.support.experiment_files import SMALL
from mmusim.tests.support.places import ROOT

HEAVY = {"simpy", "numpy", "scipy", "pandas", "matplotlib", "pydantic", "jinja2", "numba"}
HOME = Path(mmusim.cli.__file__).parent


def commands(group: Any, path: tuple[str, ...] = ()) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        deeper = hasattr(command, "commands")
        found |= commands(command, (*path, name)) if deeper else {" ".join((*path, name)): command}
    return found


COMMANDS = commands(typer.main.get_command(app))
OPTIONS = {
    f"{verb} {option}": parameter
    for verb, command in COMMANDS.items()
    for parameter in command.params
    for option in parameter.opts
    if option.startswith("--")
}


def with_option(name: str) -> dict[str, Any]:
    return {key.rpartition(" ")[0]: p for key, p in OPTIONS.items() if key.endswith(f" {name}")}


def run_and_list(code: str, **env: str) -> tuple[str, set[str]]:
    """Run code in a new process; return what it printed, and the packages that it loaded."""
    tail = "\nimport sys\nprint('LOADED', *sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code + tail],
        capture_output=True, text=True, check=True, env=os.environ | env,
    )  # fmt: skip
    said, _, loaded = done.stdout.rpartition("LOADED")
    return said, {name.partition(".")[0] for name in loaded.split()}


def test_help_has_no_section_for_people_who_call_a_verb_from_python() -> None:
    """Negative control: the docstrings of some verbs have such sections."""
    assert [name for name, command in COMMANDS.items() if "---" in (command.help or "")] == []
    assert "---" in (vocabulary.__doc__ or "")
    assert "---" not in help_text(vocabulary)
    assert help_text(vocabulary)


def test_every_file_of_a_group_is_a_verb_with_help() -> None:
    files = {
        path.stem.strip("_").replace("_", "-")
        for group in GROUPS
        for path in (HOME / group).glob("*.py")
        if path.name != "__init__.py"
    }
    assert files | {"workload"} == set(Program.all_verbs())
    assert all(command.help for command in COMMANDS.values())


def test_a_file_is_all_that_a_new_verb_needs(tmp_path: Path) -> None:
    (tmp_path / "say_hello.py").write_text('def say_hello():\n    """Greet."""\n')
    (found,) = verbs_in(tmp_path, "x").values()
    assert (found.name, found.module, found.about) == ("say-hello", "x.say_hello", "Greet.")
    (tmp_path / "other.py").write_text("def no_verb():\n    pass\n")
    with pytest.raises(AssertionError, match="has no function other"):
        verbs_in(tmp_path, "x")


def test_help_shows_the_groups_and_imports_nothing_heavy() -> None:
    said, loaded = run_and_list("from mmusim.cli import app\napp(['-h'], standalone_mode=False)")
    assert [line for line in said.splitlines() if line.endswith(":") and line[0] != " "] == [
        "Options:", *(f"{title}:" for title in Program.groups),
    ]  # fmt: skip
    assert not loaded & HEAVY
    _, loaded = run_and_list("from mmusim.cli import app\napp(['hosts'], standalone_mode=False)")
    assert loaded & HEAVY, "negative control: a verb that is called is imported"


def test_completion_lists_verbs_and_imports_nothing_heavy() -> None:
    code = "import contextlib\nfrom mmusim.cli import app\nwith contextlib.suppress(SystemExit):\n"
    code += "    app(prog_name='mmusim')"
    ask = {"_MMUSIM_COMPLETE": "complete_bash", "COMP_WORDS": "mmusim s", "COMP_CWORD": "1"}
    said, loaded = run_and_list(code, **ask)
    assert said.split() == [
        "select",
        "sensitivity",
        "settings",
        "statistics",
        "status",
        "schema",
        "show",
    ]
    assert not loaded & HEAVY - {"pydantic"}, "typer reads values by it"
    ask |= {"COMP_WORDS": "mmusim run --wo", "COMP_CWORD": "2"}
    assert run_and_list(code, **ask)[0].split() == ["--workers"]


def test_the_script_of_completion_completes_the_command_however_it_was_called() -> None:
    """Also `python -m mmusim`: a shell completes by the first word of a line."""
    done = mmusim_process(
        "--show-completion", "bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.rstrip().endswith(" -F _mmusim_completion mmusim")
    assert "_MMUSIM_COMPLETE=complete_bash" in done.stdout


def test_the_version_names_the_model() -> None:
    from mmusim.base.source_hash import code_hash

    done = mmusim_here("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("mmusim ")
    assert code_hash() in done.stdout


def test_an_unknown_verb_is_answered_by_the_nearest_one() -> None:
    done = mmusim_here("sensitivty")
    assert done.returncode == 2
    assert "sensitivity" in done.stderr


# --- one meaning for each option -----------------------------------------------------------------

RUNS = ["run", "check", "select", "sensitivity", "validate", "evidence", "live", "exposure"]


@pytest.mark.parametrize("verb", RUNS)
def test_every_verb_that_makes_runs_takes_workers_and_a_scheduler(verb: str) -> None:
    assert verb in with_option("--workers")
    assert verb in with_option("--scheduler")


def test_no_other_verb_takes_them() -> None:
    """So the list of those that make runs is complete."""
    assert sorted(with_option("--workers")) == sorted(with_option("--scheduler")) == sorted(RUNS)


@pytest.mark.parametrize(
    ("option", "meaning"),
    [
        ("--out", "Folder of the stored runs"),
        ("--to", "write"),
        ("--from", "Start of the interval, a time of the run"),
        ("--until", "End of the interval, a time of the run"),
        ("--setting", "The setting"),
        ("--record", "Keep the runs in this file"),
        ("--json", "Print JSON"),
    ],
)
def test_an_option_means_the_same_everywhere(option: str, meaning: str) -> None:
    found = with_option(option)
    assert found
    other = {"examples": "Folder to copy it into [.].", "publish": "A new folder for the dataset."}
    for verb, parameter in found.items():
        assert meaning in parameter.help or other.get(verb) == parameter.help, verb


NUMBERS = [
    (f"{verb} {parameter.opts[0]}", parameter)
    for verb, command in COMMANDS.items()
    for parameter in command.params
    if parameter.type_descriptor.annotation in (int, float)
]


@pytest.mark.parametrize("parameter", [p for _, p in NUMBERS], ids=[name for name, _ in NUMBERS])
def test_every_number_on_the_command_line_has_two_bounds(parameter: Any) -> None:
    assert None not in (parameter.min, parameter.max)


def test_numbers_on_the_command_line_are_found() -> None:
    assert len(NUMBERS) > 30


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "experiment.toml"
    path.write_text(SMALL)
    return path


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["plot", "ratios", "E", "--to", "x.svg", "--setting", "vcpus=99"],
         "plot: --setting = 'vcpus=99': makes no difference for ratios; leave it out"),
        (["plot", "timeline", "E", "--to", "x.svg", "--metric", "faults"], "--metric = 'faults'"),
        (["plot", "timeline", "E", "--to", "x.svg", "--window", "1us"], "--window = '1us'"),
        (["compare", "a", "b", "--metric", "faults"], "without --across"),
        (["statistics", "E", "--shift", "latency", "--metric", "faults"], "with --shift"),
        (["validate", "--host", "x"], "--host = 'x': makes no difference without --live"),
        (["validate", "--full-size", "--workers", 2], "--workers = '2'"),
        (["validate", "--recorded", "x", "--repeats", 3], "--repeats = '3'"),
        (["conform", "x", "--random", 3], "makes no difference without --live"),
        (["bench", "--faults", 9000], "makes no difference without --scale"),
        (["check", "E", "--all", "--json"], "check: --all: makes no difference with --json"),
        (["examples", "--to", "x"], "--to = 'x': makes no difference without NAME"),
        (["vocabulary", "costs", "--to", "."], "WHICH = 'costs': makes no difference with --to"),
        (["evidence", "--host", "x", "--recorded", "y", "--arms", "z"], "without --arms-recorded"),
        (["evidence", "--host", "x", "--recorded", "y", "--arms-recorded", "z"], "without --arms;"),
        (["run", "E", "--workers", 2, "--scheduler", "tcp://127.0.0.1:1"], "leave one of the two"),
        (["warm-up", "E", "--setting", "vcpus=99", "--lap", "x"], "only one setting"),
        (["statistics", "E", "--setting", "vcpus=99"], "vcpus=99"),
        (["sensitivity", "E", "--setting", "vcpus=99"], "vcpus=99"),
        (["select", "E", "--setting", "vcpus=99"], "vcpus=99"),
    ],
)  # fmt: skip
def test_an_option_that_would_be_ignored_is_refused(
    arguments: list[Any], complaint: str, small: Path, tmp_path: Path
) -> None:
    if arguments[0] == "statistics" and "--setting" in arguments:
        mmusim_here("run", small, "--workers", 1, "--seeds", 2, cwd=tmp_path)
    done = mmusim_here(*[small if one == "E" else one for one in arguments], cwd=tmp_path)
    assert done.returncode == 2, done.stdout
    assert complaint in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "x.svg").exists()


def test_an_old_spelling_is_taken_and_the_new_one_named(small: Path, tmp_path: Path) -> None:
    to = tmp_path / "one.trace.json"
    done = mmusim_here("trace", small, f"--out={to}", "--limit", 9)
    assert done.returncode == 0, done.stderr
    assert to.exists()
    assert "--out is called --to now" in done.stderr
    assert "--limit is called --max-records now" in done.stderr
    assert "notice" not in mmusim_here("trace", small, "--to", to).stderr, "negative control"


def test_no_page_uses_an_old_spelling() -> None:
    """Commands in documents are taken without a notice."""
    import re

    pages = [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/*/README.md")]
    tried = 0
    for page in pages:
        for line in re.findall(r"^(?: {4}|\.venv/bin/)*mmusim (.+)$", page.read_text(), re.M):
            words = line.partition(" #")[0].partition(" -- ")[0].split()
            name = next((n for n in (" ".join(words[:2]), words[0]) if n in COMMANDS), None)
            if name is None:
                continue
            known = {o for p in COMMANDS[name].params for o in (*p.opts, *p.secondary_opts)}
            given = [word.partition("=")[0] for word in words if word.startswith("--")]
            assert set(given) <= known | {"--help"}, f"{page}: {line}"
            tried += 1
    assert tried > 10


def test_the_help_of_plot_names_every_figure() -> None:
    from mmusim.plots.catalogue import FIGURES

    (figure,) = [p for p in COMMANDS["plot"].params if p.name == "figure"]
    of_experiments, _, of_runs = figure.help.partition("Of one run: ")
    named = of_experiments.removeprefix("Of an experiment: ").rstrip(". ").split(", ")
    assert named == list(FIGURES)
    assert of_runs == "timeline, utilisation."
    guide = (ROOT / "docs/how-to/analysis.md").read_text()
    assert [name for name in named if f"`{name}`" not in guide] == []


def test_a_table_of_claims_names_the_experiment_wherever_its_file_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the tutorial's `elsewhere.toml` the title was "Claims of" and nothing."""
    monkeypatch.chdir(tmp_path)

    def named(path: str) -> str:
        return Checked(path=Path(path), outcome=None, judged=()).name

    assert named("elsewhere.toml") == "elsewhere"
    assert named("experiments/ring-or-bitmap/experiment.toml") == "ring-or-bitmap"
    assert named("experiment.toml") == tmp_path.name
