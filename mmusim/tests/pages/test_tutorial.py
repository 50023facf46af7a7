"""The tutorial, done as a reader does it: files are written, commands run, answers compared."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TUTORIAL = Path(__file__).parents[3] / "docs" / "tutorial" / "index.md"
BLOCK = re.compile(r"^```(?:\{code-block\} )?(?P<kind>\w+)\n(?P<text>.*?)^```$", re.M | re.S)
NUMBER = re.compile(r"\d+(?:\.\d+)?")


def follow(page: str, folder: Path) -> list[str]:
    """Do what a page says in a folder; return the lines that it promises and no command printed."""
    program = folder / "bin" / "mmusim"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mmusim "$@"\n')
    program.chmod(0o755)
    env = os.environ | {
        "PATH": f"{program.parent}:{os.environ['PATH']}", "MMUSIM_ENGINE": "simpy",
        "PYTHONPATH": str(TUTORIAL.parents[2]), "COLUMNS": "300",
    }  # fmt: skip
    printed, missing = "", []
    for block in BLOCK.finditer(page):
        options = dict(re.findall(r"^:(\w+): (.*)$", block["text"], re.M))
        text = re.sub(r"\A(?::\w+: .*\n)*\n?", "", block["text"])
        if "caption" in options:
            (folder / options["caption"]).write_text(text)
        elif block["kind"] == "sh" and options.get("class") != "not-run":
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", text],
                cwd=folder, env=env, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, f"{text}\n{done.stderr}"
            printed = done.stdout
        elif block["kind"] == "text":
            missing += [line for line in text.splitlines() if not is_printed(line, printed)]
    return missing


def is_printed(promised: str, printed: str) -> bool:
    """Tell whether a line was printed: the same words, and numbers within a quarter.

    Seeds fix the numbers. The quarter leaves room for a better model; the words must stay true.
    """
    parts = [re.escape(part) for part in NUMBER.split(promised)]
    found = re.search(r"(\d+(?:\.\d+)?)".join(parts), " ".join(printed.split()))
    return found is not None and all(
        math.isclose(float(seen), float(said), rel_tol=0.25)
        for seen, said in zip(found.groups(), NUMBER.findall(promised), strict=True)
    )


@pytest.mark.slow
def test_the_tutorial_leads_from_a_file_to_a_decision(tmp_path: Path) -> None:
    page = TUTORIAL.read_text(encoding="utf-8")
    assert len(BLOCK.findall(page)) >= 9
    assert follow(page, tmp_path) == []


def test_a_page_that_promises_what_is_not_printed_is_found(tmp_path: Path) -> None:
    """Negative control."""
    page = "```sh\necho the ratio is 1.5\n```\n```text\nratio is 1.6\nratio is 2.5\n```\n"
    assert follow(page, tmp_path) == ["ratio is 2.5"]


def test_a_command_that_fails_is_found(tmp_path: Path) -> None:
    """Negative control."""
    with pytest.raises(AssertionError, match=r"mmusim run nothing\.toml"):
        follow("```sh\nmmusim run nothing.toml\n```\n", tmp_path)
