"""Every code block of README and docs is tried: Python runs, TOML loads, commands parse."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import tomli_w
import typer

from mmusim.cli import app
from mmusim.costs.profiles import __file__ as profiles
from mmusim.tests.support.command_line import mmusim
from mmusim.tests.support.experiment_files import SMALL
from mmusim.tests.support.places import ROOT

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(
    r"^(`{3,})\{?(?:code-block\} )?(\w*)[^\n]*\n((?::[^\n]*\n)*)(.*?)^\1 *$",
    re.MULTILINE | re.DOTALL,
)
COMMAND = re.compile(r"^(?:\.venv/bin/)?mmusim (?P<rest>.*)$")


USAGE: Any = typer.BadParameter.__mro__[1]
"""What a wrong command raises, of the click that typer brings."""


class Block(NamedTuple):
    document: Path
    language: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.document.relative_to(ROOT)}: {self.text.strip().splitlines()[0]}"


def blocks(language: str) -> list[Block]:
    return [
        Block(document, kind, text)
        for document in DOCUMENTS
        for _, kind, _, text in FENCE.findall(document.read_text(encoding="utf-8"))
        if kind == language and text.strip()
    ]


def commands(text: str) -> Iterator[str]:
    """Lines of shell that call mmusim, continued lines joined, comments left out."""
    joined = re.sub(r"\\\n\s*", "", text)
    for line in joined.splitlines():
        found = COMMAND.match(line.strip().removeprefix("$ "))
        if found:
            yield found["rest"]


def documented_commands() -> list[tuple[str, str]]:
    """Of fenced and indented blocks, with the document's name."""
    found = []
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        indented = "\n".join(line[4:] for line in text.splitlines() if line.startswith("    "))
        fenced = "\n".join(code for _, kind, _, code in FENCE.findall(text) if kind != "python")
        found += [(document.name, line) for part in (indented, fenced) for line in commands(part)]
    return found


def parsed(line: str) -> None:
    """Let the program read the arguments of a command; nothing is run."""
    command: Any = typer.main.get_command(app)
    words = [word for word in shlex.split(line, comments=True) if word not in ("|", ">", "&&")]
    while hasattr(command, "get_command"):
        name = words.pop(0)
        command = command.get_command(None, name)
        assert command is not None, f"there is no verb {name!r}"
    command.make_context(command.name, words)


@pytest.mark.parametrize(("document", "line"), documented_commands(), ids=lambda part: part[:60])
def test_every_documented_command_is_one(document: str, line: str) -> None:
    del document
    parsed(line)


@pytest.mark.parametrize(
    "line", ["shwo x.toml", "show", "run x.toml --no-such-option", "fit a b -x"]
)
def test_a_command_that_does_not_exist_is_found(line: str) -> None:
    """Negative control."""
    with pytest.raises((AssertionError, USAGE)):
        parsed(line)


@pytest.mark.parametrize("block", blocks("toml"), ids=lambda block: block.name)
def test_every_piece_of_toml_loads(block: Block) -> None:
    assert tomllib.loads(block.text)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the documents' paths lead to something: experiments made small."""
    folder = tmp_path_factory.mktemp("clone")
    for file in ROOT.glob("experiments/*/experiment.toml"):
        data = tomllib.loads(file.read_text(encoding="utf-8"))
        data["replications"] = data.get("replications", {}) | {"seeds": 2, "costs": 8}
        data["replications"] = {k: v for k, v in data["replications"].items() if "preci" not in k}
        data["replications"].pop("max_seeds", None)
        sweep = data.get("sweep", {})
        for key, values in sweep.items():
            sweep[key] = values[:1] if isinstance(values, list) else values
        data["policies"]["compare"] = data["policies"].get("compare", [])[:1]
        data["claims"] = []
        data.pop("reduced", None)
        data["variants"] = dict(list(data.get("variants", {}).items())[:2])
        for changed in (data["vm"], *data["variants"].values()):
            changed.pop("vm.memory", None)
        data["vm"]["memory"] = "64MiB"
        for workload in data.get("workloads", {}).values():
            if "requests" in workload:
                workload["requests"] = 300
        small = folder / file.relative_to(ROOT)
        small.parent.mkdir(parents=True)
        small.write_text(tomli_w.dumps(data), encoding="utf-8")
    (folder / "workloads").symlink_to(ROOT / "workloads")
    (folder / "mmusim" / "tests").mkdir(parents=True)
    (folder / "mmusim" / "tests" / "data").symlink_to(ROOT / "mmusim" / "tests" / "data")
    shutil.copy(next(Path(profiles).parent.glob("*.samples.npz")), folder / "myhost.samples.npz")
    return folder


