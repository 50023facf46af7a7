"""Each name stands once, says what it means, and everything that lists names follows from it."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

import mmusim.vocabulary
from mmusim.base.errors import ConfigError
from mmusim.config.cost import CostSpec, distribution
from mmusim.config.schema import experiment_schema
from mmusim.vocabulary import CAUSES, COSTS, COUNTERS, METRICS
from mmusim.vocabulary.causes import (
    FAULT_WORK,
    IDLE_CAUSES,
    LOST_CAUSES,
    USEFUL_CAUSES,
    Kind,
)
from mmusim.vocabulary.metrics import USUAL
from mmusim.vocabulary.pages import PAGES, VOCABULARIES, rows
from mmusim.vocabulary.terms import Better, Term, Vocabulary

ROOT = Path(__file__).parents[3]
NUMBERED = {"causes": CAUSES, "counters": COUNTERS, "costs": COSTS}


def term(name: str) -> Term:
    return Term(name=name, unit="", better=Better.NEITHER, meaning="m", source="s")


def constants() -> dict[str, int]:
    """The constants of all modules of the vocabularies that are numbers."""
    found: dict[str, int] = {}
    for info in pkgutil.iter_modules(mmusim.vocabulary.__path__):
        module = importlib.import_module(f"mmusim.vocabulary.{info.name}")
        found |= {key: value for key, value in vars(module).items() if type(value) is int}
    return found


@pytest.mark.parametrize("vocabulary", NUMBERED)
def test_a_constant_is_the_number_of_the_name_that_it_spells(vocabulary: str) -> None:
    terms: Any
    terms, numbers = NUMBERED[vocabulary], constants()
    for number, name in enumerate(terms):
        assert numbers[name.upper()] == number, name


def test_no_name_stands_twice() -> None:
    terms: Vocabulary[Term] = Vocabulary("term")
    assert [terms.add(term("one")), terms.add(term("two"))] == [0, 1]
    with pytest.raises(ValueError, match="the term 'one' is defined twice"):
        terms.add(term("one"))


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"plot: --metric = 'p99_latncy': is not a metric; did "):
        METRICS.require("p99_latncy", "plot", "--metric")
    assert METRICS.require("p99_latency", "plot", "--metric").unit == "ns"


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_every_term_says_what_it_means_and_where_it_comes_from(vocabulary: str) -> None:
    for one in VOCABULARIES[vocabulary].values():
        assert one.meaning, one.name
        assert one.source, one.name
    listed = rows(vocabulary)
    assert [row["name"] for row in listed] == list(VOCABULARIES[vocabulary])


def test_every_cause_is_of_one_kind_and_lost_time_is_the_lower_the_better() -> None:
    assert sorted((*USEFUL_CAUSES, *LOST_CAUSES, *IDLE_CAUSES)) == sorted(CAUSES)
    assert set(FAULT_WORK) < set(LOST_CAUSES)
    for cause in CAUSES.values():
        assert (cause.better is Better.LOWER) == (cause.kind is Kind.LOST), cause.name


def test_every_default_is_a_distribution_of_a_profile() -> None:
    spec: TypeAdapter[object] = TypeAdapter(CostSpec)
    for cost in COSTS.values():
        made = distribution(spec.validate_python(cost.default))  # type: ignore[arg-type]
        assert made.mean() >= 0, cost.name


def test_metrics_in_claims_are_those_of_the_vocabulary() -> None:
    schema = experiment_schema()
    assert schema["$defs"]["Claim"]["properties"]["metric"]["enum"] == list(METRICS)
    assert set(USUAL) <= set(METRICS)


@pytest.mark.parametrize("page", PAGES)
def test_reference_pages_are_what_the_vocabulary_gives(page: str) -> None:
    file = ROOT / "docs" / "reference" / page
    assert file.read_text(encoding="utf-8") == PAGES[page](), (
        f"docs are behind: mmusim vocabulary --to {file.parent.relative_to(ROOT)}"
    )


def test_the_vocabulary_imports_nothing_heavy() -> None:
    code = "import mmusim.vocabulary.pages, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "pydantic", "simpy"} & set(done.stdout.split())
