"""What is broken on the machine is mended, replaced or said in one line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mmusim.engine import choice, code_cache
from mmusim.tests.support.experiment_files import MINIMAL

BROKEN_NUMBA = 'raise ImportError("Numba needs NumPy 2.3 or less. Got NumPy 9.9.")\n'


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sealed cache with two files of compiled code."""
    monkeypatch.setattr("numba.config.CACHE_DIR", "")
    monkeypatch.setenv("MMUSIM_CACHE_DIR", str(tmp_path))
    folder = code_cache.cache_folder() / "loop_1"
    folder.mkdir(parents=True)
    (folder / "call.nbi").write_bytes(b"index")
    (folder / "call.1.nbc").write_bytes(bytes(range(256)))
    assert not code_cache.is_cached(), "nothing is cached before the last file is written"
    code_cache.seal()
    assert code_cache.is_cached()
    return folder


@pytest.mark.parametrize(
    "damage", ["a bit", "a cut", "an empty file", "a missing file", "one more"]
)
def test_damaged_compiled_code_is_thrown_away_and_said(
    damage: str, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = cache / "call.1.nbc"
    old = file.read_bytes()
    if damage == "a missing file":
        file.unlink()
    elif damage == "one more":
        (cache / "other.nbc").write_bytes(b"?")
    else:
        cuts = {"a bit": old[:9] + b"\x80" + old[10:], "a cut": old[:99], "an empty file": b""}
        file.write_bytes(cuts[damage])
    assert not code_cache.is_cached()
    code_cache.use_cache()
    assert "is damaged and is compiled again" in caplog.text
    assert not list(cache.parent.rglob("*.nb*"))


@pytest.mark.skipif(
    bool(choice.numba_trouble()), reason="compiled code needs Numba; install mmusim[compiled]"
)
def test_code_that_cannot_be_kept_is_compiled_and_kept_nowhere_else(tmp_path: Path) -> None:
    """Left to itself, Numba keeps it beside the source, and takes it from there when code that it
    calls is another.
    """
    command = [sys.executable, "-m", "mmusim.tests.support.code_without_cache", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "cannot be kept" in done.stderr


def test_damaged_checksums_are_no_reason_to_trust(cache: Path) -> None:
    (cache.parent / code_cache.SUMS).write_text("{")
    assert not code_cache.is_cached()
    (cache.parent / code_cache.SUMS).write_text("{}")
    assert not code_cache.is_cached()


def test_a_cache_that_numba_does_not_take_is_none(cache: Path, tmp_path: Path) -> None:
    """Another clone of the same source, or a file written anew: each worker would compile alone."""
    again = tmp_path / "clone" / code_cache.ENTRY.name
    again.parent.mkdir()
    shutil.copy2(code_cache.ENTRY, again)
    here = code_cache.cache_folder()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(code_cache, "ENTRY", again)
        there = code_cache.cache_folder()
        assert not code_cache.is_cached()
        os.utime(again, (1, 1))
        assert code_cache.cache_folder() not in (here, there)
    assert code_cache.cache_folder() == here, "nothing else has changed"
    assert code_cache.is_cached()


def test_the_file_of_the_entries_is_the_one_that_names_the_cache() -> None:
    files = code_cache.ENTRY.parent.glob("*.py")
    assert [file for file in files if "\n@entry(" in file.read_text()] == [code_cache.ENTRY]


def test_numba_that_cannot_be_imported_counts_as_absent(tmp_path: Path) -> None:
    (tmp_path / "numba").mkdir()
    (tmp_path / "numba" / "__init__.py").write_text(BROKEN_NUMBA)
    file = tmp_path / "tiny.toml"
    file.write_text(
        MINIMAL.replace('{ do = "write" }', '{ do = "write", pages = "2%" }')
        + '[vm]\nmemory = "2MiB"\n[replications]\nseeds = 2\n'
    )
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = {**os.environ, "PYTHONPATH": path}
    env.pop(choice.VARIABLE, None)

    def mmusim(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "mmusim", *args, str(file), "--out", str(tmp_path / "out")],
            capture_output=True, text=True, check=False, timeout=120, env=env,
        )  # fmt: skip

    done = mmusim("run", "--json", "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert "Numba cannot be imported (ImportError: Numba needs NumPy 2.3" in done.stderr
    assert json.loads(done.stdout)["failures"] == []
    refused = mmusim("run", "--engine", "compiled")
    assert refused.returncode == 2
    assert "needs Numba, which cannot be imported" in refused.stderr
    assert "Traceback" not in refused.stderr
