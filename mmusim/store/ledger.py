"""A run directory: the ledger of an experiment's runs, in SQLite.

Each run is stored when it ends. So an interruption loses no finished run, and a restart makes only
the missing runs. Several processes may work on one ledger and share its runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, Literal

from mmusim.base.errors import ConfigError
from mmusim.store import dataset, repair
from mmusim.store.guarded import UNREADABLE
from mmusim.store.owners import dead, enlisted
from mmusim.store.provenance import model_version
from mmusim.store.reading import Reader
from mmusim.store.record import Ended, Key, pack, seal
from mmusim.store.schema import (
    FORMAT,
    INSERT_RUN,
    LEDGER,
    UNFINISHED,
    DamagedError,
    StoreError,
    alone_in,
    check_place,
    connect,
    create,
    explained,
    faults,
    note,
    nothing_else,
    run_row,
)

ClaimState = Literal["mine", "done", "failed", "busy"]
"""The result of a claim: this process runs it, it has ended, or another process runs it."""

_IS: Final = "setting = ? AND policy = ? AND seed = ? AND engine = ? AND version = ?"


class Store(Reader):
    """An open run directory, or a published dataset that reads like one.

    Make one with :meth:`open_for` or :meth:`open`.
    """

    _mended: tuple[str, ...] = ()

    @classmethod
    def open_for(cls, folder: Path, experiment: str, about: dict[str, str]) -> Store:
        """Open the directory of an experiment for writing; make it if it does not exist.

        A ledger of an older format is updated. A damaged one is mended as far as it can be read;
        :meth:`mended` reports it.

        Raises
        ------
        ConfigError
            If the folder holds something else, or another experiment.
        StoreError
            If it cannot be written, or is damaged beyond repair.
        """
        ledger = folder / LEDGER
        if folder.exists() and not folder.is_dir():
            raise ConfigError.of(
                "--out", str(folder), None, "is not a folder", "choose another name"
            )
        if dataset.is_one(folder):
            raise ConfigError.of(
                "--out", str(folder), None, "is a published dataset, which does not change",
                "choose another folder",
            )  # fmt: skip
        if folder.exists() and not ledger.exists() and not nothing_else(folder):
            raise ConfigError.of(
                "--out", str(folder), None, "is not empty and is not a run directory",
                "choose an empty or a new folder",
            )  # fmt: skip
        check_place(ledger)
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with alone_in(folder):
                if not ledger.exists():
                    # Made under another name and moved, so a ledger is complete or absent.
                    unfinished = folder / UNFINISHED
                    create(unfinished, {"experiment": experiment, **about}).close()
                    unfinished.rename(ledger)
                notices = repair.make_sound(ledger, {"experiment": experiment, **about})
        store = cls.open(folder)
        owner = store.about().get("experiment")
        if owner != experiment:
            store.close()
            raise ConfigError.of(
                "--out", str(folder), None,
                f"belongs to experiment {owner!r}, not to {experiment!r}",
                "choose another folder",
            )  # fmt: skip
        damaged = store.damaged(model_version())
        with explained(folder), store._db as db:  # a damaged key may be no run of the experiment
            db.executemany(f"DELETE FROM runs WHERE {_IS}", damaged)
        store._mended = notices + tuple(
            f"{folder}: {key} was damaged: it is run again" for key in damaged
        )
        return store

    @classmethod
    def open(cls, folder: Path) -> Store:
        """Open an existing run directory, or a published dataset for reading.

        Raises
        ------
        ConfigError
            If the folder is neither, or was written in another format.
        StoreError
            If it is damaged or cannot be read.
        """
        ledger = folder / LEDGER
        if dataset.is_one(folder):
            db, version = dataset.load(folder)
            return cls(folder, db, version)
        check_place(ledger)
        if not ledger.is_file():
            raise ConfigError.of(
                str(folder), LEDGER, None, "is missing, so this is not a run directory",
                "give the folder that `mmusim run` or `mmusim publish` wrote",
            )  # fmt: skip
        with explained(folder):
            db = connect(ledger)
            store = cls(folder, db)
            try:
                found = store.about().get("format")
                wrong = faults(db) if found == str(FORMAT) else ""
            except (*UNREADABLE, StoreError):
                db.close()
                raise
            if wrong:
                db.close()
                raise DamagedError.of(folder, wrong)
        if found != str(FORMAT):
            store.close()
            raise ConfigError.of(
                str(ledger), "format", found, f"is not {FORMAT}, the format of this mmusim",
                "`mmusim run` brings it up to date" if found in repair.OLD
                else "choose another folder and run again",
            )  # fmt: skip
        return store

    def mended(self) -> tuple[str, ...]:
        """Return what was wrong with the ledger when it was opened for writing and is now
        mended.
        """
        return self._mended

    def describe(self, facts: Mapping[str, str]) -> None:
        """Record facts about the directory; they replace earlier ones of the same names."""
        with explained(self.folder), self._db:
            note(self._db, facts)

    def add_settings(self, settings: Iterable[tuple[str, str, str, str, str]]) -> None:
        """Record settings: key, name, resolved configuration (TOML), host profile, hash of the
        profile.

        If two settings have the same name, the later one keeps it.
        """
        with explained(self.folder), self._db:
            rows = ((*setting, seal(*setting)) for setting in settings)
            self._db.executemany("INSERT OR REPLACE INTO settings VALUES (?, ?, ?, ?, ?, ?)", rows)

    # Runs, by one process or several.

    def working(self) -> AbstractContextManager[str]:
        """Register this process as one that claims runs; yield the token for claims."""
        return enlisted(self.folder / LEDGER, self._db)

    def queue(self, keys: Iterable[Key]) -> None:
        """Record runs that are to be made. Existing runs stay unchanged."""
        with explained(self.folder), self._db:
            self._db.executemany(
                "INSERT OR IGNORE INTO runs (setting, policy, seed, engine, version, state) "
                "VALUES (?, ?, ?, ?, ?, 'queued')", keys,
            )  # fmt: skip

    def claim(self, keys: Iterable[Key], token: str) -> list[tuple[ClaimState, str]]:
        """Claim the runs that no process has claimed.

        Return the state of each, and the errors of failed ones. The claims of dead processes are
        taken over. All happens in one transaction, or nothing: no two processes get the same run.
        """
        found: list[tuple[ClaimState, str]] = []
        gone: list[str] | None = None
        with explained(self.folder), self._db as db:
            db.execute("BEGIN IMMEDIATE")
            for key in keys:
                row = db.execute(f"SELECT state, owner, error FROM runs WHERE {_IS}", key)
                state, owner, error = row.fetchone() or ("queued", None, None)
                ended: ClaimState = "failed" if state == "failed" else "done"
                if state == "running":
                    gone = dead(db) if gone is None else gone
                    known = db.execute("SELECT 1 FROM owners WHERE token = ?", (owner,))
                    if owner not in gone and known.fetchone():
                        found.append(("busy", ""))
                        continue
                elif state != "queued":
                    found.append((ended, error or ""))
                    continue
                db.execute(
                    "INSERT OR REPLACE INTO runs (setting, policy, seed, engine, version, state, "
                    "owner) VALUES (?, ?, ?, ?, ?, 'running', ?)", (*key, token),
                )  # fmt: skip
                found.append(("mine", ""))
        return found

    def end(
        self,
        key: Key,
        seconds: float,
        result: dict[str, Any] | None,
        error: str = "",
        facts: Mapping[str, str] | None = None,
    ) -> None:
        """Store a run that ended. `result` is None if it failed; `error` then says why.

        `facts` say where it ran: versions, commit, machine.
        """
        text = json.dumps(facts or {}, sort_keys=True)
        origin = seal(text).hex()
        ended = (
            Ended("failed", seconds, origin, None, error or None) if result is None
            else Ended("done", seconds, origin, pack(result), None)
        )  # fmt: skip
        with explained(self.folder), self._db as db:
            db.execute("INSERT OR IGNORE INTO provenance VALUES (?, ?)", (origin, text))
            db.execute(INSERT_RUN, run_row(key, ended))

    def again(self, keys: Iterable[Key], state: str = "failed") -> None:
        """Return failed runs, or runs in another `state`, to the queue."""
        with explained(self.folder), self._db:
            self._db.executemany(
                "UPDATE runs SET state = 'queued', result = NULL, checksum = NULL, error = NULL "
                f"WHERE {_IS} AND state = ?", ((*key, state) for key in keys),
            )  # fmt: skip
