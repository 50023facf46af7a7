"""From the output of valgrind's tool lackey to a page trace.

``valgrind --tool=lackey --trace-mem=yes`` writes a line for each instruction (``I  04016b80,3``)
and behind it one for each load (`` L``), store (`` S``) and modify (`` M``) that it makes.
Addresses are virtual and the program's own; what the kernel does on its behalf is not there.
Instruction fetches count as reads, because they need a mapping too; a modify counts as a write.

Of each quantum of instructions every page is kept once as read and once as written, where it was
first touched so. So over every span of whole quanta the set of pages read and the set of pages
written are exact, and only how often within a quantum is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mmusim.base.errors import ConfigError
from mmusim.workload.trace_file import PageTrace

Ints = NDArray[np.int64]

SHIFT: Final = 12
_NEWLINE, _COMMA, _I, _SPACE = b"\n,I "
_DIGIT = np.full(256, 16, np.uint8)  # hexadecimal digits; 16: none
for _i, _c in enumerate(b"0123456789abcdef"):
    _DIGIT[_c] = _i
_KIND = np.zeros(256, np.uint8)  # of data accesses; 0: none
_KIND[list(b"L")], _KIND[list(b"SM")] = 1, 2
_LONGEST: Final = 16  # digits of an address


def parse(
    blocks: Iterable[bytes], quantum: int, facts: Mapping[str, Any], limit: int = 0
) -> PageTrace:
    """Read lackey's output, given in blocks of any size, into a trace.

    Parameters
    ----------
    blocks : iterable of bytes
        The output, cut anywhere.
    quantum : int, >= 1
        Instructions within which a page is kept once as read and once as written.
    facts : mapping
        What to note about how the trace was made; the quantum is added.
    limit : int
        Stop reading soon after so many instructions; 0 reads to the end.

    Raises
    ------
    ConfigError
        If a line is malformed, or no line is lackey's.
    """
    done, line = 0, 1  # instructions, lines before the block
    rows: list[Ints] = []
    for block in _whole_lines(blocks):
        text = np.frombuffer(block + b"\0" * (_LONGEST + 4), np.uint8)
        ends = np.flatnonzero(text == _NEWLINE)
        starts = np.concatenate([[0], ends[:-1] + 1])
        fetch = (text[starts] == _I) & (text[starts + 1] == _SPACE)
        kind = np.where(text[starts] == _SPACE, _KIND[text[starts + 1]], 0)
        ours = np.flatnonzero(fetch | (kind > 0))
        pages = _pages(text, starts[ours], ours + line)
        at = done + np.cumsum(fetch[ours]) - 1
        rows.append(_first_in_quantum(np.stack([at, pages, kind[ours] == 2]), quantum))
        done += int(fetch.sum())
        line += len(ends)
        if 0 < limit <= done:
            break
    if not done:
        raise ConfigError.of(
            "lackey output", "line", None, "has no line such as 'I  04016b80,3'",
            "record with valgrind --tool=lackey --trace-mem=yes",
        )  # fmt: skip
    at, pages, write = _first_in_quantum(np.concatenate(rows, axis=1), quantum)
    return PageTrace(
        page=np.unique(pages, return_inverse=True)[1].ravel(),
        write=write.astype(np.bool_),
        at=np.maximum(at, 0),
        instructions=done,
        facts={**facts, "quantum": quantum},
    )


def _whole_lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for block in blocks:
        head, newline, tail = block.rpartition(b"\n")
        if newline:
            yield rest + head + newline
            rest = tail
        else:
            rest += block
    if rest:
        yield rest + b"\n"


def _pages(text: NDArray[np.uint8], starts: Ints, lines: Ints) -> Ints:
    """Read the addresses that begin three characters into each line."""
    address = np.zeros(len(starts), np.int64)
    going = np.ones(len(starts), np.bool_)
    end = text[starts + 3]
    for i in range(_LONGEST):
        end = np.where(going, text[starts + 3 + i], end)
        digit = _DIGIT[end]
        going &= digit < 16
        if not going.any():
            break
        address = np.where(going, address << 4 | digit, address)
    bad = np.flatnonzero((end != _COMMA) | (text[starts + 3] == _COMMA) | (address < 0))
    if bad.size:
        raise ConfigError.of(
            "lackey output", f"line {lines[bad[0]]}", None, "has no address before a comma",
            "record again; the file is cut or was edited",
        )  # fmt: skip
    return address >> SHIFT


def _first_in_quantum(rows: Ints, quantum: int) -> Ints:
    """Keep the first of equal (quantum, page, write); rows are (at, page, write), in time."""
    at, page, write = rows
    slice_ = at // quantum
    slice_ = slice_ - slice_[0] if len(slice_) else slice_
    order = np.lexsort((write, page, slice_))
    a, b, c = slice_[order], page[order], write[order]
    new = np.ones(len(order), np.bool_)
    new[1:] = (a[1:] != a[:-1]) | (b[1:] != b[:-1]) | (c[1:] != c[:-1])
    return rows[:, np.sort(order[new])]