def of_documents(language: str) -> list[Any]:
    """All blocks of a document in one; policies and actors are packages of their own, see below."""
    texts: dict[Path, list[str]] = {}
    for block in blocks(language):
        if "(Policy, name=" not in block.text and "(Actor, name=" not in block.text:
            texts.setdefault(block.document, []).append(block.text)
    return [
        pytest.param("\n".join(parts), id=str(document.relative_to(ROOT)))
        for document, parts in texts.items()
    ]


@pytest.mark.parametrize("text", of_documents("python"))
def test_every_piece_of_python_runs(text: str, clone: Path) -> None:
    """One process a document, its blocks one after the other, every worker in that process."""
    env = os.environ | {"MPLBACKEND": "agg", "PYTHONPATH": str(ROOT), "MMUSIM_ENGINE": "simpy"}
    guarded = "if __name__ == '__main__':\n    " + text.replace("\n", "\n    ")
    script = clone / "block.py"
    script.write_text(guarded, encoding="utf-8")
    command = [sys.executable, str(script)]
    done = subprocess.run(
        command, cwd=clone, env=env, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]


def package(folder: Path, module: str, code: str, entry_points: str) -> None:
    """Put a package with one module into a folder, as pip would."""
    facts = folder / f"{module}-1.0.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text(f"Name: {module}\nVersion: 1.0\n")
    groups = tomllib.loads(entry_points)["project"]["entry-points"]
    lines = [
        line
        for group, entries in groups.items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in entries.items()))
    ]
    (facts / "entry_points.txt").write_text("\n".join(lines) + "\n")
    (folder / f"{module}.py").write_text(code)


def points_to(place: str) -> str:
    return f'[project.entry-points."mmusim.policies"]\nmine = "{place}"\n'


def experiment(folder: Path, *policies: str) -> Path:
    """A small experiment that writes while the log is on, with these policies."""
    text = SMALL.replace('{ do = "read" }', '{ do = "write" }, { do = "get-dirty-log" }')
    text = text.partition("[[claims]]")[0].replace("seeds = 4", "seeds = 2")
    file = folder / "mine.toml"
    file.write_text(text.replace('["lazy-drop"]', str(list(policies)).replace("'", '"')))
    return file


def example() -> tuple[str, str]:
    """The README's policy and the lines of its pyproject.toml."""
    (code,) = (b.text for b in blocks("python") if "(Policy, name=" in b.text)
    (points,) = (b.text for b in blocks("toml") if "mmusim.policies" in b.text)
    return code, points


FAST = "\n    def fast_path(self, spte: Spte, tracked: bool) -> bool:\n        return True\n"


def test_the_policy_of_the_documents_works_as_printed(tmp_path: Path) -> None:
    """Negative control: with a fast path that does not look at the level it loses writes."""
    code, points = example()
    package(tmp_path / "site", "my_policies", code, points)
    lossy = code.replace("my-policy", "lossy") + FAST
    package(tmp_path / "site", "lossy_policies", lossy, points_to("lossy_policies"))
    file = experiment(tmp_path, "my-policy", "lossy")
    command = ("run", file, "--out", tmp_path / "out", "--engine", "simpy")
    done = mmusim(*command, PYTHONPATH=f"{tmp_path}/site:{ROOT}")
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert "left out" not in said
    assert "Traceback" not in said
    told = [line for line in said.splitlines() if "lost writes" in line]
    assert told
    for line in told:
        assert "policy 'lossy' lost writes" in line
    assert "in phase 3 (write): its table fast_path let them through" in said


