"""Tables of times: CSV with commas, semicolons or tabs.

* **Samples**: columns of times, each named with its unit (``latency_us``), a row for each time.
* **A histogram**: columns ``low``, ``high`` and ``count``, with a unit as above.

A row of any other table stands for many times, or for none. Such a table is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from mmusim.base.errors import ConfigError
from mmusim.base.parsing import parse_csv
from mmusim.calibration.foreign_series import Series, histogram, samples, unit_of

_MOMENTS: Final = frozenset(
    ["timestamp", "tstamp", "ts", "epoch", "date", "datetime", "start", "begin", "end"]
)
"""Columns that say when, not how long."""
_OF_MANY: Final = frozenset([
    "count", "counts", "frequency", "freq", "hits", "hitcount", "occurrences", "calls", "n",
    "observations", "weight", "cumulative", "cum_count", "cdf", "ecdf", "pdf", "probability",
    "share", "percent", "percentile", "quantile", "le",
])  # fmt: skip
"""Columns of tables whose rows are bins, quantiles or sums, and no single times."""
_SEPARATOR = re.compile(r"sep=(.)")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?inf|nan", re.I)
_PLAIN: Final = (
    "write numbers like 1450.5, with a point and neither unit nor other separators, one in each "
    "cell, and leave out rows without one"
)


def table_of(text: str, source: str) -> list[Series]:
    """Return the columns of times, or the histogram, of a table; `source` names it in messages.

    Raises
    ------
    ConfigError
        If it is not CSV, has a value that is not a number, or has rows that are no single times.
    """
    rows = _rows(text, source)
    headless = all(_is_number(cell) for cell in rows[0] if cell.strip())
    _check_width(rows, source)
    head = [f"column {i}" for i, _ in enumerate(rows[0], 1)] if headless else rows[0]
    head = [name.strip() for name in head]
    body = rows if headless else rows[1:]
    stems = {_stem(name): i for i, name in enumerate(head)}
    missing = {"low", "high", "count"} - stems.keys()
    if len(missing) == 1 and missing != {"count"}:
        raise ConfigError.of(
            source, "columns", None, f"has bins without {missing.pop()}",
            "give the columns low, high and count of a histogram, or one column of times",
        )  # fmt: skip
    if not missing:
        low, high, count = (
            _column(body, stems[key], head, source) for key in ("low", "high", "count")
        )
        units = {unit_of(head[stems[key]]) for key in ("low", "high")}
        if len(units) > 1:
            raise ConfigError.of(
                source, "unit", None, "is not the same for low and high", "correct the header"
            )
        bins = list(zip(low, high, strict=True))
        return [Series("count", units.pop(), histogram(bins, count))]
    _refuse_sums(head, body, source)
    timed = [i for i, name in enumerate(head) if unit_of(name)]
    numeric = [i for i in range(len(head)) if all(_is_number(_cell(row, i)) for row in body)]
    some = timed or numeric or list(range(len(head)))
    return [
        Series(
            head[i], unit_of(head[i]), samples(_column(body, i, head, source)),
            likely=i in some and not _is_moment(head[i]), moments=_is_moment(head[i]),
        )
        for i in sorted({*some, *numeric})
    ]  # fmt: skip


def _rows(text: str, source: str) -> list[list[str]]:
    """Return the rows. Spreadsheets write a line with the separator before them."""
    first, _, rest = text.lstrip("\n").partition("\n")
    said = _SEPARATOR.fullmatch(first.strip())
    if said and rest.strip():
        return parse_csv(rest, source, said[1])
    return parse_csv(text, source, max(",;\t", key=first.count))


def _is_moment(name: str) -> bool:
    return bool(_MOMENTS & {_stem(name), re.split(r"[\s_.-]", _stem(name))[-1]})


def _refuse_sums(head: Sequence[str], body: Sequence[Sequence[str]], source: str) -> None:
    """Refuse rows that are bins, quantiles or sums. A column that numbers the rows is none."""
    for i, name in enumerate(head):
        if _stem(name) not in _OF_MANY:
            continue
        cells = [_cell(row, i) for row in body]
        if cells in ([str(k + start) for k in range(len(body))] for start in (0, 1)):
            continue
        raise ConfigError.of(
            source, name, None, "says that a row is not a single time",
            "give the columns low, high and count of a histogram, or a row for each time without "
            "this column",
        )  # fmt: skip


def _check_width(rows: Sequence[Sequence[str]], source: str) -> None:
    """Refuse rows longer than the first: with decimal commas, 1,4 would be read as 1."""
    for number, row in enumerate(rows[1:], 1):
        if any(cell.strip() for cell in row[len(rows[0]) :]):
            raise ConfigError.of(
                source, "row", number, f"has {len(row)} cells, and the first line {len(rows[0])}",
                "write decimal points and not commas, and a name for each column",
            )  # fmt: skip


def _stem(name: str) -> str:
    """Return a header without its unit, in small letters."""
    stem = name.lower().strip()
    return re.sub(r"[\s_.\-(\[]*[a-zµμ]+[)\]]?$", "", stem) if unit_of(stem) else stem


def _column(body: Sequence[Sequence[str]], i: int, head: Sequence[str], source: str) -> list[float]:
    values = []
    for number, row in enumerate(body, 1):
        cell = _cell(row, i)
        if not _is_number(cell):
            raise ConfigError.of(
                source, head[i], cell, f"has a value that is not a number in row {number}", _PLAIN
            )
        values.append(float(cell))
    return values


def _cell(row: Sequence[str], i: int) -> str:
    return row[i].strip() if i < len(row) else ""


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None
