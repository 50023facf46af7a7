"""Does the building stand: floors, start-up, names."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mmusim
from mmusim.config.host import load_profile, shipped_profiles
from mmusim.policies import policies
from mmusim.tests.support.skipped import without_remedy
from mmusim.vocabulary import COSTS

FLOORS = [
    ["base"],
    ["vocabulary"],
    ["mmu", "workload", "trace", "stats", "examples"],
    ["policies", "vmm", "actors", "process_memory"],
    ["costs"],
    ["config"],
    ["plan", "metrics"],
    ["engine", "comparison", "store"],
    ["timeline", "conformance", "calibration", "execution"],
    ["experiment", "kvm"],
    ["analysis", "validation", "migration_logs"],
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


def vague_constants(source: str) -> list[str]:
    """Constants of a module whose names do not say of what they are the largest or the least."""
    vague = {"ENOUGH", "FEWEST", "LEAST", "LONG", "MANY", "MAX", "MIN", "MOST", "SHORT"}
    targets: list[ast.expr] = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign):
            targets += node.targets
        elif isinstance(node, ast.AnnAssign):
            targets.append(node.target)
    names = [target.id for target in targets if isinstance(target, ast.Name)]
    return [name for name in names if name.strip("_") in vague]


@pytest.mark.parametrize("file", MODULES, ids=str)
def test_constants_say_of_what_they_are_the_bound(file: Path) -> None:
    assert vague_constants((PACKAGE / file).read_text()) == []


def test_a_constant_that_does_not_say_so_is_found() -> None:
    """Negative control."""
    assert vague_constants("MOST: Final = 3\n_LEAST = 1\nMOST_SEEDS = 4\n") == ["MOST", "_LEAST"]


def test_the_page_about_the_house_names_every_room_on_its_floor() -> None:
    """Negative control: a page without a room is not the list of floors."""
    page = (PACKAGE.parent / "docs" / "explanation" / "architecture.md").read_text()
    rooms = [*FLOORS[:-1]]  # the top floor has no folders
    assert floors_of(page) == [sorted(floor) for floor in rooms]
    assert floors_of(page.replace("`vmm/`, ", "")) != [sorted(floor) for floor in rooms]


def floors_of(page: str) -> list[list[str]]:
    """Return the folders in the second column of the table of floors, from the ground up."""
    rows = re.findall(r"^\| (\d+) \| (.+?) \|", page, re.M)
    assert [int(number) for number, _ in rows] == list(range(len(rows)))
    return [sorted(re.findall(r"`(\w+)/`", cell)) for _, cell in rows]


def test_an_import_that_points_up_is_found() -> None:
    """Negative control."""
    assert reaches_up(Path("mmu/spte.py"), "from mmusim.engine import simulate") == ["engine"]
    assert reaches_up(Path("plan/make.py"), "def f():\n    import mmusim.engine.host_thread") == [
        "engine"
    ]


def files_imported(file: Path, source: str) -> set[Path]:
    """Files of mmusim that a file names in imports, at any place in it."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mmusim":
            folder = "/".join((node.module or "").split(".")[1:])
            for alias in node.names:
                found |= {Path(f"{folder}.py"), Path(folder, f"{alias.name}.py")}
        elif isinstance(node, ast.Import):
            paths = [Path(*a.name.split(".")[1:]) for a in node.names if "mmusim." in a.name]
            found |= {path.with_suffix(".py") for path in paths}
    return (found & set(MODULES)) - {file}


def circles(files: dict[Path, set[Path]]) -> list[set[Path]]:
    """Sets of files each of which leads to all others of its set."""
    reached: dict[Path, set[Path]] = {}
    for start in files:
        seen: set[Path] = set()
        left = [start]
        while left:
            for to in files.get(left.pop(), set()) - seen:
                seen.add(to)
                left.append(to)
        reached[start] = seen
    found: list[set[Path]] = []
    for file, seen in reached.items():
        if file in seen and not any(file in circle for circle in found):
            found.append({other for other in seen if file in reached[other]})
    return found