def test_policies_that_fail_are_named_all_at_once(tmp_path: Path) -> None:
    code = (
        "from mmusim import Policy\n\n\nclass P(Policy, name='p'):\n"
        "    def protect(self, spte):\n        return 1 / 0\n\n\n"
        "class Q(Policy, name='q'):\n    def protect(self, spte):\n        return 'zap'\n"
    )
    package(tmp_path / "site", "bad", code, points_to("bad"))
    search = f"{tmp_path}/site:{ROOT}"
    done = mmusim("show", experiment(tmp_path, "p", "q"), PYTHONPATH=search)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    raising, answering = done.stderr.splitlines()
    for line in (raising, answering):
        assert "of package 'bad', entry point 'mine' (bad)" in line
    assert "policies.p.protect: raises ZeroDivisionError" in raising
    assert f"{tmp_path}/site/bad.py:6" in raising
    assert "policies.q.protect = 'zap': returns no Edit" in answering
    assert f"{tmp_path}/site/bad.py:10" in answering


def test_policies_that_cannot_be_made_or_leave_are_named(tmp_path: Path) -> None:
    """A decision that calls sys.exit ends no command without a word."""
    code = (
        "import sys\nfrom mmusim import Policy\n\n\nclass P(Policy, name='p'):\n"
        "    def __init__(self, x):\n        self.x = x\n\n\n"
        "class Q(Policy, name='q'):\n    def __init__(self):\n        raise ValueError('boo')\n\n\n"
        "class R(Policy, name='r'):\n    def protect(self, spte):\n        sys.exit(3)\n"
    )
    package(tmp_path / "site", "bad", code, points_to("bad"))
    search = f"{tmp_path}/site:{ROOT}"
    done = mmusim("show", experiment(tmp_path, "p", "q"), PYTHONPATH=search)
    assert done.returncode == 2
    needing, raising = done.stderr.splitlines()
    for line, number in ((needing, 6), (raising, 11)):
        assert "of package 'bad', entry point 'mine' (bad)" in line
        assert f"{tmp_path}/site/bad.py:{number}" in line
        assert line.endswith(
            "; let its __init__ take no arguments and raise nothing, or leave it out"
        )
    assert "policies.compare[1] = 'p': raises TypeError: " in needing
    assert "policies.compare[2] = 'q': raises ValueError: boo" in raising
    done = mmusim("show", experiment(tmp_path, "r"), PYTHONPATH=search)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "policies.r.protect: raises SystemExit: 3" in line
    assert "of package 'bad', entry point 'mine' (bad)" in line


def test_the_actor_of_the_documents_works_as_printed(tmp_path: Path) -> None:
    """In a package of its own, by name, in worker processes; without it the file is refused."""
    (code,) = (b.text for b in blocks("python") if "(Actor, name=" in b.text)
    (points,) = (b.text for b in blocks("toml") if "mmusim.actors" in b.text)
    (text,) = (b.text for b in blocks("toml") if "write-protector" in b.text and "schema" in b.text)
    package(tmp_path / "site", "write_protector", code, points)
    file = tmp_path / "aging.toml"
    file.write_text(text.replace("seeds = 5", "seeds = 2").replace("16MiB", "4MiB"))
    search = f"{tmp_path}/site:{ROOT}"
    listed = mmusim("actors", "--json", PYTHONPATH=search)
    (told,) = [r for r in json.loads(listed.stdout)["rows"] if r["actor"] == "write-protector"]
    assert "every = 10ms: Mean time" in told["parameters"]
    assert f"{tmp_path}/site/write_protector.py:" in told["source"]
    command = ("run", file, "--out", tmp_path / "out", "--engine", "simpy")
    done = mmusim(*command, PYTHONPATH=search)
    assert done.returncode == 0, done.stderr
    assert "left out" not in done.stderr
    refused = mmusim(*command)
    assert refused.returncode == 2
    assert "is not an actor; known: page-aging" in refused.stderr


MIGRATES = """
schema = 1
id = "rules-from-outside"
question = "Do rules of a package act?"

[vm]
vcpus = 2
memory = "4MiB"
kernel = "linux-6.13"

[host]
profile = "skylake-2021"

[policies]
baseline = "linux-6.13"
compare = ["linux-6.13+pml"]

[replications]
seeds = 2

[driver]
phases = [{ do = "write" }, { do = "migrate", workload = "stress" }]

[driver.migration]
bandwidth = "1MB/s"
bandwidth_cv = "0%"
max-bandwidth = "0B/s"
downtime-limit = "1ms"
switch_over = { rule = "half-sent", left = "4KiB" }
throttle = { rule = "in-proportion", most = "60%" }
postcopy = { rule = "around", pages = 8 }

[workloads.stress]
pattern = "stress"
rate = "10MB/s"
"""


