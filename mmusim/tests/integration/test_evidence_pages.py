"""The pages of evidence agree with each other, and with what the model predicts as it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest

from mmusim.base.units import NS
from mmusim.cli.shared.ablation import page
from mmusim.cli.shared.published_times import markdown, shown
from mmusim.config.cost import rescaled
from mmusim.config.host import load_profile
from mmusim.costs.machine import LAWS
from mmusim.validation.ablation import sets_of_laws
from mmusim.validation.predict import PROFILE, the_machine, times
from mmusim.validation.published import read
from mmusim.validation.score import CLOSE

PAGES: Final = Path(__file__).parents[3] / "docs" / "evidence"
VALIDATION, PUBLISHED, MACHINE = (
    PAGES / name for name in ("validation.md", "published-times.md", "machine.md")
)
Row = dict[str, str]


def tables(text: str) -> list[list[Row]]:
    """Return the tables of a page, each a list of rows by column."""
    found = []
    for block in re.findall(r"(?:^\|.*\|\n)+", text + "\n", re.MULTILINE):
        lines = [[cell.strip() for cell in line[1:-1].split("|")] for line in block.splitlines()]
        head, _, *body = lines
        found.append([dict(zip(head, line, strict=True)) for line in body])
    return found


def rows_with(text: str, *columns: str) -> list[Row]:
    """Return the rows of all tables that have these columns."""
    return [r for table in tables(text) for r in table if set(columns) <= r.keys()]


def sentences(text: str) -> list[str]:
    """Return what a page says of the score."""
    return re.findall(r"^(?:\d+ published values|Of \d+ pairs) .*$", text, re.MULTILINE)


def misses(text: str) -> set[tuple[str, ...]]:
    """Return which predictions a page has that are not close; what was fitted is none."""
    text = re.sub(r"^## The values they were fitted to\n.*?(?=^## )", "", text, flags=re.M | re.S)
    of = ("source", "phase", "variant", "mmu", "vcpus", "writes", "published_s", "predicted_s")
    rows = rows_with(text, *of)
    far = [r for r in rows if not 1 / CLOSE <= pair(r) <= CLOSE]
    return {tuple(r[key] for key in of) for r in far}


def pair(row: Row) -> float:
    return float(row["predicted_s"]) / float(row["published_s"])


def disagreements(validation: str, published: str) -> list[str]:
    """Name what two pages say in different ways."""
    costs = [rows_with(text, "cost", "mean", "by_profile") for text in (validation, published)]
    compared = {
        "score": (sentences(validation), sentences(published)),
        "costs": (costs[0], costs[1]),
        "misses": (misses(validation), misses(published)),
    }
    return [what for what, (one, two) in compared.items() if not one or one != two]


def test_the_pages_of_evidence_say_the_same() -> None:
    assert disagreements(VALIDATION.read_text(), PUBLISHED.read_text()) == [], "run `make evidence`"


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("published values that were not fitted are", "published values are", "score"),
        ("| c_head | 2.", "| c_head | 9.", "costs"),
        ("| F1 | iteration 1 dirty memory |", "| F9 | iteration 1 dirty memory |", "misses"),
    ],
)
def test_a_page_that_went_stale_is_noticed(old: str, new: str, what: str) -> None:
    validation = VALIDATION.read_text()
    assert old in validation
    assert what in disagreements(validation.replace(old, new), PUBLISHED.read_text())


def nanoseconds(text: str) -> float:
    number, unit = text.split()
    return float(number) * NS[unit]


def unit_costs(text: str) -> dict[str, Any]:
    """Return the fitted costs of a page, as a file would have them."""
    profile = load_profile(PROFILE).costs
    return {
        row["cost"]: rescaled(
            profile[row["cost"]].value,
            nanoseconds(row["mean"]) / profile[row["cost"]].distribution().mean(),
        )
        for row in rows_with(text, "cost", "mean", "by_profile")
    }


CHECKED: Final = [
    ("A3", "eager_page_split=Y", "64", "tdp"),
    ("B5", "eager_page_split=N", "8", "legacy"),
    ("B5", "eager_page_split=N", "4", "shadow"),
]
"""First passes that memory and cores, an exclusive lock, and the longer section bound."""


@pytest.mark.parametrize("chosen", CHECKED, ids=lambda c: "-".join(c))
def test_predictions_on_the_page_are_those_of_the_model_as_it_is(chosen: tuple[str, ...]) -> None:
    text = PUBLISHED.read_text()
    (row,) = (
        r
        for r in rows_with(text, "source", "variant", "vcpus", "mmu", "predicted_s", "ratio")
        if (r["source"], r["variant"], r["vcpus"], r["mmu"]) == chosen
        and (r["phase"], r["writes"]) == ("iteration 1 dirty memory", "100 %")
    )
    (run,) = {
        f.run
        for f in read()
        if f.run is not None
        and (f.id, f.variant, f.phase) == (row["source"], row["variant"], row["phase"])
        and (str(f.run.vcpus), f.run.writes) == (row["vcpus"], 100)
        and (row["mmu"] in f.run.policy) == (row["mmu"] != "tdp")
    }
    found = times(run, unit_costs(text), machine=the_machine())[row["phase"]].ns / 1e9
    assert found == pytest.approx(float(row["predicted_s"]), rel=5e-3), "run `make evidence`"


# What each law of the machine does.

COSTS: Final = ("cost", "mean", "by_profile")
SETS: Final = ("laws", "median", "within_1.5", "knees", "pairs")
EXAMPLE: Final = ("law", "source", "variant", "predicted_s", "without_the_law_s")


def untrue(machine: str, published: str) -> list[str]:
    """Name what the page of the laws says otherwise than its template, and than the other page."""
    (values,) = re.findall(r"^(\d+) published values are predicted; no cost", machine, re.MULTILINE)
    told = {
        name: markdown(rows_with(machine, *columns))
        for name, columns in (("ablation", SETS), ("examples", EXAMPLE), ("costs", COSTS))
    }
    (whole,) = (row for row in rows_with(machine, *SETS) if row["laws"] == "all")
    ordered, pairs = whole["pairs"].split(" of ")
    knees = rows_with(published, "series", "published", "predicted")
    equal = sum(row["published"] == row["predicted"] for row in knees)
    score_of = {
        "median": f"off by a factor of {whole['median']}, {whole['within_1.5']} are within",
        "pairs": f"Of {pairs} pairs of policies that differ",
        "order": f", {ordered} come in the published order",
        "values": f"{values} published values that were not fitted",
    }
    page_again = page(**told, values=int(values))
    return [
        *[name for name, words in score_of.items() if words not in published],
        *["knees"] * (whole["knees"] != f"{equal} of {len(knees)}"),
        *["unit costs"] * (rows_with(machine, *COSTS) != rows_with(published, *COSTS)),
        *["template or constants"] * (page_again.split() != machine.split()),
        *["sets of laws"] * ([r["laws"] for r in rows_with(machine, *SETS)] != SETS_OF_LAWS),
    ]


SETS_OF_LAWS: Final = [name for name, _ in sets_of_laws()]


def test_the_page_of_the_laws_is_of_the_model_as_it_is() -> None:
    again = "run `mmusim validate --ablation --to docs/evidence`"
    assert untrue(MACHINE.read_text(), PUBLISHED.read_text()) == [], again


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        (r"\| all \| 1\.", "| all | 2.", "median"),
        (r"\| all \|(.*) (\d+) of 15", r"| all |\1 0 of 15", "knees"),
        (r"\| c_head \| 2\.", "| c_head | 9.", "unit costs"),
        (r"\| t_line \| 0", "| t_line | 1", "template or constants"),
        (
            r"(?m)^## Constants",
            "Rows of another checkout.\n\n## Constants",
            "template or constants",
        ),
        (r"(?m)^\| all but memory .*\n", "", "sets of laws"),
    ],
)
def test_a_page_of_the_laws_that_went_stale_is_noticed(old: str, new: str, what: str) -> None:
    stale, times_found = re.subn(old, new, MACHINE.read_text(), count=1)
    assert times_found == 1
    assert what in untrue(stale, PUBLISHED.read_text())


@pytest.mark.parametrize("law", LAWS)
def test_what_a_law_changes_most_is_what_the_model_says(law: str) -> None:
    text = MACHINE.read_text()
    (row,) = (r for r in rows_with(text, *EXAMPLE) if r["law"] == law)
    same = ("source", "phase", "variant", "mmu", "vcpus", "writes")
    (run,) = {
        value.run
        for value in read()
        if value.run is not None and all(str(shown(value, 0.0)[key]) == row[key] for key in same)
    }
    for machine, column in ((the_machine([law]), "predicted_s"), (None, "without_the_law_s")):
        seconds = times(run, unit_costs(text), machine=machine)[row["phase"]].ns / 1e9
        assert seconds == pytest.approx(float(row[column]), rel=5e-3)


LIVE: Final = "emerald-rapids-pvm-2"


def live_rows(text: str) -> list[Row]:
    return rows_with(text, "setting", "pass", "total", "sceptic")


@pytest.mark.parametrize("name", ["32MiB, 20% writes, random", "96MiB, 10% writes, random"])
def test_the_page_of_a_live_machine_is_what_the_model_gives(name: str) -> None:
    """One setting of the shipped grid and one that was held out, simulated again."""
    from mmusim.cli.shared.live_validation import row
    from mmusim.validation.live_grid import held_out_grid, read_grid
    from mmusim.validation.live_runs import load_runs, simulate_all
    from mmusim.validation.live_score import score_all

    text = (PAGES / f"live-{LIVE}.md").read_text()
    told = re.search(r"simulated (\d+) times", " ".join(text.split()))
    assert told is not None
    runs, facts = load_runs(RECORDED / f"{LIVE}.jsonl.gz")
    settings = [s for s in (*read_grid(), *read_grid(held_out_grid())) if s.name == name]
    seeds = range(1, int(told[1]) + 1)
    simulated = simulate_all(settings, facts["base"], facts["mmu"], LIVE, seeds, workers=1)
    made = [
        {k: str(v) for k, v in row(s).items()} for s in score_all(settings, [*runs, *simulated])
    ]
    assert [r for r in live_rows(text) if r["setting"] == name] == made, "write the page again"


def test_the_page_of_a_live_machine_counts_its_rows() -> None:
    text = (PAGES / f"live-{LIVE}.md").read_text()
    told = [int(r["passes"]) for r in rows_with(text, "profile", "passes")]
    rows = live_rows(text)
    assert len(rows) == sum(told[::2])
    assert len({(r["setting"], r["pass"]) for r in rows}) == len(rows)
    assert all(r["counts"] in ("exact", "timing", "DIFFER") for r in rows)


RECORDED: Final = PAGES.parents[1] / "mmusim" / "validation" / "recorded"
