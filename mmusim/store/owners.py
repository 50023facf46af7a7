"""The processes that work on a ledger. Others take over the runs of dead ones."""

from __future__ import annotations

import os
import platform
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from mmusim.store.guarded import StoreError

HEARTBEAT_S: Final = 10.0
"""Seconds between two signs of life of a process that works on a ledger."""
STALE_S: Final = 60.0
"""Seconds of silence after which a process that cannot be inspected counts as dead."""

_working: set[str] = set()  # tokens of this process


def host() -> str:
    """Name the set of processes that this one can inspect: machine, boot, process namespace."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{platform.node()} {boot} {os.stat('/proc/self/ns/pid').st_ino}"  # noqa: PTH116


def born(pid: int) -> str:
    """Return when a process began, in ticks since boot; empty if there is none, or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def dead(db: sqlite3.Connection) -> list[str]:
    """Return the tokens of processes that have died without signing off.

    A process of this machine is dead when it is gone, even if another has its number now. A process
    in another container is dead when it has been silent for :data:`STALE_S`.
    """
    here, now = host(), time.time()

    def works(token: str, where: str, pid: int, began: str, beat: float) -> bool:
        if where != here:
            return now - beat <= STALE_S
        return token in _working if pid == os.getpid() else born(pid) == began

    return [row[0] for row in db.execute("SELECT * FROM owners") if not works(*row)]


@contextmanager
def enlisted(ledger: Path, db: sqlite3.Connection) -> Iterator[str]:
    """Register a process that works on a ledger; yield the token that marks its runs.

    At the end, marked runs return to the queue. Those of dead processes do so at once.
    """
    token, pid = uuid.uuid4().hex, os.getpid()
    with db:
        for gone in dead(db):
            _sign_off(db, gone)
        row = token, host(), pid, born(pid), time.time()
        db.execute("INSERT INTO owners VALUES (?, ?, ?, ?, ?)", row)
    _working.add(token)
    over = threading.Event()
    pulse = threading.Thread(target=_beat, args=(ledger, token, over), daemon=True)
    pulse.start()
    try:
        yield token
    finally:
        over.set()
        pulse.join()
        _working.discard(token)
        # With a full disk this cannot be written; then the runs are taken over from a dead process.
        with suppress(sqlite3.Error, StoreError), db:
            _sign_off(db, token)


def _sign_off(db: sqlite3.Connection, token: str) -> None:
    """Return the runs of a process to the queue and forget it."""
    db.execute(
        "UPDATE runs SET state = 'queued', owner = NULL WHERE state = 'running' AND owner = ?",
        (token,),
    )
    db.execute("DELETE FROM owners WHERE token = ?", (token,))


def _beat(ledger: Path, token: str, over: threading.Event) -> None:
    while not over.wait(HEARTBEAT_S):
        with (
            suppress(sqlite3.Error),
            closing(sqlite3.connect(ledger, timeout=HEARTBEAT_S)) as db,
            db,
        ):
            db.execute("UPDATE owners SET beat = ? WHERE token = ?", (time.time(), token))
