"""A run directory: the ledger of an experiment's runs, in SQLite.

Each run is stored the moment it ends, so stopping loses nothing that was finished, and running
again runs only what is missing.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from mmusim.errors import ConfigError, MmusimError

FORMAT: Final = 2
LEDGER: Final = "ledger.sqlite"

_SCHEMA = """
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE cells (key TEXT PRIMARY KEY, name TEXT NOT NULL, config TEXT NOT NULL) STRICT;
CREATE TABLE runs (
    cell TEXT NOT NULL, policy TEXT NOT NULL, seed INTEGER NOT NULL, version TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('done', 'failed')),
    seconds REAL NOT NULL, result TEXT NOT NULL,
    PRIMARY KEY (cell, policy, seed, version)
) STRICT;
"""


class StoreError(MmusimError):
    """The run directory cannot be used: it is full, read-only, damaged or locked."""


class Store:
    """An open run directory."""

    def __init__(self, folder: Path, db: sqlite3.Connection) -> None:
        """Wrap an open ledger; use :meth:`open_for` or :meth:`open`."""
        self.folder = folder
        self._db = db

    @classmethod
    def open_for(cls, folder: Path, experiment: str, about: dict[str, str]) -> Store:
        """Open the directory of an experiment, making it if it does not exist.

        Raises
        ------
        ConfigError
            If the folder holds something else, or another experiment.
        StoreError
            If it cannot be written.
        """
        ledger = folder / LEDGER
        if folder.exists() and not folder.is_dir():
            raise ConfigError.of(
                "--out", str(folder), None, "is not a folder", "choose another name"
            )
        if folder.exists() and not ledger.exists() and any(folder.iterdir()):
            raise ConfigError.of(
                "--out", str(folder), None, "is not empty and is no run directory",
                "choose an empty or a new folder",
            )  # fmt: skip
        if ledger.exists():
            store = cls.open(folder)
            owner = store.about().get("experiment")
            if owner != experiment:
                store.close()
                raise ConfigError.of(
                    "--out", str(folder), None,
                    f"belongs to experiment {owner!r}, not to {experiment!r}",
                    "choose another folder",
                )  # fmt: skip
            return store
        with _explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
            # Made under another name and moved: a ledger is whole or it is not there.
            unfinished = folder / f".{LEDGER}.new"
            unfinished.unlink(missing_ok=True)
            db = sqlite3.connect(unfinished)
            try:
                with db:
                    db.executescript(_SCHEMA)
                    facts = {"format": str(FORMAT), "experiment": experiment, **about}
                    db.executemany("INSERT INTO about VALUES (?, ?)", facts.items())
            except BaseException:
                db.close()
                unfinished.unlink(missing_ok=True)
                raise
            db.close()
            unfinished.rename(ledger)
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> Store:
        """Open an existing run directory.

        Raises
        ------
        ConfigError
            If the folder is not one, or was written in another format.
        StoreError
            If it is damaged or cannot be read.
        """
        ledger = folder / LEDGER
        if not ledger.is_file():
            raise ConfigError.of(
                str(folder), LEDGER, None, "is missing, so this is no run directory",
                "give the folder that `mmusim run` wrote",
            )  # fmt: skip
        with _explained(folder):
            db = sqlite3.connect(ledger, timeout=30)
            store = cls(folder, db)
            try:
                found = store.about().get("format")
                db.execute("PRAGMA journal_mode = WAL")
                db.execute("PRAGMA synchronous = NORMAL")
            except sqlite3.Error:
                db.close()
                raise
        if found != str(FORMAT):
            store.close()
            raise ConfigError.of(
                str(ledger), "format", found, f"is not {FORMAT}, the format of this mmusim",
                "choose another folder and run again",
            )  # fmt: skip
        return store

    def about(self) -> dict[str, str]:
        """Return what the directory says of itself: format, experiment, versions, commit."""
        return dict(self._db.execute("SELECT key, value FROM about"))

    def add_cell(self, key: str, name: str, config: str) -> None:
        """Note a cell's resolved configuration (TOML)."""
        with _explained(self.folder), self._db:
            self._db.execute("INSERT OR REPLACE INTO cells VALUES (?, ?, ?)", (key, name, config))

    def add_run(
        self, cell: str, policy: str, seed: int, version: str, seconds: float,
        result: dict[str, Any] | None, error: str = "",
    ) -> None:  # fmt: skip
        """Store a run that ended; `result` is None if it failed, and `error` says how."""
        state = "failed" if result is None else "done"
        text = json.dumps(result if result is not None else {"error": error})
        with _explained(self.folder), self._db:
            self._db.execute(
                "INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?)",
                (cell, policy, seed, version, state, seconds, text),
            )

    def done(self, version: str) -> set[tuple[str, str, int]]:
        """Return (cell, policy, seed) of every run that succeeded under this version."""
        rows = self._db.execute(
            "SELECT cell, policy, seed FROM runs WHERE state = 'done' AND version = ?", (version,)
        )
        return {(cell, policy, seed) for cell, policy, seed in rows}

    def results(self, version: str) -> Iterator[tuple[str, str, int, dict[str, Any]]]:
        """Yield (cell, policy, seed, result) of the runs of a version, ordered by seed."""
        rows = self._db.execute(
            "SELECT cell, policy, seed, result FROM runs WHERE state = 'done' AND version = ? "
            "ORDER BY seed",
            (version,),
        )
        for cell, policy, seed, text in rows:
            yield cell, policy, seed, json.loads(text)

    def cells(self) -> dict[str, tuple[str, str]]:
        """Return name and resolved configuration of every cell by its key."""
        rows = self._db.execute("SELECT key, name, config FROM cells")
        return {key: (name, config) for key, name, config in rows}

    def close(self) -> None:
        """Close the ledger."""
        self._db.close()


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StoreError(
            f"{folder}: cannot be used as a run directory: {reason}; free space or choose another "
            "folder with --out, then run again: finished runs are kept"
        ) from None
