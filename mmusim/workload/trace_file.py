"""Page-level traces of real programs: what a file holds, read and written.

A file is an .xz stream (standard library `lzma`) of a line that names the format and its version, a
line of JSON with the facts, and three columns of `records` numbers: page, write, and instructions
since the record before. Pages are numbered from 0 in the order of their addresses; neither
addresses nor contents of memory are kept.
"""

from __future__ import annotations

import hashlib
import json
import lzma
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mmusim.base.errors import ConfigError
from mmusim.base.files import whole

MAGIC: Final = b"mmusim-trace"
VERSION: Final = 1
MOST_PAGES: Final = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PageTrace:
    """Which pages a program read and wrote, and when, counted in instructions."""

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
        If the place cannot be written.
    """
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
    """Read a trace file; the same file is read once.

    Raises
    ------
    ConfigError
        If it cannot be read, is cut short, is none, or is of a newer format.
    """
    try:
        return _read(Path(path), Path(path).stat().st_mtime_ns)
    except OSError as error:
        raise _bad(
            path, f"cannot be read ({error.strerror})", "check path and permissions"
        ) from None


def digest(path: str | Path) -> str:
    """Return a hash of the contents of a trace file."""
    return hashlib.blake2b(Path(path).read_bytes(), digest_size=10).hexdigest()


@lru_cache(maxsize=4)
def _read(path: Path, changed_ns: int) -> PageTrace:
    del changed_ns  # part of the key
    packed = path.read_bytes()
    try:
        data = lzma.decompress(packed)
    except (lzma.LZMAError, EOFError):
        cut = packed.startswith(b"\xfd7zXZ")
        rule = "is cut short or damaged" if cut else "is not a trace file"
        raise _bad(path, rule, "copy or record it again") from None
    magic, _, rest = data.partition(b"\n")
    name, _, version = magic.partition(b" ")
    if name != MAGIC or not version.isdigit():
        raise _bad(path, "is not a trace file", "make one with mmusim workload import")
    if int(version) > VERSION:
        raise _bad(
            path, f"has format {int(version)}; this mmusim reads up to {VERSION}", "upgrade mmusim"
        )
    head, _, columns = rest.partition(b"\n")
    try:
        facts = json.loads(head)
        records, instructions = int(facts["records"]), int(facts["instructions"])
        footprint = int(facts["footprint"])
        bits = -(-records // 8)
        if records < 1 or len(columns) != 8 * records + bits:
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise _bad(path, "is cut short or damaged", "copy or record it again") from None
    page = np.cumsum(_unfolded(_unplaned(columns[: 4 * records])))
    at = np.cumsum(_unplaned(columns[4 * records + bits :]))
    write = np.unpackbits(
        np.frombuffer(columns[4 * records : 4 * records + bits], np.uint8), count=records
    )
    if page.min() < 0 or int(page.max()) + 1 != footprint or footprint > MOST_PAGES:
        raise _bad(path, "is damaged: a page lies outside the footprint", "record it again")
    return PageTrace(
        page=page, write=write.astype(np.bool_), at=at, instructions=instructions, facts=facts
    )


def _bad(path: str | Path, rule: str, remedy: str) -> ConfigError:
    return ConfigError.of("trace", str(path), None, rule, remedy)


def _folded(delta: NDArray[np.int64]) -> NDArray[np.int64]:
    """Interleave signs, so that small steps are small numbers: 0, -1, 1, -2 ... -> 0, 1, 2, 3."""
    return np.where(delta < 0, -2 * delta - 1, 2 * delta)


def _unfolded(number: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.where(number & 1, -(number >> 1) - 1, number >> 1)


def _planes(numbers: NDArray[np.int64]) -> bytes:
    """Return the lowest bytes of all numbers, then the next: equal bytes lie together."""
    return numbers.astype("<u4").view(np.uint8).reshape(-1, 4).T.tobytes()


def _unplaned(data: bytes) -> NDArray[np.int64]:
    planes = np.frombuffer(data, np.uint8).reshape(4, -1)
    return np.ascontiguousarray(planes.T).view("<u4").ravel().astype(np.int64)
