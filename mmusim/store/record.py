"""One stored run: what names it, and its result as bytes with a checksum."""

from __future__ import annotations

import hashlib
import json
import zlib
from typing import Any, Final, NamedTuple


class Key(NamedTuple):
    """Everything that decides a result. Two runs with one key are the same run."""

    setting: str  # hash of the resolved configuration
    policy: str
    seed: int
    engine: str
    version: str  # of the model's code

    def __str__(self) -> str:
        """Name the run for messages."""
        return f"run of setting {self.setting}, {self.policy}, seed {self.seed} ({self.engine})"


SUMMARY: Final = ("values", "ledger")
"""Parts of a record that tables need. The rest, mostly histograms, stays packed for them."""


def pack(record: dict[str, Any]) -> bytes:
    """Return a record as bytes: the length of the summary, the summary, the rest.

    Both are JSON, deflated. Histograms are sparse, so a run takes 1 to 3 kB.
    """
    summary = {name: part for name, part in record.items() if name in SUMMARY}
    head = _deflated(summary)
    rest = _deflated({name: part for name, part in record.items() if name not in summary})
    return len(head).to_bytes(4, "big") + head + rest


def unpack(packed: bytes, *, summary_only: bool = False) -> dict[str, Any]:
    """Return the record of :func:`pack`, or only its summary."""
    end = 4 + int.from_bytes(packed[:4], "big")
    record: dict[str, Any] = json.loads(zlib.decompress(packed[4:end]))
    return record if summary_only else record | json.loads(zlib.decompress(packed[end:]))


RENAMED: Final = {"bills": "operation_times"}
"""Part of a record by its name in ledgers of formats up to 5 and datasets of format 1 -> now."""


class Ended(NamedTuple):
    """How a run ended, as a ledger has it."""

    state: str  # done, failed
    seconds: float | None
    provenance: str | None
    result: bytes | None
    error: str | None


def renamed(ended: Ended) -> Ended:
    """Return a run of an old format with the names that its parts have now.

    A result that cannot be read stays as it is, and reading it says so.
    """
    try:
        record = unpack(ended.result or b"")
    except (zlib.error, ValueError, RecursionError, TypeError):
        return ended
    return ended._replace(result=pack({RENAMED.get(n, n): part for n, part in record.items()}))


def wrong(key: Key, ended: Ended, sum_: bytes) -> str:
    """Return what is wrong with a stored run; empty if it is as it was written."""
    if checksum(key, ended) != sum_:
        return "its checksum is another"
    if ended.state == "failed":
        return ""
    try:
        unpack(ended.result or b"")
    except (zlib.error, ValueError, RecursionError, TypeError) as error:
        return f"it cannot be read: {error}"
    return ""


def _deflated(data: dict[str, Any]) -> bytes:
    return zlib.compress(json.dumps(data, separators=(",", ":")).encode())


def seal(*row: str) -> bytes:
    """Return a hash of texts that belong together: a setting, the facts of where a run was, or a
    fact of the directory and its name.
    """
    return hashlib.blake2b("\0".join(row).encode(), digest_size=8).digest()


def checksum(key: Key, ended: Ended) -> bytes:
    """Return a hash of a run that ended: of how, and of what names it."""
    about = (*key, ended.state, ended.seconds, ended.provenance, ended.error)
    name = json.dumps(about, default=repr).encode()
    packed = ended.result if isinstance(ended.result, bytes) else b""
    return hashlib.blake2b(name + b"\0" + packed, digest_size=8).digest()


def checksum_of_format_4(key: Key, packed: bytes) -> bytes:
    """Return the hash that ledgers of formats 3 and 4 have: of the result alone."""
    name = "\0".join(map(str, key)).encode()
    return hashlib.blake2b(name + b"\0" + packed, digest_size=8).digest()
