"""The wheel does the main job alone: in an empty environment, far from the clone."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from importlib.metadata import PathDistribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mmusim.tests.support.experiment_files import SMALL
from mmusim.tests.support.places import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def needed(requirements: list[str], found: dict[str, None]) -> None:
    """Add the distributions that are required without extras, and what those require."""
    for requirement in map(Requirement, requirements):
        name = canonicalize_name(requirement.name)
        here = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if here and name not in found:
            found[name] = None
            needed(distribution(name).requires or [], found)


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and the distributions that it declares, and nothing else."""
    home = tmp_path_factory.mktemp("empty")
    venv.create(home, with_pip=False)
    (packages,) = home.glob("lib/python*/site-packages")
    install(wheel, packages, home)
    (facts,) = packages.glob("mmusim-*.dist-info")
    declared: dict[str, None] = {}
    needed(PathDistribution(facts).requires or [], declared)
    for name in declared:
        link(name, packages)
    return home


def link(name: str, packages: Path) -> None:
    """Put a distribution of this environment into another one, without a copy."""
    found = distribution(name)
    for top in {Path(str(file)).parts[0] for file in found.files or []}:
        if top not in ("..", "__pycache__") and not (packages / top).exists():
            (packages / top).symlink_to(Path(str(found.locate_file(top))).resolve())


def install(wheel: Path, packages: Path, home: Path) -> None:
    """Install as installers do: unpack, then write the scripts of its entry points."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    entries = next(packages.glob("mmusim-*.dist-info")) / "entry_points.txt"
    place = re.search(r"^mmusim = ([\w.]+):(\w+)$", entries.read_text(), re.MULTILINE)
    assert place is not None
    script = home / "bin" / "mmusim"
    script.write_text(
        f"#!{home / 'bin' / 'python'}\nfrom {place[1]} import {place[2]}\n{place[2]}()\n"
    )
    script.chmod(0o755)


def mmusim(environment: Path, *args: object, cwd: Path) -> str:
    command = [str(environment / "bin" / "mmusim"), *map(str, args)]
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(
        command, cwd=cwd, env=env | {"PYTHONNOUSERSITE": "1"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_the_examples_and_no_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "mmusim/py.typed" in names
    assert "mmusim/examples/workloads/traces/gcc.trace.xz" in names
    assert not [name for name in names if "/tests/" in name]
    assert {name.partition("/")[0] for name in names} <= {
        "mmusim",
        f"mmusim-{tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']['version']}"
        ".dist-info",
    }


def test_the_environment_has_only_what_is_declared(environment: Path) -> None:
    code = (
        "import importlib.util as u, mmusim\n"
        "print(mmusim.__file__)\n"
        "print(*[n for n in ('pytest', 'numba', 'distributed', 'simpy') if u.find_spec(n)])"
    )
    done = subprocess.run(
        [str(environment / "bin" / "python"), "-I", "-c", code],
        cwd=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    place, found = done.stdout.splitlines()
    assert Path(place).is_relative_to(environment)
    assert found == "simpy"


def test_it_runs_the_main_job_without_a_clone(environment: Path, tmp_path: Path) -> None:
    """An example is copied and loads; a question is run, reported, and answered."""
    listed = json.loads(mmusim(environment, "examples", "--json", cwd=tmp_path))["rows"]
    kinds = {row["example"].partition("/")[0] for row in listed}
    assert kinds == {"experiments", "workloads", "notebooks"}
    mmusim(environment, "examples", "experiments/reads-beside-writes", cwd=tmp_path)
    copied = tmp_path / "experiments" / "reads-beside-writes" / "experiment.toml"
    assert 'profile = "server-2012"' in mmusim(environment, "show", copied, cwd=tmp_path)
    (tmp_path / "question.toml").write_text(SMALL)
    said = mmusim(environment, "run", "question.toml", "--workers", 1, cwd=tmp_path)
    assert "lazy-drop takes 0.4" in said
    assert "Is it faster?" in (tmp_path / "results" / "small" / "report.html").read_text()
