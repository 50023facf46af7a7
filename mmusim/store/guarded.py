"""A connection to a ledger whose every error is told in one sentence with a remedy.

Whoever reads a ledger reads it through this, so there is one place that explains damage.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from mmusim.base.errors import MmusimError, named
from mmusim.base.machine_errors import FULL

_DAMAGED: Final = ("CORRUPT", "NOTADB", "FORMAT", "MISMATCH", "CONSTRAINT", "SCHEMA")
"""Parts of SQLite's names of errors that mean a damaged file."""
_SAYS_DAMAGED: Final = (
    "no such table",
    "no such column",
    "not decode",
    "malformed",
    "has no column",
)
MENDS: Final = (
    "run `mmusim run` with its experiment file: what can be read is kept, the rest is run"
)


class StoreError(MmusimError):
    """The run directory cannot be used: it is full, read-only, damaged or locked."""


UNREADABLE: Final = (sqlite3.Error, UnicodeDecodeError)
"""What reading a ledger raises. SQLite's own message quotes a damaged schema, byte for byte."""


class DamagedError(StoreError):
    """The ledger is not as it was written."""

    @classmethod
    def of(cls, place: Path, what: object) -> DamagedError:
        """Build the error for a folder or a file, and what is wrong with it."""
        return cls(f"{named(place)}: the ledger is damaged ({what}); {MENDS}")


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turn trouble with files and with SQLite into one message with a remedy.

    Raises
    ------
    DamagedError
        If the ledger is not as it was written.
    StoreError
        If it cannot be used for another reason.
    """
    try:
        yield
    except (OSError, *UNREADABLE) as error:
        if is_damage(error):
            raise DamagedError.of(folder, error) from None
        reason = getattr(error, "strerror", None) or str(error)
        raise StoreError(
            f"{named(folder)}: cannot be used as a run directory: {reason}; {_remedy(error)}, or "
            "choose another folder with --out, then run again: finished runs are kept"
        ) from None


def _remedy(error: BaseException) -> str:
    """Say what helps: room, rights, or patience."""
    name = getattr(error, "sqlite_errorname", "") or ""
    if getattr(error, "errno", None) in FULL or name.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
        return "free space"
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return "wait for the process that writes to it"
    return "check the rights of the folder and of the files in it"


def is_damage(error: BaseException) -> bool:
    """Tell whether an error says that the file is at fault, and not the disk or the rights."""
    if isinstance(error, UnicodeDecodeError):
        return True
    name = getattr(error, "sqlite_errorname", "") or ""
    return isinstance(error, sqlite3.Error) and (
        any(part in name for part in _DAMAGED) or any(part in str(error) for part in _SAYS_DAMAGED)
    )


class Connection(sqlite3.Connection):
    """A connection to the ledger of a folder."""

    folder = Path()

    def cursor(self, factory: Any = None) -> Any:
        """Return a cursor whose errors are explained."""
        del factory
        return super().cursor(_Cursor)


class _Cursor(sqlite3.Cursor):
    """Executes and fetches; what goes wrong is explained."""

    connection: Connection

    def execute(self, *args: Any) -> Any:
        with explained(self.connection.folder):
            return super().execute(*args)

    def executemany(self, *args: Any) -> Any:
        with explained(self.connection.folder):
            return super().executemany(*args)

    def fetchone(self) -> Any:
        with explained(self.connection.folder):
            return super().fetchone()

    def fetchall(self) -> Any:
        with explained(self.connection.folder):
            return super().fetchall()

    def __next__(self) -> Any:
        with explained(self.connection.folder):
            return super().__next__()
