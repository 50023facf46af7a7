"""Mend a damaged or old ledger and keep everything that can be read."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

from mmusim.base.files import whole
from mmusim.store.guarded import UNREADABLE, is_damage
from mmusim.store.owners import dead
from mmusim.store.record import (
    Ended,
    Key,
    checksum,
    checksum_of_format_4,
    pack,
    renamed,
    seal,
)
from mmusim.store.schema import (
    BESIDE,
    FORMAT,
    INSERT_RUN,
    UNFINISHED,
    StoreError,
    create,
    faults,
    run_row,
)

OLD: Final = ("2", "3", "4", "5")
"""Formats that are updated. 2: no engines, no checksums, results as plain text; 3: no checksums of
settings; 4: no checksums of facts, and of runs those of results alone; 5: other names, a setting is
a cell and the times of operations are bills.
"""
OF_SETTINGS: Final = {"2": 3, "3": 5}
"""Number of columns of a setting in old formats, where it is another."""
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
            if tables and not tables & {"about", "cells", "settings", "runs"}:
                raise StoreError(
                    f"{ledger}: is a database of something else; choose another folder with --out"
                )
            found = _format(db)
            if found not in (*OLD, str(FORMAT)):
                return ()  # opening it says so
            old = found if found in OLD and _is_of(found, db) else ""
            if not old and not _wrong(db):
                return ()
            if _others(db):
                what = f"is of format {old}" if old else "is damaged"
                raise StoreError(
                    f"{ledger}: {what}, and another process works on it; stop that one, then run "
                    "again: what can be read is kept"
                )
            unfinished = ledger.with_name(UNFINISHED)
            kept, lost = _copy(db, unfinished, {**known, **_about(db)}, old=old)
    except UNREADABLE as error:
        if not is_damage(error):
            raise
        return (_begun_anew(ledger, known, error),)
    aside = _aside(ledger, f"format-{old}" if old else "damaged")
    unfinished.replace(ledger)
    if old:
        less = f"; {lost} of its runs were damaged: they run again" if lost else ""
        return (
            f"{ledger}: brought from format {old} to {FORMAT}{less}; the old file is {aside.name}",
        )
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
    with whole(aside) as copy:  # a link there is replaced and not followed
        shutil.copy2(ledger, copy)
    for rest in BESIDE:  # they belong to the file that goes
        ledger.with_name(ledger.name + rest).unlink(missing_ok=True)
    return aside


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _format(db: sqlite3.Connection) -> str:
    """Return the format that a ledger says it has, sealed or not: a newer one is not touched.

    One that does not say it any more is of the last format that had tables of these names.
    """
    with suppress(*UNREADABLE):
        row = db.execute("SELECT value FROM about WHERE key = 'format'").fetchone()
        if row:
            return str(row[0])
    return "5" if list(db.execute("PRAGMA table_info(cells)")) else str(FORMAT)


def _about(db: sqlite3.Connection) -> dict[str, str]:
    """Return the facts of a directory that are as they were written; of old formats, all."""
    old = {row[:2] for row in _rows(db, "about", 2)}
    now = {row[:2] for row in _rows(db, "about", 3) if _is_sealed(row)}
    return dict(row for row in old | now if all(map(_is_text, row)))


def _is_sealed(row: tuple[Any, ...]) -> bool:
    """Tell whether the last value of a row is the checksum of the others."""
    return all(map(_is_text, row[:-1])) and seal(*row[:-1]) == row[-1]


def _is_of(old: str, db: sqlite3.Connection) -> bool:
    """Tell whether the tables are those of an old format, whatever the file says of itself."""
    if list(db.execute("PRAGMA table_info(settings)")):
        return False
    table = {"2": "runs", "3": "cells", "4": "about"}.get(old)
    return table is None or "checksum" not in {
        row[1] for row in db.execute(f"PRAGMA table_info({table})")
    }


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
        for row in _rows(db, "cells" if old else "settings", OF_SETTINGS.get(old, 6)):
            filled = (*row, "", "")[:5]
            with suppress(sqlite3.Error, TypeError):  # a value of another type
                if len(row) < 6 or _is_sealed(row):
                    marks = "?, ?, ?, ?, ?, ?"
                    sealed = (*filled, seal(*filled))
                    new.execute(f"INSERT OR IGNORE INTO settings VALUES ({marks})", sealed)
        if old != "2":
            for row in _rows(db, "provenance", 2):
                with suppress(sqlite3.Error, TypeError):
                    if seal(row[1]).hex() == row[0]:
                        new.execute("INSERT OR IGNORE INTO provenance VALUES (?, ?)", row)
        keys, origins = (
            {row[0] for row in new.execute(f"SELECT * FROM {table}")}
            for table in ("settings", "provenance")
        )
        for row in _rows(db, "runs", 7 if old == "2" else 12):
            key, ended, sum_ = _from_format_2(row) if old == "2" else _run(row)
            if ended.state not in ("done", "failed"):
                continue
            if (
                (old != "2" and sum_ != _sum(key, ended, old))
                or key.setting not in keys
                or ended.provenance not in (None, *origins)
            ):
                lost += 1
                continue
            try:
                new.execute(INSERT_RUN, run_row(key, renamed(ended) if old else ended))
            except sqlite3.Error:  # a value of another type
                lost += 1
            else:
                kept += ended.state == "done"
        lost += _unreadable(db, "cell" if old else "setting")
    return kept, lost


def _run(row: tuple[Any, ...]) -> tuple[Key, Ended, Any]:
    """Return a row of runs as what it says: which run, how it ended, its checksum."""
    *key, state, _, seconds, origin, packed, sum_, error = row
    return Key(*key), Ended(state, seconds, origin, packed, error), sum_


def _sum(key: Key, ended: Ended, old: str) -> bytes | None:
    """Return the checksum that a run has in a format: in 3 and 4 failed runs had none."""
    if old not in ("3", "4"):
        return checksum(key, ended)
    if ended.state == "failed" or not isinstance(ended.result, bytes):
        return None
    return checksum_of_format_4(key, ended.result)


def _from_format_2(row: tuple[Any, ...]) -> tuple[Key, Ended, None]:
    setting, policy, seed, version, state, seconds, text = row
    key, data = Key(setting, policy, seed, "simpy", version), json.loads(text)
    if state == "failed":
        return key, Ended(state, seconds, None, None, data["error"]), None
    return key, Ended(state, seconds, None, pack(data), None), None


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


def _unreadable(db: sqlite3.Connection, first: str) -> int:
    """Count the runs that their index knows, which begins with the column `first`, and that cannot
    be read.
    """
    count = 0
    try:
        numbers = [row[0] for row in db.execute(f"SELECT rowid FROM runs ORDER BY {first}")]
    except UNREADABLE:
        return 0
    for number in numbers:
        try:
            db.execute("SELECT result FROM runs WHERE rowid = ?", (number,)).fetchone()
        except UNREADABLE:
            count += 1
    return count