def test_the_rules_of_the_documents_work_as_printed(tmp_path: Path) -> None:
    """In packages; without them the file is refused. A share beyond 99 % names its package."""
    for base, group, module in (
        ("(SwitchOver, name=", "mmusim.switch_over", "my_rules"),
        ("(Throttle, name=", "mmusim.throttles", "my_throttles"),
        ("(Postcopy, name=", "mmusim.postcopies", "my_postcopies"),
        ("(SnapshotWay, name=", "mmusim.snapshots", "my_snapshots"),
    ):
        (code,) = (b.text for b in blocks("python") if base in b.text)
        (points,) = (b.text for b in blocks("toml") if group in b.text)
        package(tmp_path / "site", module, code, points)
        wrong = code.replace("min(self.most, excess / last.dirty)", "2.0")
        package(tmp_path / "wrong", module, wrong, points)
    file = tmp_path / "rules.toml"
    file.write_text(MIGRATES)
    command = ("run", file, "--json", "--engine", "simpy", "--out")
    done = mmusim(*command, tmp_path / "out", PYTHONPATH=f"{tmp_path}/site:{ROOT}")
    assert done.returncode == 0, done.stderr
    assert "left out" not in done.stderr
    assert '"did-not-converge"' in done.stdout, "the rule of switch-over gives up"
    wrong_one = mmusim(*command, tmp_path / "no", PYTHONPATH=f"{tmp_path}/wrong:{ROOT}")
    assert wrong_one.returncode != 0
    said = wrong_one.stdout + wrong_one.stderr
    assert "Traceback" not in said
    assert "package 'my_throttles', entry point 'mine'" in said
    refused = mmusim(*command, tmp_path / "none")
    assert refused.returncode == 2
    assert "half-sent" in refused.stderr
    assert "in-proportion" in refused.stderr
    assert "around" in refused.stderr


UNLOADABLE = {
    "absent": ("import nothing_there\n", "absent", "ModuleNotFoundError: No module named 'nothing"),
    "syntax": ("def (\n", "syntax", "syntax.py:1"),
    "leaves": ("raise SystemExit(3)\n", "leaves", "SystemExit: 3"),
    "taken": (
        "from mmusim import Policy\nclass A(Policy, name='eager-drop'): ...\n", "taken", "taken by",
    ),
    "empty": ("x = 1\n", "empty", "has no Policy with a name"),
    "number": ("x = 1\n", "number:x", "is a int and no Policy"),
    "gone": ("x = 1\n", "elsewhere", "ModuleNotFoundError: No module named 'elsewhere'"),
    "plus": (
        "from mmusim import Policy\nclass A(Policy, name='a+b'): ...\n", "plus",
        "policy name 'a+b' is not of letters, digits and - _ . alone",
    ),
    "kernel": (
        "from mmusim import Policy\nclass A(Policy, name='linux-6.1'): ...\n", "kernel",
        "policy name 'linux-6.1' begins like a kernel's; choose another",
    ),
    "five": (
        "from mmusim import Policy\nclass A(Policy, name='five'):\n    protect = 5\n", "five",
        "protect of policy 'five' is no method",
    ),
    "nameless": ("from mmusim import Policy\nclass A(Policy): ...\n", "nameless:A", "has no name"),
}  # fmt: skip


def test_packages_that_cannot_be_loaded_stop_nobody_else(tmp_path: Path) -> None:
    for module, (code, place, _) in UNLOADABLE.items():
        package(tmp_path / "site", module, code, points_to(place))
    search = f"{tmp_path}/site:{ROOT}"
    done = mmusim("policies", PYTHONPATH=search)
    assert done.returncode == 0
    assert "eager-drop" in done.stdout
    asked = mmusim("policies", "theirs", PYTHONPATH=search)
    assert asked.returncode == 2
    (answer,) = (line for line in asked.stderr.splitlines() if "is not a policy" in line)
    for module, (_, place, what) in UNLOADABLE.items():
        named = f"package '{module}', entry point 'mine' ({place})"
        (warning,) = (line for line in done.stderr.splitlines() if named in line)
        assert what in warning
        assert named in answer, "it might have been there"