def test_no_files_import_each_other_in_circles() -> None:
    """Imports inside functions and for type checkers count too."""
    files = {file: files_imported(file, (PACKAGE / file).read_text()) for file in MODULES}
    assert circles(files) == []


def test_a_circle_is_found() -> None:
    """Negative control."""
    vm, host = Path("engine/state/vm.py"), Path("engine/host_thread.py")
    late = "def f():\n    from mmusim.engine.host_thread import host_thread"
    assert files_imported(vm, late) == {host}
    assert circles({vm: {host}, host: {vm}, Path("a.py"): {vm}}) == [{vm, host}]


ROOMS = sorted(
    path.parent.name for path in PACKAGE.glob("*/__init__.py") if path.parent.name != "tests"
)


def unsaid(room: str, docstring: str, imported: set[str]) -> set[str]:
    """Packages that a package imports and whose docstring does not say that it may."""
    said = re.search(r"May import (.+?)[.;](\s|$)|(Imports) nothing", docstring, re.DOTALL)
    assert said is not None, f"mmusim/{room}/__init__.py does not say what it may import"
    words = set(re.findall(r"\w+", said[1] or ""))
    below = {name for floor in FLOORS[: floor_of(room)] for name in floor}
    return imported - words - {room} - (below if words & {"below", "every"} else set())


@pytest.mark.parametrize("room", ROOMS)
def test_a_package_says_what_it_may_import(room: str) -> None:
    files = [file for file in MODULES if file.parts[0] == room]
    imported = {
        to.parts[0] for file in files for to in files_imported(file, (PACKAGE / file).read_text())
    }
    docstring = ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text())) or ""
    assert unsaid(room, docstring, imported) == set()


def test_an_import_that_nobody_said_is_found() -> None:
    """Negative control."""
    text = "Access patterns. May import ``base`` and what is below."
    assert unsaid("plan", text, {"base", "config", "engine"}) == {"engine"}
    assert unsaid("plan", "May import ``config``.", {"base", "config"}) == {"base"}


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
    costs = load_profile(name).costs
    mean = {key: costs[key].distribution().mean() for key in COSTS}
    ends = mean["c_exit"] + mean["c_entry"]
    assert ends + mean["c_lock_section"] <= mean["c_fault_slow"]
    assert ends <= mean["c_fault_fast"]


def test_every_policy_says_where_it_comes_from() -> None:
    for name, policy in policies().items():
        assert policy.summary(), name
        assert policy.commits or not policy.tracks, name


@pytest.mark.parametrize("file", sorted((PACKAGE / "tests").rglob("*.py")), ids=lambda f: f.name)
def test_a_skip_says_what_would_enable_the_test(file: Path) -> None:
    assert without_remedy(file.read_text()) == []


def test_a_skip_without_remedy_is_found() -> None:
    """Negative control."""
    bad = 'import pytest\npytest.skip("no gcc")\npytest.importorskip("x")\npytest.skip("a; b")\n'
    assert without_remedy(bad) == [2, 3]


def siblings_imported_by(source: str) -> list[str]:
    """Test modules that a test module imports; what is shared lies in `support`."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mmusim.tests."):
            names.append(node.module or "")
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return [name for name in names if name.rpartition(".")[2].startswith("test_")]


@pytest.mark.parametrize(
    "file", sorted((PACKAGE / "tests").rglob("test_*.py")), ids=lambda f: f.name
)
def test_no_test_module_imports_another_and_each_has_its_folder(file: Path) -> None:
    assert siblings_imported_by(file.read_text()) == []
    folder = file.relative_to(PACKAGE / "tests").parts[0]
    assert folder in {"theorems", "engines", "units", "integration", "pages"}


def test_a_test_module_that_imports_another_is_found() -> None:
    """Negative control."""
    assert siblings_imported_by("from mmusim.tests.units.test_cli import SMALL")
    assert siblings_imported_by("def f():\n    import test_cli")
