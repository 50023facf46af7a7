"""Mend a damaged or old ledger and keep everything that can be read."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

from mmusim.store.guarded import UNREADABLE, is_damage
from mmusim.store.owners import dead
from mmusim.store.record import Key, checksum, pack, seal
from mmusim.store.schema import FORMAT, UNFINISHED, StoreError, create, faults

OLD: Final = ("2", "3")
"""Formats that are updated. 2: no engines, no checksums, results as plain text; 3: no checksums of
settings.
"""
OF_CELLS: Final = {"2": 3, "3": 5}
"""Columns of a cell in old formats."""
LEAST_ROW: Final = 50  # bytes; bounds how many rows a file can have


def make_sound(ledger: Path, known: Mapping[str, str]) -> tuple[str, ...]:
    """Bring an old ledger up to date and mend a damaged one; say what was done.

    The original file stays beside it. A sound ledger is not changed.

    Parameters
    ----------
    ledger : Path
        The file.
    known : mapping
        What is written about the run directory where the file does not say it any more.

    Raises
    ------
    StoreError
        If another process works on a damaged ledger, or the file is a database of another program.
    sqlite3.Error, OSError
        If it cannot be written.
    """
    try:
        with closing(sqlite3.connect(ledger, timeout=30)) as db:
            tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
            if tables and not tables & {"about", "cells", "runs"}:
                raise StoreError(
                    f"{ledger}: is a database of something else; choose another folder with --out"
                )
            about = dict(row for row in _rows(db, "about", 2) if all(map(_is_text, row)))
            found = about.get("format", str(FORMAT))
            if found not in (*OLD, str(FORMAT)):
                return ()  # opening it says so
            old = found if found in OLD and _is_of(found, db) else ""
            if about.get("format") == str(FORMAT) and not _wrong(db):
                return ()
            if not old and _others(db):
                raise StoreError(
                    f"{ledger}: is damaged, and another process works on it; stop that one, then "
                    "run again: what can be read is kept"
                )
            unfinished = ledger.with_name(UNFINISHED)
            kept, lost = _copy(db, unfinished, {**known, **about}, old=old)
    except UNREADABLE as error:
        if not is_damage(error):
            raise
        return (_begun_anew(ledger, known, error),)
    aside = _aside(ledger, f"format-{old}" if old else "damaged")
    unfinished.replace(ledger)
    if old:
        return (f"{ledger}: brought from format {old} to {FORMAT}; the old file is {aside.name}",)
    return (
        f"{ledger}: was damaged; {kept} finished runs could be read, {lost} are lost and run "
        f"again; the damaged file is {aside.name}",
    )  # fmt: skip


def _begun_anew(ledger: Path, known: Mapping[str, str], error: Exception) -> str:
    """Put aside what cannot be read at all, and begin with an empty ledger."""
    unfinished = ledger.with_name(UNFINISHED)
    create(unfinished, known).close()
    aside = _aside(ledger, "damaged")
    unfinished.replace(ledger)
    return (
        f"{ledger}: could not be read ({error}), so all runs are made again; the file as it was "
        f"is {aside.name}"
    )


def _aside(ledger: Path, why: str) -> Path:
    """Keep a copy of the ledger beside it, and take away the files that belong to it."""
    aside = ledger.with_name(f"{ledger.name}.{why}")
    shutil.copy2(ledger, aside)
    for rest in ("-wal", "-shm"):  # they belong to the file that goes
        ledger.with_name(ledger.name + rest).unlink(missing_ok=True)
    return aside


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_of(old: str, db: sqlite3.Connection) -> bool:
    """Tell whether the tables are those of an old format, whatever the file says of itself."""
    table = "runs" if old == "2" else "cells"
    return "checksum" not in {row[1] for row in db.execute(f"PRAGMA table_info({table})")}


def _wrong(db: sqlite3.Connection) -> bool:
    """Tell whether SQLite finds the file inconsistent, or its tables are not those of a ledger."""
    try:
        return bool(faults(db))
    except UNREADABLE:
        return True


def _others(db: sqlite3.Connection) -> bool:
    try:
        (count,) = db.execute("SELECT count(*) FROM owners").fetchone()
        return int(count) > len(dead(db))
    except UNREADABLE:
        return False


def _copy(
    db: sqlite3.Connection, to: Path, about: dict[str, str], *, old: str
) -> tuple[int, int]:  # fmt: skip
    """Write everything readable into a new ledger; return the numbers of kept and lost runs."""
    facts = {key: value for key, value in about.items() if key != "format"}
    kept = lost = 0
    with closing(create(to, facts)) as new, new:
        for row in _rows(db, "cells", OF_CELLS.get(old, 6)):
            filled = (*row, "", "")[:5]
            with suppress(sqlite3.Error, TypeError):  # a cell of another type
                sealed = seal(*filled)
                if old or row[5] == sealed:
                    marks = "?, ?, ?, ?, ?, ?"
                    new.execute(f"INSERT OR IGNORE INTO cells VALUES ({marks})", (*filled, sealed))
        if old != "2":
            for row in _rows(db, "provenance", 2):
                with suppress(sqlite3.Error, TypeError):
                    if seal(row[1]).hex() == row[0]:
                        new.execute("INSERT OR IGNORE INTO provenance VALUES (?, ?)", row)
        keys, origins = (
            {row[0] for row in new.execute(f"SELECT * FROM {table}")}
            for table in ("cells", "provenance")
        )
        for row in _rows(db, "runs", 7 if old == "2" else 12):
            run = _from_format_2(row) if old == "2" else row
            key, state, packed = Key(*run[:5]), run[5], run[9]
            if state == "done" and (
                not isinstance(packed, bytes)
                or checksum(key, packed) != run[10]
                or run[0] not in keys
                or run[8] not in (None, *origins)
            ):
                lost += 1
                continue
            if state in ("done", "failed"):
                marks = ", ".join("?" * 12)
                try:
                    new.execute(f"INSERT OR IGNORE INTO runs VALUES ({marks})", run)
                except sqlite3.Error:  # a cell of another type
                    lost += state == "done"
                else:
                    kept += state == "done"
        lost += _unreadable(db, "runs")
    return kept, lost


def _from_format_2(row: tuple[Any, ...]) -> tuple[Any, ...]:
    cell, policy, seed, version, state, seconds, text = row
    key = Key(cell, policy, seed, "simpy", version)
    data = json.loads(text)
    if state == "failed":
        return (*key, state, None, seconds, None, None, None, data["error"])
    packed = pack(data)
    return (*key, state, None, seconds, None, packed, checksum(key, packed), None)


def _rows(db: sqlite3.Connection, table: str, columns: int) -> Iterator[tuple[Any, ...]]:
    """Yield the readable rows of a table one by one: a damaged page hides only its own rows."""
    try:
        rows = db.execute(f"SELECT * FROM {table}").fetchall()
    except UNREADABLE:
        rows = []
        for number in _numbers(db, table):
            with suppress(*UNREADABLE):
                rows += db.execute(f"SELECT * FROM {table} WHERE rowid = ?", (number,))
    yield from (row for row in rows if len(row) == columns)


def _numbers(db: sqlite3.Connection, table: str) -> range:
    try:
        (last,) = db.execute(f"SELECT max(rowid) FROM {table}").fetchone()
    except UNREADABLE:
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
        last = pages * size // LEAST_ROW
    return range(1, (last or 0) + 1)


def _unreadable(db: sqlite3.Connection, table: str) -> int:
    """Count the rows that the table's index knows and that cannot be read."""
    count = 0
    try:
        numbers = [row[0] for row in db.execute(f"SELECT rowid FROM {table} ORDER BY cell")]
    except UNREADABLE:
        return 0
    for number in numbers:
        try:
            db.execute(f"SELECT result FROM {table} WHERE rowid = ?", (number,)).fetchone()
        except UNREADABLE:
            count += 1
    return count
