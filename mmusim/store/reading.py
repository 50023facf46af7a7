"""Read the runs of an open run directory, or of a published dataset."""

from __future__ import annotations

import itertools
import json
import logging
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmusim.base.errors import ConfigError, named
from mmusim.base.parsing import parse_toml
from mmusim.store.owners import dead
from mmusim.store.provenance import model_version
from mmusim.store.record import Ended, Key, checksum, unpack, wrong
from mmusim.store.schema import DamagedError, explained

_LOG = logging.getLogger("mmusim")


class Reader:
    """Runs that are stored, for reading."""

    def __init__(self, folder: Path, db: sqlite3.Connection, version: str = "") -> None:
        """Wrap an open ledger; `version` is the model version of a dataset's runs."""
        self.folder = folder
        self._db = db
        self._version = version

    def about(self) -> dict[str, str]:
        """Return the facts of the directory: format, experiment, versions, commit."""
        return dict(self._db.execute("SELECT key, value FROM about WHERE key <> 'text'"))

    def text(self) -> str:
        """Return the experiment file at the time of the latest runs; empty if unknown."""
        row = self._db.execute("SELECT value FROM about WHERE key = 'text'").fetchone()
        return str(row[0]) if row else ""

    def versions(self) -> dict[str, int]:
        """Return the number of finished runs of each model version, the newest last."""
        return dict(
            self._db.execute(
                "SELECT version, count(*) FROM runs WHERE state = 'done' GROUP BY version "
                "ORDER BY max(rowid)"
            )
        )

    def expected(self) -> str:
        """Return the model version of a dataset, or of this mmusim for a ledger."""
        return self._version or model_version()

    def version(self) -> str:
        """Return the model version whose runs are read: this mmusim's, or a dataset's.

        Raises
        ------
        ConfigError
            If a run directory has runs, but only of other versions.
        """
        mine, counts = self.expected(), self.versions()
        if counts and mine not in counts:
            others = ", ".join(f"{count} of {version}" for version, count in counts.items())
            raise ConfigError.of(
                str(self.folder), "model version", mine,
                f"is that of this mmusim, but the folder has only runs of others: {others}",
                "run `mmusim run` again, or read them with the mmusim that made them",
            )  # fmt: skip
        return mine

    def states(self, version: str | None = None) -> dict[str, int]:
        """Return how many runs of a model version are queued, running, done and failed.

        Runs that a process had begun and that has died are queued.
        """
        rows = self._db.execute(
            "SELECT state, owner, count(*) FROM runs WHERE version = ? GROUP BY state, owner",
            (version or self.expected(),),
        ).fetchall()
        known = {token for (token,) in self._db.execute("SELECT token FROM owners")}
        alive = known - set(dead(self._db)) if any(row[0] == "running" for row in rows) else known
        states = {"queued": 0, "running": 0, "done": 0, "failed": 0}
        for state, owner, count in rows:
            lost = state == "running" and owner not in alive
            states["queued" if lost else state] += count
        return states

    def unfinished(self) -> int:
        """Return how many runs of this model version are still to be made; a notice says so.

        Another notice says how many failed.
        """
        states = self.states()
        left = states["queued"] + states["running"]
        if states["failed"]:
            _LOG.warning(
                "%s: %d of %d runs failed; `mmusim status` lists them; this is of the others",
                named(self.folder), states["failed"], sum(states.values()),
            )  # fmt: skip
        if left:
            _LOG.warning(
                "%s: %d of %d runs are still to be made, by `mmusim run`; this is of the others",
                named(self.folder), left, sum(states.values()),
            )  # fmt: skip
        return left

    def failed(self, version: str | None = None) -> list[tuple[Key, str]]:
        """Return the runs of a model version that failed, and how.

        Raises
        ------
        DamagedError
            If one is not as it was written; names the run.
        """
        found = []
        for key, ended, sum_ in self._stored(version or self.expected(), state="failed"):
            if what := wrong(key, ended, sum_):
                raise DamagedError.of(self.folder, f"{key}: {what}")
            found.append((key, ended.error or ""))
        return sorted(found)

    def done(self, version: str, engine: str | None = None) -> set[tuple[str, str, int]]:
        """Return (setting, policy, seed) of every run that succeeded under this version."""
        rows = self._db.execute(
            "SELECT setting, policy, seed FROM runs WHERE state = 'done' AND version = ? "
            "AND engine = ifnull(?, engine)", (version, engine),
        )  # fmt: skip
        return {(setting, policy, seed) for setting, policy, seed in rows}

    def damaged(self, version: str) -> list[Key]:
        """Return the runs that ended and differ from their checksum or cannot be read."""
        ended = itertools.chain(self._stored(version), self._stored(version, state="failed"))
        return [key for key, how, sum_ in ended if wrong(key, how, sum_)]

    def results(
        self,
        version: str | None = None,
        engine: str | None = None,
        *,
        summary_only: bool = False,
    ) -> Iterator[tuple[str, str, int, dict[str, Any]]]:
        """Yield (setting, policy, seed, result) of the runs of a version, ordered by seed.

        Engines give the same results, so of a run made by several one is given, unless an engine
        is named. `version` is :meth:`version` by default. With `summary_only` a result has its
        values and its ledger, which is twice as fast.

        Raises
        ------
        StoreError
            If a result is damaged (:class:`~mmusim.store.guarded.DamagedError`); names the run.
        """
        last: tuple[str, str, int] | None = None
        for key, ended, sum_ in self._stored(version or self.version(), engine):
            if key[:3] == last:
                continue
            last = key[:3]
            if checksum(key, ended) != sum_:
                raise DamagedError.of(self.folder, f"{key}: {wrong(key, ended, sum_)}")
            try:
                record = unpack(ended.result or b"", summary_only=summary_only)
            except (zlib.error, ValueError, RecursionError, TypeError):
                raise DamagedError.of(self.folder, f"{key}: {wrong(key, ended, sum_)}") from None
            yield *last, record

    def _stored(
        self, version: str, engine: str | None = None, state: str = "done"
    ) -> Iterator[tuple[Key, Ended, bytes]]:
        with explained(self.folder):
            for *key, seconds, origin, packed, error, sum_ in self._db.execute(
                "SELECT setting, policy, seed, engine, version, seconds, provenance, result, "
                "error, checksum FROM runs "
                "WHERE state = ? AND version = ? AND engine = ifnull(?, engine) "
                "ORDER BY seed, setting, policy, engine", (state, version, engine),
            ):  # fmt: skip
                yield Key(*key), Ended(state, seconds, origin, packed, error), sum_

    def settings(self) -> dict[str, tuple[str, str]]:
        """Return name and resolved configuration of every setting by its key.

        Names are unique: a setting carries its key as well if another has its name by now, because
        the experiment was changed.
        """
        rows = self._db.execute("SELECT key, name, config FROM settings ORDER BY rowid").fetchall()
        newest = {name: key for key, name, _ in rows}
        return {
            key: (name if newest[name] == key else f"{name} [{key[:8]}]".strip(), config)
            for key, name, config in rows
        }

    def configurations(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """Return name and parsed configuration of every setting by its key.

        Raises
        ------
        DamagedError
            If a configuration is not as it was written.
        """
        found = {}
        for key, (name, text) in self.settings().items():
            try:
                config = parse_toml(text, name)
                config["vm"]["memory"], config["vm"]["vcpus"]
            except (ConfigError, KeyError, TypeError):  # a text of another type, or half of one
                what = f"the configuration of setting {name or 'all'!r} cannot be read"
                raise DamagedError.of(self.folder, what) from None
            found[key] = name, config
        return found

    def hosts(self) -> dict[str, tuple[str, str]]:
        """Return name and hash of every setting's host profile by the setting's key."""
        rows = self._db.execute("SELECT key, host, host_hash FROM settings")
        return {key: (host, digest) for key, host, digest in rows}

    def made(self, version: str) -> list[tuple[Key, dict[str, str]]]:
        """Return every finished run of a version with the facts of where it ran."""
        rows = self._db.execute(
            "SELECT setting, policy, seed, engine, version, facts FROM runs "
            "LEFT JOIN provenance ON runs.provenance = provenance.id "
            "WHERE state = 'done' AND version = ? ORDER BY seed, setting, policy, engine",
            (version,),
        )  # fmt: skip
        facts: dict[str, dict[str, str]] = {}
        found = []
        for *key, text in rows:
            text = text or "{}"
            if text not in facts:
                facts[text] = self._facts(text)
            found.append((Key(*key), facts[text]))
        return found

    def _facts(self, text: str | None) -> dict[str, str]:
        """Read where a run was made."""
        try:
            found: dict[str, str] = json.loads(text or "{}")
            return dict(found)
        except (ValueError, TypeError) as error:
            raise DamagedError.of(self.folder, f"where a run was made: {error}") from None

    def durations(self) -> list[float]:
        """Return the seconds that finished runs took, in the order in which they ended."""
        rows = self._db.execute("SELECT seconds FROM runs WHERE state = 'done' ORDER BY rowid")
        return [seconds for (seconds,) in rows]

    def rows(self, table: str, version: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Return columns and rows of a table as they are; of runs those of a version that ended."""
        of = "WHERE state IN ('done', 'failed') AND version = ?" if table == "runs" else ""
        with explained(self.folder):
            found = self._db.execute(
                f"SELECT * FROM {table} {of} ORDER BY rowid", (version,) if of else ()
            )
            return [column[0] for column in found.description], found.fetchall()

    def origin(self, setting: str, policy: str, seed: int) -> dict[str, Any]:
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
            "JOIN settings ON setting = key "
            "LEFT JOIN provenance ON runs.provenance = provenance.id "
            "WHERE state = 'done' AND setting = ? AND policy = ? AND seed = ? AND version = ? "
            "ORDER BY engine", (setting, policy, seed, self.version()),
        ).fetchone()  # fmt: skip
        if row is None:
            raise ConfigError.of(
                str(self.folder), "run", None,
                f"setting {setting}, {policy}, seed {seed} is not there", "run `mmusim run`",
            )  # fmt: skip
        names = ("config", "policy", "seed", "engine", "model_version", "host_profile",
                 "host_profile_hash")  # fmt: skip
        found: dict[str, Any] = dict(zip(names, row, strict=False))
        return found | self._facts(row[-1])

    def close(self) -> None:
        """Close the ledger."""
        self._db.close()
