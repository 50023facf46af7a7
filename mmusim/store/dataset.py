"""A published dataset: Parquet files and a manifest with their checksums, read like a ledger.

``runs.parquet`` is the flat table for everybody; ``records.parquet`` and ``settings.parquet`` hold
what mmusim needs to evaluate the runs again, histograms included. Format 1 had other names: a
setting was a cell, and the times of operations were bills. It is read too.
"""

from __future__ import annotations

import errno
import hashlib
import sqlite3
from pathlib import Path
from typing import Any, Final

from mmusim.base.errors import ConfigError
from mmusim.base.inputs import read_text
from mmusim.base.parsing import MOST_TOML, parse_json
from mmusim.store.record import Ended, Key, checksum, renamed, seal
from mmusim.store.schema import FORMAT, OF_A_KEY, OF_A_SETTING, SCHEMA, StoreError, note

MANIFEST: Final = "manifest.json"
DATASET_FORMAT: Final = 2
OLD_FORMAT: Final = 1
TABLES: Final = {"records": "runs", "settings": "settings", "provenance": "provenance"}
"""Parquet file -> table of the ledger, column for column."""
OLD_TABLES: Final = {"records": "runs", "cells": "settings", "provenance": "provenance"}
"""The same of format 1; its runs have the column cell."""
RUNS: Final = "runs"
EXPERIMENT: Final = "experiment.toml"


def is_one(folder: Path) -> bool:
    """Tell whether a folder is a published dataset."""
    return (folder / MANIFEST).is_file()


def manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of a dataset.

    Raises
    ------
    ConfigError
        If it is of another format.
    StoreError
        If it cannot be read.
    """
    path = folder / MANIFEST
    try:
        data: dict[str, Any] = parse_json(read_text(path), str(path), "manifest")
        found = data["format"]
    except (ConfigError, KeyError, TypeError) as error:
        reason = error.complaints[0].rule if isinstance(error, ConfigError) else "no format in it"
        raise StoreError(
            f"{path}: cannot be read ({reason}); publish the run directory again"
        ) from None
    if found not in (OLD_FORMAT, DATASET_FORMAT):
        raise ConfigError.of(
            str(path), "format", found, f"is not {DATASET_FORMAT}, the format of this mmusim",
            "read it with the mmusim it names, or publish the run directory again",
        )  # fmt: skip
    if not _is_whole(data):
        raise StoreError(f"{path}: is incomplete; publish the run directory again")
    return data


def _tables(data: dict[str, Any]) -> dict[str, str]:
    """Return the Parquet files of a dataset with their tables, by its manifest."""
    return OLD_TABLES if data["format"] == OLD_FORMAT else TABLES


def _is_whole(data: dict[str, Any]) -> bool:
    """Tell whether a manifest has what :func:`load` needs, and names files of its own folder."""
    files, about = data.get("files"), data.get("about")
    return (
        isinstance(data.get("model_version"), str)
        and isinstance(about, dict)
        and all(isinstance(value, str) for value in about.values())
        and isinstance(files, dict)
        and {EXPERIMENT, *(f"{name}.parquet" for name in _tables(data))} <= files.keys()
        and all(Path(name).name == name for name in files)
        and all(isinstance(facts, dict) and "sha256" in facts for facts in files.values())
    )


def load(folder: Path) -> tuple[sqlite3.Connection, str]:
    """Read a dataset into memory as a ledger; return it and the model version of its runs.

    Raises
    ------
    ConfigError
        If it has another format, or pyarrow is missing.
    StoreError
        If a file is missing or differs from the published one. The message names it.
    """
    about = manifest(folder)
    for name, facts in about["files"].items():
        verify(folder / name, facts["sha256"])
    db = sqlite3.connect(":memory:")
    db.executescript(SCHEMA)
    with db:
        facts = {**about["about"], "format": str(FORMAT)}
        facts["text"] = read_text(folder / EXPERIMENT, MOST_TOML)
        note(db, facts)
        for name, table in _tables(about).items():
            _fill(db, table, folder / f"{name}.parquet", old=about["format"] == OLD_FORMAT)
    return db, about["model_version"]


def parquet() -> Any:
    """Import pyarrow's Parquet module.

    Raises
    ------
    ConfigError
        If it is not installed.
    """
    try:
        import pyarrow.parquet as pq
    except ImportError:
        raise ConfigError.of(
            "dataset", "pyarrow", None, "is needed for published datasets and is not installed",
            "install mmusim[parquet]",
        ) from None  # fmt: skip
    return pq


def sha256(path: Path) -> str:
    """Return the hash of a regular file, 64 hexadecimal digits.

    Raises
    ------
    OSError
        If it is no regular file or cannot be read.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "no regular file")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(path: Path, expected: str) -> None:
    """Check that a file is the one that was published.

    Raises
    ------
    StoreError
        If it is missing or differs.
    """
    try:
        found = sha256(path)
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be read ({error.strerror}); the dataset is incomplete: publish the "
            "run directory again"
        ) from None
    if found != expected:
        raise StoreError(
            f"{path}: is damaged: its SHA-256 is not the manifest's; publish the run directory "
            "again, or fetch this file again"
        )


def _fill(db: sqlite3.Connection, table: str, path: Path, *, old: bool) -> None:
    columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
    stored = parquet().read_table(path).to_pydict()
    # Datasets of before have other checksums, or none. Their files have checksums, too.
    if table == "settings":
        stored["checksum"] = [
            seal(*row) for row in zip(*(stored[c] for c in OF_A_SETTING), strict=True)
        ]
    if table == "runs" and old:
        stored["setting"] = stored.pop("cell")
        ends = zip(*(stored[c] for c in Ended._fields), strict=True)
        stored["result"] = [renamed(Ended(*how)).result for how in ends]
    if table == "runs":
        keys = zip(*(stored[c] for c in OF_A_KEY), strict=True)
        ends = zip(*(stored[c] for c in Ended._fields), strict=True)
        stored["checksum"] = [
            checksum(Key(*key), Ended(*how)) for key, how in zip(keys, ends, strict=True)
        ]
    data = {column: stored[column] for column in columns}
    marks = ", ".join("?" * len(columns))
    db.executemany(
        f"INSERT INTO {table} VALUES ({marks})", zip(*(data[c] for c in columns), strict=True)
    )  # fmt: skip
