"""Does the building stand: floors, start-up, names."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import mmusim
from mmusim.config.host import load_profile, shipped_profiles
from mmusim.policies import policies
from mmusim.vocabulary import COSTS

FLOORS = [
    ["base"],
    ["vocabulary"],
    ["mmu", "workload", "trace", "stats"],
    ["policies"],
    ["costs"],
    ["config"],
    ["plan", "metrics"],
    ["engine", "comparison", "store"],
    ["timeline", "conformance", "calibration", "execution"],
    ["experiment", "kvm"],
    ["analysis", "validation", "field"],
    ["plots"],
    ["report"],
    ["cli"],
    ["__main__", "__init__"],
]
PACKAGE = Path(mmusim.__file__).parent
MODULES = [
    path.relative_to(PACKAGE)
    for path in sorted(PACKAGE.rglob("*.py"))
    if "tests" not in path.parts and path != PACKAGE / "__init__.py"
]


def floor_of(name: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if name in rooms)


def imports(source: str) -> list[str]:
    """Rooms of mmusim that a module imports, at any place in it."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mmusim":
            path = (node.module or "").split(".")[1:]
            names += [path[0]] if path else [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            names += [a.name.split(".")[1] for a in node.names if a.name.startswith("mmusim.")]
    return names


def reaches_up(file: Path, source: str) -> list[str]:
    floor = floor_of(file.parts[0].removesuffix(".py"))
    return [name for name in imports(source) if floor_of(name) > floor]


@pytest.mark.parametrize("file", MODULES, ids=str)
def test_imports_point_down(file: Path) -> None:
    assert reaches_up(file, (PACKAGE / file).read_text()) == []


def test_an_import_that_points_up_is_found() -> None:
    """Negative control."""
    assert reaches_up(Path("mmu/spte.py"), "from mmusim.engine import simulate") == ["engine"]
    assert reaches_up(Path("plan/make.py"), "def f():\n    import mmusim.engine.host") == ["engine"]


@pytest.mark.parametrize("file", MODULES, ids=str)
def test_no_module_has_more_than_one_idea(file: Path) -> None:
    assert len((PACKAGE / file).read_text().splitlines()) <= 300


HEAVY = {"simpy", "numpy", "scipy", "pandas", "matplotlib", "seaborn", "pydantic", "jinja2"}


def loaded_by(code: str) -> set[str]:
    check = f"{code}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}


def test_importing_mmusim_imports_nothing_heavy() -> None:
    assert not loaded_by("import mmusim") & (HEAVY | {"typer", "rich"})
    assert loaded_by("import mmusim; mmusim.simulate") >= {"simpy", "numpy"}, "control"


def test_help_imports_nothing_heavy() -> None:
    code = "import mmusim.cli, typer.main\ntyper.main.get_command(mmusim.cli.app)"
    assert not loaded_by(code) & HEAVY


def test_simulating_imports_no_plots_and_no_statistics() -> None:
    assert not loaded_by("import mmusim; mmusim.simulate; mmusim.make_plan; mmusim.measure") & {
        "matplotlib", "seaborn", "pandas", "jinja2",
    }  # fmt: skip


def test_every_public_name_exists_and_is_documented() -> None:
    for name in mmusim.__all__:
        assert getattr(mmusim, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = mmusim.nonsense


@pytest.mark.parametrize("name", shipped_profiles())
def test_a_fault_costs_at_least_its_parts(name: str) -> None:
    """Engines part a fault into exit, handler, locked section and entry by their means."""
    mean = {key: load_profile(name).costs[key].distribution().mean() for key in COSTS}
    ends = mean["c_exit"] + mean["c_entry"]
    assert ends + mean["c_lock_section"] <= mean["c_fault_slow"]
    assert ends <= mean["c_fault_fast"]


def test_every_policy_says_where_it_comes_from() -> None:
    for name, policy in policies().items():
        assert policy.summary(), name
        assert policy.commits or not policy.tracks, name
