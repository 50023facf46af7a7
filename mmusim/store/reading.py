"""What an open run directory, or a published dataset, says of its runs."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmusim.errors import ConfigError
from mmusim.provenance import model_version
from mmusim.store.record import Key, checksum, unpack
from mmusim.store.schema import StoreError, explained


class Reader:
    """Runs that are stored, for reading."""

    def __init__(self, folder: Path, db: sqlite3.Connection, version: str = "") -> None:
        """Wrap an open ledger; `version` is the model version of a dataset's runs."""
        self.folder = folder
        self._db = db
        self._version = version

    def about(self) -> dict[str, str]:
        """Return what the directory says of itself: format, experiment, versions, commit."""
        return dict(self._db.execute("SELECT key, value FROM about"))

    def version(self) -> str:
        """Return the model version whose runs are read: this mmusim's, or a dataset's.

        Raises
        ------
        ConfigError
            If a run directory has runs, but only of other versions.
        """
        mine = self._version or model_version()
        counts = dict(
            self._db.execute(
                "SELECT version, count(*) FROM runs WHERE state = 'done' GROUP BY version"
            )
        )
        if counts and mine not in counts:
            others = ", ".join(f"{count} of {version}" for version, count in counts.items())
            raise ConfigError.of(
                str(self.folder), "model version", mine,
                f"is this mmusim's, and there are only runs of others: {others}",
                "run `mmusim run` again, or read them with the mmusim that made them",
            )  # fmt: skip
        return mine

    def states(self, version: str | None = None) -> dict[str, int]:
        """Return how many runs of a model version are queued, running, done and failed."""
        rows = self._db.execute(
            "SELECT state, count(*) FROM runs WHERE version = ? GROUP BY state",
            (version or model_version(),),
        )
        return {"queued": 0, "running": 0, "done": 0, "failed": 0} | dict(rows)

    def done(self, version: str, engine: str | None = None) -> set[tuple[str, str, int]]:
        """Return (cell, policy, seed) of every run that succeeded under this version."""
        rows = self._db.execute(
            "SELECT cell, policy, seed FROM runs WHERE state = 'done' AND version = ? "
            "AND engine = ifnull(?, engine)", (version, engine),
        )  # fmt: skip
        return {(cell, policy, seed) for cell, policy, seed in rows}

    def damaged(self, version: str) -> list[Key]:
        """Return the runs whose result is not what was stored, by its checksum."""
        return [key for key, packed, sum_ in self._stored(version) if checksum(key, packed) != sum_]

    def results(
        self, version: str | None = None, engine: str | None = None
    ) -> Iterator[tuple[str, str, int, dict[str, Any]]]:
        """Yield (cell, policy, seed, result) of the runs of a version, ordered by seed.

        Engines give the same results, so of a run made by several one is given, unless an engine
        is named. `version` is :meth:`version` by default.

        Raises
        ------
        StoreError
            If a result is damaged; names the run.
        """
        last: tuple[str, str, int] | None = None
        for key, packed, sum_ in self._stored(version or self.version(), engine):
            if key[:3] == last:
                continue
            last = key[:3]
            if checksum(key, packed) != sum_:
                raise StoreError(
                    f"{self.folder}: {key} is damaged: its checksum is another; run `mmusim run` "
                    "again: only what is damaged is repeated"
                )
            yield *last, unpack(packed)

    def _stored(
        self, version: str, engine: str | None = None
    ) -> Iterator[tuple[Key, bytes, bytes]]:  # fmt: skip
        with explained(self.folder):
            for *key, packed, sum_ in self._db.execute(
                "SELECT cell, policy, seed, engine, version, result, checksum FROM runs "
                "WHERE state = 'done' AND version = ? AND engine = ifnull(?, engine) "
                "ORDER BY seed, cell, policy, engine", (version, engine),
            ):  # fmt: skip
                yield Key(*key), packed or b"", sum_

    def cells(self) -> dict[str, tuple[str, str]]:
        """Return name and resolved configuration of every cell by its key."""
        rows = self._db.execute("SELECT key, name, config FROM cells")
        return {key: (name, config) for key, name, config in rows}

    def origin(self, cell: str, policy: str, seed: int) -> dict[str, Any]:
        """Return all that is needed to make a run again, and to judge it.

        Resolved configuration (TOML), policy, seed, engine, model version, name and hash of the
        host profile, and versions, commit and machine of the process that ran it.

        Raises
        ------
        ConfigError
            If there is no such finished run of :meth:`version`.
        """
        row = self._db.execute(
            "SELECT config, policy, seed, engine, version, host, host_hash, facts FROM runs "
            "JOIN cells ON cell = key LEFT JOIN provenance ON runs.provenance = provenance.id "
            "WHERE state = 'done' AND cell = ? AND policy = ? AND seed = ? AND version = ? "
            "ORDER BY engine", (cell, policy, seed, self.version()),
        ).fetchone()  # fmt: skip
        if row is None:
            raise ConfigError.of(
                str(self.folder), "run", None, f"cell {cell}, {policy}, seed {seed} is not there",
                "run `mmusim run`",
            )  # fmt: skip
        names = ("config", "policy", "seed", "engine", "model_version", "host_profile",
                 "host_profile_hash")  # fmt: skip
        found: dict[str, Any] = dict(zip(names, row, strict=False))
        facts: dict[str, str] = json.loads(row[-1] or "{}")
        return found | facts

    def close(self) -> None:
        """Close the ledger."""
        self._db.close()
