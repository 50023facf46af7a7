"""Page-level traces of real programs: the file format, read and written.

A file is an .xz stream (standard library `lzma`): a line with the format and its version, a line of
JSON with the facts, and three columns of `records` numbers: page, write, and instructions since the
record before. Pages have numbers from 0 in the order of their addresses. The file keeps neither
addresses nor contents of memory.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mmusim.base.errors import ConfigError
from mmusim.base.files import whole
from mmusim.base.inputs import XzReader, read_bytes, unreadable
from mmusim.base.parsing import parse_json

MAGIC: Final = b"mmusim-trace"
VERSION: Final = 1
MOST_RECORDS: Final = 1 << 25
"""272 MiB unpacked, eight times what the largest of the shipped traces has."""
MOST_PAGES: Final = 1 << 30
MOST_INSTRUCTIONS: Final = 1 << 50
MOST_HEAD: Final = 1 << 16
"""Bytes of a line of text."""
_BOUNDS: Final = {
    "records": MOST_RECORDS, "footprint": MOST_PAGES, "instructions": MOST_INSTRUCTIONS,
    "quantum": 10**9,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PageTrace:
    """The pages that a program read and wrote, and when, counted in instructions."""

    page: NDArray[np.int64]  # (records,), 0 to footprint - 1
    write: NDArray[np.bool_]  # (records,)
    at: NDArray[np.int64]  # (records,) instructions executed before, ascending
    instructions: int  # of the whole program
    facts: Mapping[str, Any]  # how it was made

    @property
    def footprint(self) -> int:
        """How many distinct pages there are."""
        return int(self.page.max()) + 1


def write_trace(trace: PageTrace, path: Path) -> None:
    """Write a trace; the file is whole or not there.

    Raises
    ------
    ConfigError
        If the place cannot be written, or the trace is longer than any that is read.
    """
    if len(trace.page) > MOST_RECORDS:
        raise ConfigError.of(
            str(path), "records", len(trace.page), f"is more than {MOST_RECORDS:,}",
            "raise the quantum, or record fewer instructions",
        )  # fmt: skip
    facts = {
        **trace.facts,
        "records": len(trace.page),
        "footprint": trace.footprint,
        "instructions": trace.instructions,
    }
    columns = (
        _planes(_folded(np.diff(trace.page, prepend=0)))
        + np.packbits(trace.write).tobytes()
        + _planes(np.diff(trace.at, prepend=0))
    )
    head = b"%s %d\n%s\n" % (MAGIC, VERSION, json.dumps(facts, sort_keys=True).encode())
    with whole(path) as unfinished:
        unfinished.write_bytes(lzma.compress(head + columns, preset=6))


def read_trace(path: str | Path) -> PageTrace:
    """Read a trace file. The same file is read once.

    Raises
    ------
    ConfigError
        If it cannot be read, is cut short, is no trace, or has a newer format.
    """
    try:
        changed_ns = Path(path).stat().st_mtime_ns
    except (OSError, ValueError):
        changed_ns = 0  # the reader says why
    return _read(Path(path), changed_ns)


def digest(path: str | Path) -> str:
    """Return a hash of the contents of a trace file.

    Raises
    ------
    ConfigError
        If it cannot be read.
    """
    return hashlib.blake2b(read_bytes(path), digest_size=10).hexdigest()


@lru_cache(maxsize=4)
def _read(path: Path, changed_ns: int) -> PageTrace:
    del changed_ns  # part of the key
    file = XzReader(path)
    head = file.read_line(MOST_HEAD) if file.is_xz else b""
    name, _, version = head.partition(b" ")
    if name != MAGIC or not re.fullmatch(rb"[0-9]{1,6}", version):
        raise unreadable(path, "is not a trace file", "make one with mmusim workload import")
    if int(version) > VERSION:
        rule = f"has format {int(version)}; this mmusim reads up to {VERSION}"
        raise unreadable(path, rule, "upgrade mmusim")
    facts = _facts(path, file.read_line(MOST_HEAD))
    records, bits = facts["records"], -(-facts["records"] // 8)
    columns = file.read(8 * records + bits)
    if len(columns) != 8 * records + bits or not file.at_end():
        raise _damaged(path)
    page = np.cumsum(_unfolded(_unplaned(columns[: 4 * records])))
    at = np.cumsum(_unplaned(columns[4 * records + bits :]))
    write = np.unpackbits(
        np.frombuffer(columns[4 * records : 4 * records + bits], np.uint8), count=records
    )
    if page.min() < 0 or int(page.max()) + 1 != facts["footprint"]:
        raise unreadable(path, "is damaged: a page lies outside the footprint", "record it again")
    if at[-1] > facts["instructions"]:
        raise unreadable(
            path, "is damaged: it goes on after its last instruction", "record it again"
        )
    return PageTrace(
        page=page, write=write.astype(np.bool_), at=at, instructions=facts["instructions"],
        facts=facts,
    )  # fmt: skip


def _facts(path: Path, line: bytes) -> dict[str, Any]:
    """Return the facts of a trace: numbers within their bounds, and single values beside them."""
    try:
        facts = parse_json(line.decode(), str(path), "facts")
    except UnicodeDecodeError:
        raise _damaged(path) from None
    if not isinstance(facts, dict) or _BOUNDS.keys() - facts.keys() - {"quantum"}:
        raise _damaged(path)
    for key, most in _BOUNDS.items():
        value = facts.get(key, 1)
        if type(value) is not int or not 1 <= value <= most:
            rule = f"must be a whole number from 1 to {most:,}"
            raise ConfigError.of(str(path), f"facts.{key}", value, rule, "record it again")
    for key, value in facts.items():
        if not isinstance(value, str | int | float):
            rule = "must be text or a number"
            raise ConfigError.of(str(path), f"facts.{key}", value, rule, "record it again")
    return facts


def _damaged(path: Path) -> ConfigError:
    return unreadable(path, "is cut short or damaged", "copy or record it again")


def _folded(delta: NDArray[np.int64]) -> NDArray[np.int64]:
    """Interleave signs, so that small steps are small numbers: 0, -1, 1, -2 ... -> 0, 1, 2, 3."""
    return np.where(delta < 0, -2 * delta - 1, 2 * delta)


def _unfolded(number: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.where(number & 1, -(number >> 1) - 1, number >> 1)


def _planes(numbers: NDArray[np.int64]) -> bytes:
    """Return the lowest bytes of all numbers, then the next: equal bytes stand together."""
    return numbers.astype("<u4").view(np.uint8).reshape(-1, 4).T.tobytes()


def _unplaned(data: bytes) -> NDArray[np.int64]:
    planes = np.frombuffer(data, np.uint8).reshape(4, -1)
    return np.ascontiguousarray(planes.T).view("<u4").ravel().astype(np.int64)
