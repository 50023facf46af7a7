"""Pages as a browser shows them: drawn, within their width, legible, and usable by keys alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mmusim.report import write_index
from mmusim.tests.support.browser import chromium, needs_chromium, problems, show
from mmusim.tests.support.reports import SWEPT, report_of

pytestmark = [needs_chromium, pytest.mark.filterwarnings("ignore::ResourceWarning")]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("chromium")) as started:
        yield started


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report_of(tmp_path_factory.mktemp("pages") / "small", SWEPT.replace("= 10", "= 4"))[1]


@pytest.fixture(scope="module")
def index(page: Path) -> Path:
    return write_index(page.parent.parent)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1400])
def test_nothing_is_wrong(width: int, scheme: str, driver: Any, page: Path, index: Path) -> None:
    assert problems(driver, page, width, scheme) == []
    assert problems(driver, index, width, scheme) == []


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        ('<div style="width: 900px; height: 1px"></div>', "overflow"),
        ("<script>nobody.wrote.this()</script>", "console"),
        ('<p style="color: #999">pale</p>', "contrast"),
        ("<figure><svg role='img' aria-label='none'></svg></figure>", "figure"),
        ('<div style="overflow-x: auto; width: 9em"><pre>a long line, a long line</pre></div>',
         "keyboard"),
        ("<h4>too deep</h4>", "headings"),
        ("<table><thead><tr><th>no</th></tr></thead></table>", "table"),
        ('<img src="elsewhere.png" alt="">', "resource"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_found(
    wrong: str, found: str, driver: Any, index: Path, tmp_path: Path
) -> None:
    """Negative control: the same page with one thing wrong."""
    bad = tmp_path / "bad.html"
    bad.write_text(index.read_text().replace("</main>", f"{wrong}</main>"))
    kinds = {problem.partition(":")[0] for problem in problems(driver, bad, 390)}
    assert found in kinds


def column(driver: Any, number: int) -> list[str]:
    """What stands in a column of the rows that are shown, numbers as they are sorted."""
    settings = f"#comparisons-table tbody tr:not([hidden]) td:nth-child({number})"
    found = f"[...document.querySelectorAll('{settings}')]"
    texts = driver.execute_script(f"return {found}.map(c => c.dataset.v ?? c.textContent)")
    return [str(text) for text in texts]


def test_a_table_sorts_by_keys(driver: Any, page: Path) -> None:
    """Up, down and back to the experiment's own order, as numbers; the header says which."""
    from selenium.webdriver.common.keys import Keys

    show(driver, page, 1400)
    header = driver.find_element("css selector", "#comparisons-table th:nth-child(8)")
    button = header.find_element("css selector", "button")
    original = column(driver, 8)
    numbers = sorted(map(float, original))
    assert original != list(map(str, numbers)), "or sorting would show nothing"
    for order, key, expected in (
        ("ascending", Keys.ENTER, numbers),
        ("descending", Keys.SPACE, numbers[::-1]),
        ("none", Keys.ENTER, list(map(float, original))),
    ):
        button.send_keys(key)
        assert header.get_attribute("aria-sort") == order
        assert list(map(float, column(driver, 8))) == expected


def test_a_table_filters_by_words(driver: Any, page: Path) -> None:
    show(driver, page, 390)
    rows = len(column(driver, 1))
    box = driver.find_element(
        "xpath", "//*[@id='comparisons-table']/ancestor::div/preceding-sibling::div[1]//input"
    )
    assert box.get_attribute("aria-label").startswith("Filter the table: Policies against")
    box.send_keys("MEMORY=4MiB phase_time")
    assert set(column(driver, 2)) == {"phase_time"}
    assert len(column(driver, 2)) == 2
    count = driver.find_element("css selector", "section[aria-labelledby=comparisons] output").text
    assert count == f"2 of {rows} rows"
    box.send_keys(" nothing has this")
    assert column(driver, 1) == []
    box.clear()
    box.send_keys(" ")
    assert len(column(driver, 1)) == rows


def test_without_scripts_everything_is_there(driver: Any, page: Path) -> None:
    """Every row, and nothing that looks as if it could be clicked."""
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        show(driver, page, 1400)
        assert driver.find_elements("css selector", "th button, .filter") == []
        assert len(driver.find_elements("css selector", "#comparisons-table tbody tr")) == 4 * 5
    finally:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
