"""Parsers of TOML, JSON, JSON lines and CSV for files of users, within bounds.

The libraries below overflow the stack on deep nesting, need quadratic time for long dotted keys,
and accept numbers that no 64-bit field holds. So this module checks a text before it parses it.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from mmusim.base.errors import Complaint, ConfigError
from mmusim.base.inputs import MOST_TEXT, read_text, unreadable

MOST_TOML: Final = 256 << 10
"""Bytes of an experiment, a profile or a workload in TOML."""
DEPTH: Final = 32
"""Levels of tables and lists."""
MOST_NAME: Final = 200
"""Characters of a key."""
MOST_CELL: Final = 10_000
"""Characters of a cell of a CSV file."""
MOST_COMPLAINTS: Final = 50
"""Complaints about one file; more of them would say the same."""
LEAST_INT, MOST_INT = -(1 << 63), (1 << 63) - 1

_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"""|' r"'''.*?'''|" r'"(?:\\.|[^"\\\n])*+"|' r"'[^'\n]*+'|#[^\n]*+",
    re.DOTALL,
)
_JSON_STRING = re.compile(r'"(?:\\.|[^"\\])*+"', re.DOTALL)
_BRACKET = re.compile(r"[\[{]|[\]}]")
_DOTTED = re.compile(rf'(?<![\w".-])(?:[\w"-]++[ \t]*+\.[ \t]*+){{{DEPTH},}}')
_DIGITS = re.compile(r"(?<![\w.])[0-9][0-9_]{39,}")
_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)  # also what ends lines or turns the direction of writing; a lone surrogate cannot be printed
_PLAIN: Final = "write it without"


class _NumberError(ValueError):
    """A number is out of range; the text says which."""


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _blank(match: re.Match[str]) -> str:
    return '""' + "\n" * match[0].count("\n")


def _too_much(text: str) -> str:
    """Return the bound that a text without strings breaks, or an empty text."""
    depth = 0
    for match in _BRACKET.finditer(text):
        depth += 1 if match[0] in "[{" else -1
        if depth > DEPTH:
            return f"nests deeper than {DEPTH} levels in line {_line(text, match.start())}"
    found = _DOTTED.search(text)
    if found:
        return f"has a key of {DEPTH} parts or more in line {_line(text, found.start())}"
    found = _DIGITS.search(text)
    if found:
        where = _line(text, found.start())
        return f"has a number of {len(found[0]):,} digits in line {where}; 64 bits hold 19"
    return ""


def _refuse(source: str | Path, rule: str) -> ConfigError:
    return unreadable(source, rule, "shorten it")


def parse_toml(text: str, source: str) -> dict[str, Any]:
    """Parse TOML; `source` names it in messages.

    Raises
    ------
    ConfigError
        If it is not TOML, nests too deep, or has a name or number beyond the bounds.
    """
    excess = _too_much(_STRING.sub(_blank, text))
    if excess:
        raise _refuse(source, excess)
    try:
        data = tomllib.loads(text, parse_float=_finite)
    except _NumberError as error:
        raise unreadable(source, str(error), "write a number that a double holds") from None
    except (tomllib.TOMLDecodeError, ValueError, RecursionError) as error:  # an impossible date
        rule = f"is not valid TOML: {error}"
        raise unreadable(source, rule, "correct the syntax at that place") from None
    complaints = list(_beyond(data, source))
    if complaints:
        raise ConfigError(complaints[:MOST_COMPLAINTS])
    return data


def read_toml(path: str | Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises
    ------
    ConfigError
        If it cannot be read, or as :func:`parse_toml`.
    """
    return parse_toml(read_text(path, MOST_TOML), str(path))


def parse_json(text: str, source: str, key: str = "file") -> Any:
    """Parse JSON; `source` and `key` name it in messages.

    Raises
    ------
    ConfigError
        If it is not JSON, nests too deep, names a key twice, or has a name or number beyond the
        bounds. NaN and Infinity are no JSON.
    """
    excess = _too_much(_JSON_STRING.sub(_blank, text))
    if excess:
        raise ConfigError.of(source, key, None, excess, "shorten it")
    try:
        data = json.loads(
            text, parse_float=_finite, parse_constant=_no_number, object_pairs_hook=_each_once
        )
    except _NumberError as error:
        raise ConfigError.of(source, key, None, str(error), "correct it") from None
    except (ValueError, RecursionError) as error:
        rule = f"is not JSON: {error}"
        raise ConfigError.of(source, key, None, rule, "correct the syntax at that place") from None
    complaints = list(_beyond(data, source))
    if complaints:
        raise ConfigError(complaints[:MOST_COMPLAINTS])
    return data


def json_lines(path: str | Path, most: int = MOST_TEXT) -> Iterator[tuple[int, str]]:
    """Yield the number and text of every line of a JSON lines file that is not blank.

    Raises
    ------
    ConfigError
        If the file cannot be read.
    """
    for number, line in enumerate(read_text(path, most).split("\n"), 1):
        if line.strip():
            yield number, line


def before_open_end(text: str) -> str:
    """Return the lines that have a line end. What follows may be a part of a line."""
    return text[: text.rfind("\n") + 1]


def refuse_open_end(text: str, source: str) -> None:
    """Refuse a text whose last line has no line end.

    It may be cut inside its last number: 1.45 would be read as 1.

    Raises
    ------
    ConfigError
        Names the line.
    """
    whole = before_open_end(text)
    if text[len(whole) :].strip():
        raise unreadable(
            source, f"has no line end after line {_line(text, len(text))}, so it may be cut inside "
            "its last value", "copy it again, or, if it is whole, end that line",
        )  # fmt: skip


def parse_csv(text: str, source: str, delimiter: str = ",") -> list[list[str]]:
    """Return the rows of a CSV text, those without a value apart.

    Raises
    ------
    ConfigError
        If it is not CSV, as :func:`refuse_open_end`, or if a cell is longer than the bound.
    """
    refuse_open_end(text, source)
    try:
        rows = list(csv.reader(io.StringIO(text), delimiter=delimiter))
    except csv.Error as error:
        raise unreadable(source, f"is not CSV: {error}", "correct the table") from None
    longest = max((len(cell) for row in rows for cell in row), default=0)
    if longest > MOST_CELL:
        raise _refuse(source, f"has a cell of {longest:,} characters")
    return [row for row in rows if any(cell.strip() for cell in row)]


def _finite(text: str) -> float:
    """Read a number. A number that overflows a double is refused; ``inf`` by name is allowed."""
    value = float(text)
    if math.isinf(value) and "inf" not in text:
        raise _NumberError(f"has a number that no double holds ({text[:40]})")
    return value


def _no_number(name: str) -> float:
    raise _NumberError(f"has {name}, which is not a number in JSON")


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise _NumberError(f"has the key {twice[:40]!r} twice")
    return made


def _beyond(data: Any, source: str) -> Iterator[Complaint]:
    """Yield every name, number and text that breaks a bound, in their order."""
    left: list[tuple[str, Any]] = [("", data)]
    while left:
        place, value = left.pop()
        if isinstance(value, dict):
            for name in value:
                if len(name) > MOST_NAME:
                    rule = f"is a name of {len(name):,} characters; at most {MOST_NAME} are read"
                    yield Complaint(source, _dotted(place, name[:40]), None, rule, "shorten it")
                elif _CONTROL.search(name):
                    key = _dotted(place, name.encode("unicode_escape").decode())
                    yield Complaint(source, key, None, "is a name with a control character", _PLAIN)
            left += [(_dotted(place, name[:40]), inner) for name, inner in reversed(value.items())]
        elif isinstance(value, list):
            numbered = [(f"{place}[{i}]", inner) for i, inner in enumerate(value, 1)]
            left += reversed(numbered)
        elif isinstance(value, int) and not LEAST_INT <= value <= MOST_INT:
            rule = "is a number beyond 64 bits"
            yield Complaint(source, place or "file", None, rule, "write a smaller one")
        elif isinstance(value, str) and _CONTROL.search(value):
            yield Complaint(source, place or "file", value, "has a control character", _PLAIN)


def _dotted(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name
