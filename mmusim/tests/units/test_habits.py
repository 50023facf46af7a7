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


def test_the_changelog_has_each_heading_and_each_entry_once() -> None:
    """A merge may insert a section beside its successor; negative control: one that is repeated."""
    text = (ROOT / "CHANGELOG.md").read_text()
    assert repeated(text) == []
    entry = "* `mmusim vocabulary` lists every cause"
    assert entry in text
    assert repeated(text.replace(entry, f"{entry}\n{entry}"))
    assert repeated(text.replace("\n\n### Names", "\n### Names"))


def repeated(changelog: str) -> list[str]:
    """Return headings of a version that are repeated or not apart, and repeated entries."""
    wrong = []
    for version in re.split(r"^## ", changelog, flags=re.M)[1:]:
        headings = re.findall(r"^### (.+)$", version, re.M)
        apart = re.findall(r"(?<=\n\n)### (.+)\n\n", version)
        wrong += [name for name in headings if headings.count(name) > 1 or name not in apart]
        entries = re.findall(r"^\* (.{30})", version, re.M)
        wrong += [entry for entry in entries if entries.count(entry) > 1]
    return wrong


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
