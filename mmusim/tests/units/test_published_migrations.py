"""Published migrations: the table, what counts as close, and the order of cases."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from mmusim.cli.shared.published_migrations import NAME, document, markdown, summary
from mmusim.config.settings import settings_of
from mmusim.tests.support.places import ROOT
from mmusim.validation.migrations import (
    UNKNOWN,
    Case,
    Line,
    by_number,
    cases,
    orders,
    predict,
    rows,
    table,
)


def case(name: str, posting: str = "P") -> Case:
    return Case(posting=posting, name=name, data={}, seeds=1, published={})


def line(name: str, published: float, predicted: float | None) -> Line:
    made = () if predicted is None else (predicted,)
    return Line(
        case=case(name), metric="migration_time", published=(published,), predicted=made
    )  # fmt: skip


def test_every_case_is_an_experiment_that_can_be_run() -> None:
    found = list(cases(table()))
    assert len(found) >= 4
    for one in found:
        assert settings_of(one.data, "table", Path())
        assert one.published, one.name
        assert all(value > 0 for values in one.published.values() for value in values)
    assert all(one["why"] for one in table()["left_out"])


def test_close_is_a_factor_of_one_and_a_half() -> None:
    near, far, none = line("a", 1e9, 1.49e9), line("b", 1e9, 1.51e9), line("c", 1e9, None)
    assert (near.is_close, far.is_close, none.is_close) == (True, False, False)
    assert math.isnan(none.ratio)
    assert rows([none])[0]["predicted"] == "none"


def test_a_number_with_several_cases_counts_once_and_only_if_all_are_close() -> None:
    cases_of_one = [line("a", 1e9, 1.1e9), line("b", 1e9, 1.2e9)]
    other = line("c", 2e9, 2e9)
    assert by_number([*cases_of_one, other]) == [cases_of_one, [other]]
    assert "2 of 2 published times" in summary([*cases_of_one, other], [])[1]
    missed = [line("a", 1e9, 1.1e9), line("b", 1e9, 9e9), other]
    assert "1 of 2 published times" in summary(missed, [])[1], "control"


def test_the_order_of_cases_is_judged() -> None:
    right = orders([line("fast", 1e9, 3e9), line("slow", 2e9, 5e9)])
    wrong = orders([line("fast", 1e9, 6e9), line("slow", 2e9, 5e9)])
    assert [ok for _, ok in right] == [True]
    assert [ok for _, ok in wrong] == [False], "control"
    slow = replace(line("slow", 2e9, 5e9), predicted=(4e9, 6e9))
    near = replace(line("fast", 1e9, 3e9), predicted=(2e9, 4.5e9))
    ((said, ok),) = orders([near, slow])
    assert ok
    assert "overlap" in said
    assert "overlap" not in right[0][0], "control"


def test_the_page_has_every_line_and_what_is_left_out() -> None:
    lines = [line("fast", 1e9, 3e9), line("slow", 2e9, 2.2e9)]
    page = document(table(), lines)
    assert "| P slow |" in page
    assert all(one["why"] in page for one in table()["left_out"])
    assert summary(lines, orders(lines))[0].startswith("1 of 2 times")


def test_the_published_page_is_of_this_table() -> None:
    """Its rows, assumptions and misses; the times are those of the last run at full size."""
    page = (ROOT / "docs" / "evidence" / NAME).read_text(encoding="utf-8")
    for one in cases(table()):
        assert all(f"| {one.posting} {one.name} | {m.replace('_', ' ')} |" in page
                   for m in one.published)  # fmt: skip
    for posting in table()["posting"]:
        assert all(f"* {text}" in page for text in posting["assumed"] + posting.get("misses", []))
    assert "| none |" not in page, "every published migration came to its end"
    assert UNKNOWN not in page, "every miss has a cause"


def test_the_published_page_is_what_the_model_says() -> None:
    """Of the cheapest posting, run again as the command runs it; the others take minutes each."""
    page = (ROOT / "docs" / "evidence" / NAME).read_text(encoding="utf-8")
    idle = [one for one in cases(table()) if one.posting == "P24"]
    made = markdown(rows(predict(idle, workers=1))).splitlines()
    assert len(made) == 2 + 3
    assert all(row in page for row in made)
    changed = [replace(one, data=one.data | {"vm": one.data["vm"] | {"memory": "12GiB"}})
               for one in idle]  # fmt: skip
    other = markdown(rows(predict(changed, workers=1))).splitlines()
    assert any(row not in page for row in other), "control"


def test_a_miss_has_its_cause_and_what_is_close_has_none() -> None:
    far, near = line("a", 1e9, 1.51e9), line("b", 1e9, 1.2e9)
    assert [row["cause"] for row in rows([far, near])] == [UNKNOWN, ""]
    told = replace(far, case=replace(far.case, causes={"migration_time": "a slow disk"}))
    assert rows([told])[0]["cause"] == "a slow disk"
