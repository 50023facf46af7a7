"""The tables of a ledger, how they are made, and the messages about errors."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from mmusim.base.errors import ConfigError
from mmusim.store.guarded import UNREADABLE, Connection, DamagedError, StoreError, explained
from mmusim.store.record import Ended, Key, checksum, seal

__all__ = ["DamagedError", "StoreError", "explained"]

FORMAT: Final = 6
LEDGER: Final = "ledger.sqlite"
OF_A_SETTING: Final = ("key", "name", "config", "host", "host_hash")
"""Columns of a setting that its checksum covers."""
OF_A_KEY: Final = ("setting", "policy", "seed", "engine", "version")
"""Columns of a run that are its :class:`~mmusim.store.record.Key`."""
UNFINISHED: Final = f".{LEDGER}.new"
"""Name of an unfinished ledger. A killed process leaves it behind, and it is made anew."""

BESIDE: Final = ("-wal", "-shm", "-journal")
"""Ends of the names of files that SQLite has beside a ledger while it is in use."""

SCHEMA = """
CREATE TABLE about (
    key TEXT PRIMARY KEY, value TEXT NOT NULL, checksum BLOB NOT NULL
) STRICT;
CREATE TABLE settings (
    key TEXT PRIMARY KEY, name TEXT NOT NULL, config TEXT NOT NULL,
    host TEXT NOT NULL, host_hash TEXT NOT NULL, checksum BLOB NOT NULL
) STRICT;
CREATE TABLE provenance (id TEXT PRIMARY KEY, facts TEXT NOT NULL) STRICT;
CREATE TABLE owners (
    token TEXT PRIMARY KEY, host TEXT NOT NULL, pid INTEGER NOT NULL, born TEXT NOT NULL,
    beat REAL NOT NULL
) STRICT;
CREATE TABLE runs (
    setting TEXT NOT NULL, policy TEXT NOT NULL, seed INTEGER NOT NULL, engine TEXT NOT NULL,
    version TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed')),
    owner TEXT, seconds REAL, provenance TEXT, result BLOB, checksum BLOB, error TEXT,
    UNIQUE (setting, policy, seed, engine, version)
) STRICT;
"""


INSERT_RUN: Final = f"INSERT OR REPLACE INTO runs VALUES ({', '.join('?' * 12)})"


def run_row(key: Key, ended: Ended) -> tuple[object, ...]:
    """Return the row of a run that ended, with its checksum."""
    sum_ = checksum(key, ended)
    return (
        *key, ended.state, None, ended.seconds, ended.provenance, ended.result, sum_, ended.error
    )  # fmt: skip


def connect(ledger: Path) -> sqlite3.Connection:
    """Open a ledger; read-only where it cannot be written.

    Raises
    ------
    sqlite3.Error
        If that fails.
    """
    if not os.access(ledger.parent, os.W_OK):
        return _connect_as_it_is(ledger)
    db = sqlite3.connect(ledger, timeout=30, factory=Connection)
    db.folder = ledger.parent
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
    except (*UNREADABLE, StoreError):
        db.close()
        raise
    return db


def _connect_as_it_is(ledger: Path) -> sqlite3.Connection:
    """Open a ledger without locks and without the files beside it, which cannot be made here."""
    beside = ledger.with_name(f"{ledger.name}-wal")
    if beside.exists() and beside.stat().st_size:
        raise sqlite3.OperationalError(
            "the folder is read-only, and its newest runs are not in the ledger yet"
        )
    db = sqlite3.connect(f"{ledger.absolute().as_uri()}?immutable=1", uri=True, factory=Connection)
    db.folder = ledger.parent
    return db


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Be the only process that makes or mends a ledger in a folder. Wait for others."""
    place = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(place, fcntl.LOCK_EX)
        yield
    finally:
        os.close(place)


def check_place(ledger: Path) -> None:
    """Refuse what stands in the place of a ledger, or of a file that SQLite needs beside it, and is
    no file.

    Raises
    ------
    ConfigError
        If it is a folder, a device or a pipe.
    """
    for name in (ledger.name, *(f"{ledger.name}{end}" for end in BESIDE), UNFINISHED):
        path = ledger.with_name(name)
        if path.exists() and not path.is_file():
            raise ConfigError.of(
                str(ledger.parent), name, None, "is no regular file, so there is no ledger",
                "move it away, or choose another folder with --out",
            )  # fmt: skip


def nothing_else(folder: Path) -> bool:
    """Tell whether a folder is empty, apart from an unfinished ledger."""
    return all(path.name.startswith(UNFINISHED) for path in folder.iterdir())


def create(path: Path, facts: Mapping[str, str]) -> sqlite3.Connection:
    """Make an empty ledger. The caller moves it to its place when it is complete."""
    for name in (path.name, f"{path.name}-journal"):
        path.with_name(name).unlink(missing_ok=True)
    db = sqlite3.connect(path)
    try:
        with db:
            db.executescript(SCHEMA)
            note(db, {"format": str(FORMAT), **facts})
    except BaseException:
        db.close()
        path.unlink(missing_ok=True)
        raise
    return db


def note(db: sqlite3.Connection, facts: Mapping[str, str]) -> None:
    """Write facts about the directory; they replace earlier ones of the same names."""
    db.executemany(
        "INSERT OR REPLACE INTO about VALUES (?, ?, ?)",
        ((key, value, seal(key, value)) for key, value in facts.items()),
    )


def faults(db: sqlite3.Connection) -> str:
    """Say what is wrong with an open ledger by SQLite's own check and by its tables; or nothing.

    Tables, indices, the types of all values, and the checksums of settings and facts are looked at.
    A stale index is found too: it hides rows from whoever searches by it.
    """
    found = [row[0] for row in db.execute("PRAGMA integrity_check(1)")]
    if found != ["ok"]:
        return str(found[0]).strip().splitlines()[-1]
    expected = sqlite3.connect(":memory:")
    try:
        expected.executescript(SCHEMA)
        for name, text in expected.execute("SELECT name, sql FROM sqlite_master"):
            row = db.execute("SELECT sql FROM sqlite_master WHERE name = ?", (name,)).fetchone()
            if row is None or row[0] != text:
                return f"{name} is missing or is another"
    finally:
        expected.close()
    for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'"):
        return f"{name} is not part of a ledger, and changes what is written"
    for column, table, key in (("setting", "settings", "key"), ("provenance", "provenance", "id")):
        (lost,) = db.execute(
            f"SELECT count(*) FROM runs WHERE state IN ('done', 'failed') AND {column} IS NOT NULL "
            f"AND {column} NOT IN (SELECT {key} FROM {table})"
        ).fetchone()
        if lost:
            return f"the {column} of {lost} runs is missing"
    for key, *rest, sum_ in db.execute(f"SELECT {', '.join(OF_A_SETTING)}, checksum FROM settings"):
        if seal(key, *rest) != sum_:
            return f"the setting {rest[0] or key!r} is not as it was written"
    lacks = {"format", "experiment"}
    for key, value, sum_ in db.execute("SELECT key, value, checksum FROM about"):
        lacks.discard(key)
        if seal(key, value) != sum_:
            return f"the fact {key!r} of the folder is not as it was written"
    for key in sorted(lacks):
        return f"the fact {key!r} of the folder is missing"
    for name, facts in db.execute("SELECT id, facts FROM provenance"):
        if seal(facts).hex() != name:
            return "the facts of where runs were made are not as they were written"
    return ""
