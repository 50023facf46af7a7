"""The woven engine, as it can be looked at: its places, its source, the words that it needs."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mmusim.base.errors import WeaveError
from mmusim.base.source_hash import PACKAGE, model_files
from mmusim.engine.code_cache import kept_text
from mmusim.engine.compiled.weaving import ACTORS, WOVEN
from mmusim.engine.compiled.words import vocabulary
from mmusim.engine.processes import entries, page_fault, vcpu
from mmusim.engine.state.vm import Steps, Vcpu, Vm
from mmusim.engine.weave import Woven, read, weave, written
from mmusim.tests.support.command_line import mmusim_here
from mmusim.tests.support.places import ROOT


def waits_in(path: Path) -> set[int]:
    """Lines with a ``yield`` of an event."""
    tree = ast.parse(path.read_text())
    return {node.lineno for node in ast.walk(tree) if isinstance(node, ast.Yield)}


def test_every_wait_of_a_fault_is_a_place() -> None:
    path = ROOT / "mmusim/engine/processes/page_fault.py"
    named = {
        int(where.rpartition(":")[2].rstrip(")"))
        for where in WOVEN.places.values()
        if "processes/page_fault.py" in where
    }
    waits = waits_in(path)
    assert len(waits) > 8
    assert waits <= named


def test_the_verb_lists_the_places_with_file_and_line() -> None:
    done = mmusim_here("engine", "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    for actor, woven in ACTORS.items():
        places = [row["place"] for row in rows if row["actor"] == actor]
        assert places == list(range(len(woven.places)))
        assert len(places) > 1
    for row in rows:
        line = (ROOT / row["file"]).read_text().splitlines()[row["line"] - 1]
        assert line.strip(), row


def test_the_verb_prints_the_source() -> None:
    done = mmusim_here("engine", "--source")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "\n\n".join(woven.source for woven in ACTORS.values())
    ast.parse(done.stdout)


def test_json_with_the_source_is_refused() -> None:
    done = mmusim_here("engine", "--source", "--json")
    assert done.returncode != 0
    assert "--json: makes no difference with --source" in done.stderr


def test_what_the_engine_is_woven_from_keys_the_cache() -> None:
    """A change of a process, a word or the weaver is a change of the model's code."""
    files = {path.relative_to(PACKAGE).as_posix() for path in model_files()}
    assert {
        "engine/processes/page_fault.py", "engine/processes/entries.py", "engine/weave/emit.py",
        "engine/compiled/words.py", "engine/compiled/weaving.py", "engine/compiled/woven.py",
    } <= files  # fmt: skip


@pytest.mark.parametrize("woven", ACTORS.values(), ids=ACTORS)
def test_what_is_woven_is_read_as_it_was_written(woven: Woven) -> None:
    assert read(written(woven)) == woven


def test_a_kept_text_is_made_once_and_again_if_it_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMUSIM_CACHE_DIR", str(tmp_path))
    made: list[str] = []

    def make() -> str:
        made.append("woven\n")
        return made[-1]

    assert [kept_text("a.txt", make) for _ in range(2)] == ["woven\n"] * 2
    assert len(made) == 1
    (path,) = tmp_path.rglob("a.txt")
    path.write_text(path.read_text().replace("woven", "waven"))
    assert kept_text("a.txt", make) == "woven\n"
    assert len(made) == 2, "a damaged text was taken"


def test_a_second_start_does_not_weave() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_WEAVING], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


WITHOUT_WEAVING = """
import mmusim.engine.weave as weaver
def weave(*processes, **more): raise AssertionError("it weaves")
weaver.weave = weave
from mmusim.engine.compiled.weaving import WOVEN
assert WOVEN.places
"""


def waits_for_a_word(vm: Vm, v: Vcpu) -> Steps:
    """A process that says what no rule knows."""
    yield vm.spend(1)
    yield vm.spend(v.sleep_per_full_ring)


def test_a_word_without_a_rule_is_refused_with_its_line() -> None:
    with pytest.raises(
        WeaveError, match=r"test_woven_engine.py:\d+: 'v.sleep_per_full_ring' is an"
    ):
        weave(vocabulary(), waits_for_a_word)


@pytest.mark.parametrize("process", [vcpu.touch, page_fault.fast_page_fault])
def test_a_procedure_can_be_woven_alone(process: Any) -> None:
    """Its text needs only words of the vocabulary."""
    assert weave(vocabulary(), process).places


def test_helpers_are_woven_from_the_text_of_the_processes() -> None:
    assert f"def {entries.blocking_level.__name__}(s, " in WOVEN.source
