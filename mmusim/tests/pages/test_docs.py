"""The documents: what code cites is there, and links between pages lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
CITED = re.compile(r"\bdomain(?: reference)?,? \(?([A-K]\.\d+|[A-K]\b(?!\.))", re.I)
NUMBERED = re.compile(r"^##+ ([A-K]\.\d+) ", re.M)
FACT = re.compile(r"\b([LQ]\d{1,2})\b")
FACTS = {f"L{i}" for i in range(1, 29)} | {f"Q{i}" for i in range(1, 35)}
"""What sections K.1 and K.2 number."""


def sections() -> set[str]:
    """Numbers of the sections of the domain reference."""
    texts = (path.read_text(encoding="utf-8") for path in (DOCS / "domain").glob("*.md"))
    return {number for text in texts for number in NUMBERED.findall(text)}


def unknown(text: str) -> list[str]:
    """Sections that a text cites and the domain reference does not have."""
    known = sections() | {number.partition(".")[0] for number in sections()}
    return [number for number in CITED.findall(text) if number not in known]


def citing() -> list[Path]:
    """Files that may cite the domain reference."""
    found = [*ROOT.glob("mmusim/**/*.py"), *ROOT.glob("mmusim/**/*.toml")]
    return [*found, *ROOT.glob("experiments/**/*.*ml"), *DOCS.glob("**/*.md")]


def test_every_citation_of_the_domain_reference_leads_to_a_section() -> None:
    wrong = {
        str(path.relative_to(ROOT)): numbers
        for path in citing()
        if path != Path(__file__) and (numbers := unknown(path.read_text(encoding="utf-8")))
    }
    assert wrong == {}
    assert {"A.4", "B.3", "C.4", "D.3", "F.5", "G.3", "H.2", "K.2"} <= sections()


def test_a_citation_of_a_section_that_is_not_there_is_found() -> None:
    """Negative control."""
    assert unknown("the formulas of domain B.3, and (domain, H.99)") == ["H.99"]


def test_every_numbered_fact_stands_in_the_domain_reference() -> None:
    facts = {
        fact
        for path in (DOCS / "domain").glob("*.md")
        for fact in FACT.findall(path.read_text(encoding="utf-8"))
    }
    assert facts >= FACTS


@pytest.mark.parametrize(("page", "letter"), [("linux", "L"), ("qemu", "Q")])
def test_every_fact_about_releases_is_modelled_or_left_out_with_a_reason(
    page: str, letter: str
) -> None:
    """Each row of K.1 and K.2 begins a row of the page, alone or with others."""
    text = (DOCS / "reference" / f"{page}.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([LQ]\d[^|]*)\| (.*) \|$", text, re.M)
    told = {int(number) for head, _ in rows for number in re.findall(rf"{letter}(\d+)", head)}
    facts = {int(fact[1:]) for fact in FACTS if fact[0] == letter}
    assert told == facts
    assert all(len(what) > 10 for _, what in rows)


@pytest.mark.parametrize("page", ["README.md", *(p.name for p in ROOT.glob("C*.md"))])
def test_links_of_pages_outside_the_site_lead_to_files(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\(((?!https?:|#)[^)\s#]+)", text)
    assert [link for link in links if not (ROOT / link).exists()] == []
