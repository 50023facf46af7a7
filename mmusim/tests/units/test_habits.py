"""Files around the code say the same as the code."""

from __future__ import annotations

import re
import subprocess
import tomllib

import pytest

from mmusim.tests.support.places import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z]+):", MAKEFILE, re.M))


def test_the_citation_and_the_changelog_are_of_this_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {PROJECT['version']}\n" in citation
    assert f"\nlicense: {PROJECT['license']}\n" in citation
    changelog = (ROOT / "CHANGELOG.md").read_text()
    headings = re.findall(r"^## (.+)$", changelog, re.M)
    assert headings[0].startswith("Unreleased") or headings[0].startswith(PROJECT["version"])


@pytest.mark.parametrize(
    "name", [".github/workflows/ci.yml", "CONTRIBUTING.md", "docs/how-to/release.md"]
)
def test_make_targets_that_are_named_exist(name: str) -> None:
    text = (ROOT / name).read_text()
    named = set(re.findall(r"(?:`|run: )make ([a-z]+)", text))
    assert named
    assert named <= TARGETS


def test_help_lists_every_target() -> None:
    done = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    listed = {line.split()[0] for line in done.stdout.splitlines()}
    assert listed == TARGETS


def test_links_between_the_files_lead_somewhere() -> None:
    for name in ("CONTRIBUTING.md", "README.md", "SECURITY.md", "CODE_OF_CONDUCT.md"):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / name).read_text()):
            assert (ROOT / target).exists(), f"{name}: {target}"


def test_the_package_is_typed_for_those_who_import_it() -> None:
    assert (ROOT / "mmusim" / "py.typed").exists()
    assert "Typing :: Typed" in PROJECT["classifiers"]
