"""Ways in which a ledger can be damaged, by a seed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import numpy as np

from mmusim.store.record import Ended, Key
from mmusim.store.schema import INSERT_RUN, run_row

Random = np.random.Generator


def a_bit(path: Path, rng: Random) -> None:
    """One bit is another, anywhere."""
    data = bytearray(path.read_bytes())
    data[rng.integers(len(data))] ^= 1 << rng.integers(8)
    path.write_bytes(data)


def a_page(path: Path, rng: Random) -> None:
    """A page has been overwritten with zeros or with noise."""
    data = bytearray(path.read_bytes())
    first = int(rng.integers(len(data) // 4096)) * 4096
    data[first : first + 4096] = rng.bytes(4096) if rng.random() < 0.5 else bytes(4096)
    path.write_bytes(data)


def a_cut(path: Path, rng: Random) -> None:
    """The end is missing; sometimes everything is."""
    data = path.read_bytes()
    path.write_bytes(data[: 0 if rng.random() < 0.1 else int(rng.integers(len(data)))])


def a_foreign_file(path: Path, rng: Random) -> None:
    """Something else stands in its place."""
    path.write_bytes(rng.choice([b"hello\n", b"PK\x03\x04" + bytes(99), rng.bytes(9_999)]))


def _sql(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA writable_schema = ON")
        for statement in statements:
            with suppress(sqlite3.Error):
                db.execute(statement)


def a_missing_table(path: Path, rng: Random) -> None:
    """A table is gone."""
    _sql(path, f"DROP TABLE {rng.choice(['about', 'settings', 'provenance', 'owners', 'runs'])}")


def a_stale_index(path: Path, rng: Random) -> None:
    """An index does not hold what its table holds: rows are there and are not found."""
    table = rng.choice(["runs", "about", "settings"])
    name = f"sqlite_autoindex_{table}_1"
    row = "SELECT rowid FROM runs ORDER BY random() LIMIT 1"
    _sql(
        path,
        f"UPDATE sqlite_master SET sql = replace(sql, 'UNIQUE', 'CHECK (1) --') "
        f"WHERE name = '{name}'",
    )
    with closing(sqlite3.connect(path)) as db, db, suppress(sqlite3.Error):
        (page,) = db.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)
        ).fetchone()
        db.execute(row)
    data = bytearray(path.read_bytes())
    at = (page - 1) * 4096
    data[at + 3 : at + 5] = (max(0, int.from_bytes(data[at + 3 : at + 5], "big") - 1)).to_bytes(
        2, "big"
    )  # one entry fewer
    path.write_bytes(data)


def a_value(path: Path, rng: Random) -> None:
    """A value is another, or of another type."""
    table, column = rng.choice(
        [
            ("about", "value"), ("about", "key"), ("settings", "key"), ("settings", "config"),
            ("settings", "host"), ("provenance", "facts"), ("provenance", "id"),
            ("runs", "setting"), ("runs", "policy"), ("runs", "seed"), ("runs", "version"),
            ("runs", "state"), ("runs", "result"), ("runs", "checksum"), ("runs", "provenance"),
            ("runs", "seconds"), ("runs", "engine"), ("runs", "error"),
        ]
    )  # fmt: skip
    value = rng.choice(
        ["NULL", "''", "'x'", "x'00ff'", "-1", "'done'", "9e99", "CAST(x'ff' AS TEXT)"]
    )
    _sql(
        path,
        "PRAGMA ignore_check_constraints = ON",
        f"UPDATE {table} SET {column} = {value} WHERE rowid = "
        f"(SELECT rowid FROM {table} ORDER BY rowid LIMIT 1 OFFSET {rng.integers(4)})",
    )


def a_setting(path: Path, rng: Random) -> None:
    """A setting is another that is valid."""
    change = (
        "config = replace(config, 'memory = \"2MiB\"', 'memory = \"4MiB\"')",
        "config = replace(config, 'vcpus = 1', 'vcpus = 2')", "config = config || char(10)",
        "name = name || 'x'", "host = 'skylake-2021-fitted'", "host_hash = upper(host_hash) || '0'",
    )  # fmt: skip
    _sql(path, f"UPDATE settings SET {change[rng.integers(len(change))]}")


def rows_missing(path: Path, rng: Random) -> None:
    """Some rows are gone."""
    table = rng.choice(["about", "settings", "provenance", "runs"])
    _sql(path, f"DELETE FROM {table} WHERE rowid % 3 = {rng.integers(3)}")


def a_schema_byte(path: Path, rng: Random) -> None:
    """Bytes of the first page are others; SQLite's message about it may be no text."""
    data = bytearray(path.read_bytes())
    for _ in range(int(rng.integers(1, 4))):
        data[rng.integers(100, 4096)] = rng.integers(256)
    path.write_bytes(data)


def a_trigger(path: Path, rng: Random) -> None:
    """A trigger refuses what is written."""
    event, table = rng.choice(["INSERT", "UPDATE"]), rng.choice(["runs", "about", "settings"])
    _sql(
        path,
        f"CREATE TRIGGER refuses BEFORE {event} ON {table} BEGIN SELECT RAISE(ABORT, 'no'); END",
    )


def a_sealed_result(path: Path, rng: Random) -> None:
    """A result is nonsense, and its checksum is right."""
    with closing(sqlite3.connect(path)) as db, db:
        rows = db.execute("SELECT * FROM runs").fetchall()
        *key, state, _, seconds, origin, packed, _, error = rows[rng.integers(len(rows))]
        wrong = (b"", packed[: len(packed) // 2], rng.bytes(50))[rng.integers(3)]
        ended = Ended(state, seconds, origin, wrong, error)
        db.execute(INSERT_RUN, run_row(Key(*key), ended))


def a_fact(path: Path, rng: Random) -> None:
    """A fact of the folder or of a run is another that is valid."""
    change = (
        "about SET value = value || ' '", "about SET value = 'another' WHERE key = 'experiment'",
        "about SET value = '' WHERE key = 'text'", "runs SET seconds = seconds + 1",
        "runs SET seconds = NULL", "runs SET provenance = NULL", "runs SET error = 'no'",
        "runs SET state = 'failed'",
    )  # fmt: skip
    _sql(path, f"UPDATE {change[rng.integers(len(change))]}")


DAMAGES: tuple[Callable[[Path, Random], None], ...] = (
    a_bit, a_page, a_cut, a_foreign_file, a_missing_table, a_stale_index, a_value, a_setting,
    rows_missing,
    a_schema_byte, a_trigger, a_sealed_result, a_fact,
)  # fmt: skip
